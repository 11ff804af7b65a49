"""What a federation learns, and the hash by which a device shows that its data is of that kind."""

import hashlib
from enum import StrEnum
from functools import cached_property
from typing import Final

import msgspec

from tierwise.core.metrics import sums_of


class Loss(StrEnum):
    """What training minimises, which tells what is learned."""

    CROSS_ENTROPY = "cross_entropy"
    """Of a classification."""
    SQUARED_ERROR = "squared_error"
    """Of a regression: a number."""


DEFAULT_METRICS: Final = {
    Loss.CROSS_ENTROPY: ("accuracy", "log_loss"),
    Loss.SQUARED_ERROR: ("rmse", "mae"),
}


class Task(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The learning task that all devices of a federation share.

    Attributes
    ----------
    name
        For people: ``digits``.
    features
        Number of float32 features of a sample.
    feature_names
        Their names, in this order, where they have any: columns of a table.
    classes
        Labels of the classes, in the order of the model's outputs; empty for a regression.
    target
        Name of what is predicted, where it has one: the column of the classes or numbers.
    scale
        Features are divided by it before they reach a model (16 for the digits' 0–16 grey levels).
    loss
        What training minimises.
    metrics
        What devices report on their hold-out, each as (sum, count) pairs. Empty stands for the usual ones of the loss.
    standardise
        Whether models bring features to a mean of 0 and a variance of 1 first, with figures that each group's devices
        find together in an opening round: `tierwise.core.standardising`.

    Raises
    ------
    ValueError
        If the fields do not go together.
    """

    name: str
    features: int
    feature_names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    target: str = ""
    scale: float = 1.0
    loss: Loss = Loss.CROSS_ENTROPY
    metrics: tuple[str, ...] = ()
    standardise: bool = False

    def __post_init__(self) -> None:
        if not self.metrics:
            msgspec.structs.force_setattr(self, "metrics", DEFAULT_METRICS[self.loss])
        if self.loss is Loss.CROSS_ENTROPY and len(self.classes) < 2:
            raise ValueError(f"a classification has two classes or more, task {self.name!r} has {list(self.classes)}")
        if self.loss is Loss.SQUARED_ERROR and self.classes:
            raise ValueError(f"a regression has no classes, task {self.name!r} has {list(self.classes)}")
        if self.feature_names and len(self.feature_names) != self.features:
            raise ValueError(f"task {self.name!r} has {self.features} features and {len(self.feature_names)} names")

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for a sample: one for each class, or the one that is predicted."""
        return len(self.classes) or 1

    @cached_property
    def sums(self) -> tuple[str, ...]:
        """Names of the (sum, count) pairs that a device reports for the metrics."""
        return tuple(name for metric in self.metrics for name in sums_of(metric))

    @property
    def schema_hash(self) -> str:
        """Hexadecimal sha256 of what the data is; a device whose data has another one is refused.

        What is measured, and whether models standardise, is the coordinator's choice and not part of it.
        """
        return hashlib.sha256(self.schema).hexdigest()

    @property
    def schema(self) -> bytes:
        """What the hash is over: a JSON array."""
        data = [self.name, self.features, self.feature_names, self.classes, self.target, self.scale, self.loss]
        return msgspec.json.encode(data)
