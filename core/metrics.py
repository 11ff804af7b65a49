"""Metrics as (sum, count) pairs: they add up over devices, and a protected sum can carry them."""

from collections.abc import Iterable

import msgspec


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A sum over samples and how many samples it is over.

    Attributes
    ----------
    sum
        Of the per-sample values: hits for an accuracy, nats for a log loss.
    count
        Number of samples.
    """

    sum: float
    count: int

    def __add__(self, other: "Metric") -> "Metric":
        return Metric(sum=self.sum + other.sum, count=self.count + other.count)

    @property
    def mean(self) -> float:
        """``sum / count``; NaN over no samples."""
        return self.sum / self.count if self.count else float("nan")


Metrics = dict[str, Metric]
"""By name: ``accuracy``, ``log_loss``."""


def add_metrics(parts: Iterable[Metrics]) -> Metrics:
    """Add metrics name by name, in the order given (which callers fix, since float sums depend on it)."""
    total: Metrics = {}
    for part in parts:
        for name, metric in part.items():
            total[name] = total[name] + metric if name in total else metric
    return total
