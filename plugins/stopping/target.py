"""Stop when a model is good enough."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.metrics import read_metric, read_metrics
from tierwise.core.stopping import RoundRecord


class TargetOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `TargetRule`.

    Attributes
    ----------
    metric
        One of the task's metrics.
    value
        What its mean over the samples of all hold-outs has to reach.
    at_most
        The metric has to come down to the value (a loss), instead of up to it (an accuracy).
    """

    metric: Annotated[str, msgspec.Meta(min_length=1)] = "accuracy"
    value: float = 0.9
    at_most: bool = False


class TargetRule:
    """Stops a group whose metric has reached a value.

    Devices evaluate a model when they receive it, so the metrics of a round are those of the model that it started
    from: the group stops with a model that is one round further than the one that reached the value.
    """

    def __init__(self, options: TargetOptions) -> None:
        self._options = options

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        """Look at the last closed round; one without a hold-out sample stops nothing.

        Raises
        ------
        ConfigurationError
            If the devices do not report the metric.
        """
        name, value, metrics = self._options.metric, self._options.value, history[-1].metrics
        figure = read_metric(metrics, name)
        if figure is None:
            known = read_metrics(metrics)
            raise ConfigurationError(
                f"stop rule 'target' waits for metric {name!r}, which the devices do not report"
                f"{nearest(name, known)}; they report {', '.join(sorted(known)) or 'none'}"
            )
        if figure.value is None:  # of no samples
            return None
        reached = figure.value <= value if self._options.at_most else figure.value >= value
        if not reached:
            return None
        return f"{name} {figure.value:.4g} is {'at most' if self._options.at_most else 'at least'} {value:g}"
