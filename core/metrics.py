"""Metrics as (sum, count) pairs: they add up over devices, and a protected sum can carry them.

Most metrics are one such pair, whose mean is the metric. Some take more than a mean to read: ``rmse`` is the root of
one, and ``auc`` is read from two histograms of scores, each bin a pair.
"""

import math
from collections.abc import Iterable
from typing import Final

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
"""What devices report, by the names that `sums_of` gives: ``accuracy``, ``log_loss``, ``auc.positive.07``."""


def add_metrics(parts: Iterable[Metrics]) -> Metrics:
    """Add metrics name by name, in the order given (which callers fix, since float sums depend on it)."""
    total: Metrics = {}
    for part in parts:
        for name, metric in part.items():
            total[name] = total[name] + metric if name in total else metric
    return total


class MetricFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as people read it.

    Attributes
    ----------
    value
        The metric; None over no samples.
    count
        How many samples it is over.
    """

    value: float | None
    count: int


AUC: Final = "auc"
AUC_BINS: Final = 64
"""Bins of each of the two histograms, see `tierwise.core.measuring`."""
_SIDES: Final = ("positive", "negative")
SHARES: Final = ("accuracy", AUC)
"""Metrics that are from 0 to 1."""
_LOSSES: Final = ("log_loss", "mae", "rmse")


def higher_is_better(metric: str) -> bool:
    """Tell the direction of a metric: losses and errors are better when they are lower, all others when higher."""
    return metric not in _LOSSES and not metric.endswith(("_loss", "_error"))


def sums_of(metric: str) -> tuple[str, ...]:
    """Return the names of the (sum, count) pairs that a metric is read from; for most it is the metric's own."""
    if metric == AUC:
        return tuple(f"{AUC}.{side}.{number:02d}" for side in _SIDES for number in range(AUC_BINS))
    return (metric,)


def read_metrics(metrics: Metrics) -> dict[str, MetricFigure]:
    """Read what people look at from the pairs that were reported, in their order."""
    figures: dict[str, MetricFigure] = {}
    for name, metric in metrics.items():
        shown = name.partition(".")[0]
        if shown == AUC and shown != name:
            if shown not in figures:
                figures[shown] = _read_auc(metrics)
        elif name == "rmse":
            figures[name] = _figure(math.sqrt(metric.mean) if metric.count else None, metric.count)
        else:
            figures[name] = _figure(metric.mean if metric.count else None, metric.count)
    return figures


def read_metric(metrics: Metrics, name: str) -> MetricFigure | None:
    """Read one metric; None if it was not reported."""
    needed = sums_of(name)
    if any(one not in metrics for one in needed):
        return None
    return read_metrics({one: metrics[one] for one in needed})[name]


def _read_auc(metrics: Metrics) -> MetricFigure:
    """Return the area under the ROC curve, by trapezoids: decisions in the same bin count as ties.

    Fawcett 2006, "An introduction to ROC analysis", https://doi.org/10.1016/j.patrec.2005.10.010, section 7.
    """
    names = sums_of(AUC)
    positive = [metrics[name].sum for name in names[:AUC_BINS]]
    negative = [metrics[name].sum for name in names[AUC_BINS:]]
    samples = metrics[names[0]].count
    pairs = sum(positive) * sum(negative)
    if not pairs:  # with one class only there is no order to be right about
        return _figure(None, samples)
    below, right = 0.0, 0.0
    for hits, misses in zip(positive, negative, strict=True):
        right += hits * (below + misses / 2)
        below += misses
    return _figure(right / pairs, samples)


def _figure(value: float | None, count: int) -> MetricFigure:
    return MetricFigure(value=value, count=count)
