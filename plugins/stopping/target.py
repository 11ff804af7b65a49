"""Stop when a model is good enough."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from tierwise.core.errors import ConfigurationError
from tierwise.core.metrics import SHARES, higher_is_better
from tierwise.core.stopping import RoundRecord
from tierwise.core.task import Task
from tierwise.plugins.stopping._metric import latest, require_metric


class TargetOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `TargetRule`.

    Attributes
    ----------
    metric
        One of the task's metrics.
    value
        What its mean over the samples of all hold-outs has to reach.
    at_most
        Whether the metric has to come down to the value, instead of up to it; left out, that is so for losses and
        errors.
    """

    metric: Annotated[str, msgspec.Meta(min_length=1)] = "accuracy"
    value: float = 0.9
    at_most: bool | None = None


class TargetRule:
    """Stops a group whose metric has reached a value.

    Devices evaluate a model when they receive it, so the metrics of a round are those of the model that it started
    from: the group stops with a model that is one round further than the one that reached the value.
    """

    def __init__(self, options: TargetOptions) -> None:
        self._metric, self._value = options.metric, options.value
        self._at_most = not higher_is_better(options.metric) if options.at_most is None else options.at_most

    def check_task(self, task: Task) -> None:
        """See that the devices report the metric, and that it can have the value."""
        require_metric(self._metric, task.metrics, "target")
        if self._metric in SHARES and not 0 <= self._value <= 1:
            raise ConfigurationError(
                f"stop rule 'target' waits for {self._metric} {self._value:g}, which is a share, from 0 to 1",
                key="value",
            )

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        """Look at the last closed round; one without a hold-out sample stops nothing.

        Raises
        ------
        ConfigurationError
            If the devices do not report the metric.
        """
        value = latest(history[-1], self._metric, "target")
        if value is None:
            return None
        reached = value <= self._value if self._at_most else value >= self._value
        if not reached:
            return None
        return f"{self._metric} {value:.4g} is {'at most' if self._at_most else 'at least'} {self._value:g}"
