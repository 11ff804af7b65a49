"""Training on a device: its data, the budget of a fit, and the contracts of learners and data sources."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError
from tierwise.core.metrics import Metrics
from tierwise.core.task import Task
from tierwise.core.tiers import Cost
from tierwise.core.weights import Layout, Weights


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples in memory.

    Attributes
    ----------
    features
        Shape ``(n_samples, n_features)``, float32.
    labels
        Of a classification, hard: shape ``(n_samples,)``, int64, indices of the task's classes; or soft: shape
        ``(n_samples, n_classes)``, float32, each row a distribution. Of a regression: shape ``(n_samples,)``, float32,
        in the target's own unit.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64] | NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: NDArray[np.intp]) -> "Dataset":
        """Return a copy of some rows."""
        return Dataset(self.features[rows], self.labels[rows])

    def divided(self, scale: float) -> "Dataset":
        """Return the samples with their features divided by ``scale``."""
        return self if scale == 1 else Dataset(self.features / np.float32(scale), self.labels)


@dataclass(frozen=True, slots=True)
class LocalData:
    """A device's own data: what it trains on, and the hold-out that it only evaluates on."""

    train: Dataset
    holdout: Dataset

    def divided(self, scale: float) -> "LocalData":
        """Return both parts with their features divided by ``scale``."""
        return LocalData(self.train.divided(scale), self.holdout.divided(scale))


class FitBudget(msgspec.Struct, frozen=True, kw_only=True):
    """How much a device computes in one round.

    Attributes
    ----------
    epochs
        Passes over the device's training samples.
    max_samples
        Samples that are processed at the most, over all epochs: it bounds the time of a device with much data,
        so that a tier's cost can be told before anybody trains. A fit may stop within an epoch because of it.
    batch_size
        Samples in a minibatch, in place of the learner's own number; None leaves it to the learner, as rounds do. A
        learner that has no minibatches need not heed it.
    """

    epochs: int = 1
    max_samples: int = 1000
    batch_size: int | None = None

    def samples(self, available: int) -> int:
        """Return how many samples a fit over ``available`` training samples processes."""
        return min(self.epochs * available, self.max_samples)


class FitStopped(Exception):  # noqa: N818  (an order obeyed, not an error)
    """Raised by a learner that was told to stop; the fit's result is lost, nothing else."""


class StopToken:
    """Tells a running fit to stop; safe to use from another thread."""

    __slots__ = ("_stopped",)

    def __init__(self) -> None:
        self._stopped = False

    def stop(self) -> None:
        """Tell the fit to stop; it does so at its next `check`."""
        self._stopped = True

    def check(self) -> None:
        """Raise `FitStopped` if `stop` was called. A learner calls this before every minibatch."""
        if self._stopped:
            raise FitStopped


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit gives.

    Attributes
    ----------
    weights
        The trained model, in a buffer of its own.
    samples
        The update's weight in an average: the number of training samples of the device, at least 1.
    """

    weights: Weights
    samples: int


class Learner(Protocol):
    """Computes with one model: a plugin, made as ``Class(options, task)``, or as ``Class(task)``.

    All methods are pure functions of their arguments: the same weights, data and seed on the same machine and
    build give the same bytes, whatever was fitted before. They run in a worker thread.
    """

    @property
    def layout(self) -> Layout:
        """The model's tensors."""
        ...

    @property
    def cost(self) -> Cost:
        """What the model asks of a device."""
        ...

    def initial(self, seed: int) -> Weights:
        """Return untrained weights."""
        ...

    def fit(self, weights: Weights, data: Dataset, *, seed: int, budget: FitBudget, stop: StopToken) -> Fit:
        """Train from ``weights``, which stay as they are.

        Raises
        ------
        FitStopped
            Soon after ``stop`` was told to: it is checked before every minibatch.
        """
        ...

    def evaluate(self, weights: Weights, data: Dataset) -> Metrics:
        """Measure every metric of the task on ``data``, as sums and counts; counts are 0 for no samples.

        The names are those of `Task.sums`; `tierwise.core.measuring` measures what a model answered.
        """
        ...


@runtime_checkable
class Predictor(Protocol):
    """What a `Learner` also has that can teach and be taught: an exchange by distillation needs both.

    Its `Learner.fit` then takes soft labels, too, and learns from all of their parts.
    """

    def predict(self, weights: Weights, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answer for samples, without their labels.

        A pure function. For a classification: shape ``(n_samples, n_classes)``, each row a distribution. For a
        regression: shape ``(n_samples,)``, in the target's own unit.
        """
        ...


class DataSource(Protocol):
    """Gives a device its data: a plugin, made as ``Class(options)`` or ``Class()``.

    What more it can do, if it has the methods: know whose the data are (`KnowsDevices`), set samples apart for the
    coordinator (`Reserving`), read samples that are no device's (`Collecting`), and describe itself to people
    (`tierwise.core.describing.Describing`).
    """

    @property
    def task(self) -> Task:
        """What can be learned from this data; its `Task.schema_hash` is what the device enrols with."""
        ...

    def load(self, part: int, parts: int, seed: int) -> LocalData:
        """Read the data of one device.

        Parameters
        ----------
        part, parts
            A simulation deals the data out to ``parts`` devices; this is number ``part``, from 0. An agent on a
            real device asks for part 0 of 1: all of its own data.
        seed
            Of the partition and of the split into training and hold-out; the same for all parts.

        Returns
        -------
        LocalData
            Features as they are: the caller divides them by the task's scale. Parts are disjoint.
        """
        ...


@runtime_checkable
class KnowsDevices(Protocol):
    """What a `DataSource` also has whose data may say which device they are of."""

    def devices(self) -> tuple[str, ...]:
        """Return the devices' names, each of them a device id; none where the data are dealt out to any number.

        Where there are some, part ``k`` of ``len(devices())`` is that of the one in place ``k``, and part 0 of 1 is all
        of it.
        """
        ...


@runtime_checkable
class Reserving(Protocol):
    """What a `DataSource` also has that can set samples apart for the coordinator."""

    def reserved(self, seed: int) -> Dataset:
        """Return samples that no part has, into however many the data are dealt out with this seed.

        Raises
        ------
        ConfigurationError
            If none are set apart.
        """
        ...


def reserved_of(source: DataSource, seed: int) -> Dataset:
    """Return the samples that a source sets apart for the coordinator.

    Parameters
    ----------
    source
        Any one.
    seed
        The one that the devices' data are dealt out with: the federation's.

    Raises
    ------
    ConfigurationError
        If it sets none apart, or cannot.
    """
    if not isinstance(source, Reserving):
        raise ConfigurationError(
            f"{type(source).__name__} cannot set samples apart for the coordinator, it has no method 'reserved': take "
            "another data source for them"
        )
    return source.reserved(seed)


@runtime_checkable
class Collecting(Protocol):
    """What a `DataSource` also has that can read samples which are no device's: a coordinator's public or test set."""

    def schema_options(self) -> Mapping[str, object]:
        """Return the options, with their values, that another set of the same task shares: not where samples are."""
        ...

    def all_samples(self, seed: int) -> Dataset:
        """Return all samples, undivided and however few; ``seed`` is of a choice among them, where one is asked for."""
        ...

    def features_only(self, seed: int) -> NDArray[np.float32]:
        """Return the features of all samples, shape ``(n_samples, n_features)``; labels are not needed, nor read."""
        ...


def all_samples_of(source: DataSource, seed: int) -> Dataset:
    """Return all samples of a source, whether it is `Collecting` or not: then those of its one part.

    Raises
    ------
    ConfigurationError
        If they cannot be had.
    """
    if isinstance(source, Collecting):
        return source.all_samples(seed)
    local = source.load(0, 1, seed)
    return Dataset(
        np.concatenate([local.train.features, local.holdout.features]),
        np.concatenate([local.train.labels, local.holdout.labels]),
    )


def features_of(source: DataSource, seed: int) -> NDArray[np.float32]:
    """Return the features of all samples of a source, which need no labels if it is `Collecting`.

    Raises
    ------
    ConfigurationError
        If they cannot be had.
    """
    return source.features_only(seed) if isinstance(source, Collecting) else all_samples_of(source, seed).features
