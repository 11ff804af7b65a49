"""Handwritten digits, which come with scikit-learn: real data that needs no download."""

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
    from sklearn.datasets import load_digits

    features, labels = load_digits(return_X_y=True)
    return Samples(np.asarray(features, np.float32), np.asarray(labels, np.int64))
