"""Handwritten digits, which come with scikit-learn: real data that needs no download."""

from typing import Annotated, Final, Literal

import msgspec
import numpy as np

from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.task import Task
from tierwise.plugins.data._partition import Rows, deal_evenly, deal_skewed, split_holdout

# Told here, not read from the data: an agent knows its task without loading scikit-learn.
TASK: Final = Task(name="digits", features=64, classes=tuple("0123456789"), scale=16.0)


class DigitsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `DigitsSource`.

    Attributes
    ----------
    partition
        How the samples are dealt out: ``iid`` evenly and at random, ``dirichlet`` with skewed classes and sizes.
    alpha
        Of the Dirichlet distribution, without a unit: 0.1 leaves a device with two or three classes, 100 is
        nearly even.
    holdout
        The share of a device's samples that it only evaluates on, at least one sample.
    minimum
        Samples that a device has at least, training and hold-out together.
    """

    partition: Literal["iid", "dirichlet"] = "dirichlet"
    alpha: Annotated[float, msgspec.Meta(ge=0.001)] = 0.3
    holdout: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    minimum: Annotated[int, msgspec.Meta(ge=2)] = 5


class DigitsSource:
    """1,797 images of 8 by 8 pixels with grey levels from 0 to 16, of ten classes.

    Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", https://doi.org/10.24432/C50P49 (the
    test set of it). Parts are disjoint, and together they are all samples.
    """

    def __init__(self, options: DigitsOptions) -> None:
        self._options = options
        self._samples: Dataset | None = None
        # The last partition only: who asks for all parts asks for them in a row. It is replaced as a whole, so
        # threads that ask at the same time can at worst make it twice.
        self._partition: tuple[tuple[int, int], list[tuple[Rows, Rows]]] | None = None

    @property
    def task(self) -> Task:
        """The digits 0 to 9 from 64 grey levels."""
        return TASK

    def load(self, part: int, parts: int, seed: int) -> LocalData:
        """Return one part; the others of the same partition then cost nothing.

        Raises
        ------
        ConfigurationError
            If there are not enough samples for so many parts.
        ValueError
            If ``part`` is not one of ``parts``.
        """
        if not 0 <= part < parts:
            raise ValueError(f"part is {part}, with {parts} parts it is from 0 to {parts - 1}")
        samples = self._samples = self._samples or _read_digits()
        train, holdout = self._dealt(samples, parts, seed)[part]
        return LocalData(samples.take(train), samples.take(holdout))

    def _dealt(self, samples: Dataset, parts: int, seed: int) -> list[tuple[Rows, Rows]]:
        cached = self._partition
        if cached is not None and cached[0] == (parts, seed):
            return cached[1]
        dealt = self._deal(samples, parts, seed)
        self._partition = (parts, seed), dealt
        return dealt

    def _deal(self, samples: Dataset, parts: int, seed: int) -> list[tuple[Rows, Rows]]:
        options, random = self._options, np.random.default_rng(seed)
        if parts * options.minimum > len(samples):
            raise ConfigurationError(
                f"data source 'digits' has {len(samples)} samples, which with at least {options.minimum} for each "
                f"device is enough for {len(samples) // options.minimum} devices, not for {parts}: "
                "take fewer devices, or a lower minimum"
            )
        if options.partition == "iid":
            hands = deal_evenly(len(samples), parts, random)
        else:
            labels = samples.labels.astype(np.int64, copy=False)
            hands = deal_skewed(labels, parts, options.alpha, options.minimum, random)
        return [split_holdout(hand, options.holdout, random) for hand in hands]


def _read_digits() -> Dataset:
    from sklearn.datasets import load_digits

    features, labels = load_digits(return_X_y=True)
    return Dataset(np.asarray(features, np.float32), np.asarray(labels, np.int64))
