"""Handwritten digits, which come with scikit-learn: real data that needs no download."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from tierwise.core.learning import Dataset, LocalData
from tierwise.core.task import Task
from tierwise.plugins.data._dealing import Dealer, DealingOptions, Dealt, Samples

# Told here, not read from the data: an agent knows its task without loading scikit-learn.
TASK: Final = Task(name="digits", features=64, classes=tuple("0123456789"), scale=16.0)


class DigitsOptions(DealingOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `DigitsSource`, beside those of `DealingOptions`.

    Attributes
    ----------
    partition
        How the samples are dealt out: ``iid`` evenly and at random, ``dirichlet`` with skewed classes and sizes,
        ``shards`` with few classes for each, ``quantity`` with skewed sizes.
    """

    partition: Dealt = "dirichlet"


class DigitsSource:
    """1,797 images of 8 by 8 pixels with grey levels from 0 to 16, of ten classes.

    Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", https://doi.org/10.24432/C50P49 (the
    test set of it). Parts are disjoint, and together they are all samples but the reserved ones.
    """

    def __init__(self, options: DigitsOptions) -> None:
        self._dealer = Dealer("digits", options, options.partition, _read_digits)

    @property
    def task(self) -> Task:
        """The digits 0 to 9 from 64 grey levels."""
        return TASK

    def load(self, part: int, parts: int, seed: int) -> LocalData:
        """Return one part; the others of the same partition then cost nothing."""
        return self._dealer.load(part, parts, seed)

    def reserved(self, seed: int) -> Dataset:
        """Return the samples that no device gets."""
        return self._dealer.reserved(seed)


def _read_digits() -> Samples:
    path = _file()
    if path is None:  # a scikit-learn that keeps them elsewhere
        from sklearn.datasets import load_digits

        features, labels = load_digits(return_X_y=True)
        return Samples(np.asarray(features, np.float32), np.asarray(labels, np.int64))
    table = np.loadtxt(path, np.float32, delimiter=",")
    return Samples(np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int64))


def _file() -> Path | None:
    """Return scikit-learn's file of the digits: to import it for them takes each program more than a second."""
    package = find_spec("sklearn")
    places = package.submodule_search_locations if package else None
    paths = [Path(place) / "datasets" / "data" / "digits.csv.gz" for place in places or []]
    return next((path for path in paths if path.exists()), None)
