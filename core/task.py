"""What a federation learns, and the hash by which a device shows that its data is of that kind."""

import hashlib
from typing import Literal

import msgspec


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """The learning task that all devices of a federation share.

    Attributes
    ----------
    name
        For people: ``digits``.
    features
        Number of float32 features of a sample.
    classes
        Labels of the classes, in the order of the model's outputs.
    scale
        Features are divided by it before they reach a model (16 for the digits' 0–16 grey levels).
    loss
        What training minimises.
    metrics
        What devices report on their hold-out, each as (sum, count).
    """

    name: str
    features: int
    classes: tuple[str, ...]
    scale: float = 1.0
    loss: Literal["cross_entropy"] = "cross_entropy"
    metrics: tuple[str, ...] = ("accuracy", "log_loss")

    @property
    def schema_hash(self) -> str:
        """Hexadecimal sha256 of the task; a device whose data has another one is refused."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()
