"""Stop when a model does not get better any more."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

from tierwise.core.metrics import higher_is_better
from tierwise.core.stopping import RoundRecord
from tierwise.core.task import Task
from tierwise.plugins.stopping._metric import latest, require_metric

_Rounds = Annotated[int, msgspec.Meta(ge=1)]


class PlateauOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `PlateauRule`.

    Attributes
    ----------
    metric
        One of the task's metrics; whether less of it is better is the metric's own nature.
    patience
        So many rounds in a row without an improvement are one too many.
    min_delta
        What is better by no more than this is no improvement.
    smooth
        The metric's mean over so many rounds is watched; 1 for the metric itself.
    """

    metric: Annotated[str, msgspec.Meta(min_length=1)] = "log_loss"
    patience: _Rounds = 5
    min_delta: Annotated[float, msgspec.Meta(ge=0)] = 0.001
    smooth: _Rounds = 1


class PlateauRule:
    """Stops a group whose metric has not improved for some rounds.

    Prechelt 1998, "Early Stopping - But When?", https://doi.org/10.1007/3-540-49430-8_3, whose third class of criteria
    counts strips of rounds in which the error rose; here it is rounds in which it found no new best.

    Metrics of a round are those of the model that it started from. The group ends with its latest model, which is not
    its best one: with little patience the two are close.
    """

    def __init__(self, options: PlateauOptions) -> None:
        self._options = options
        self._sign = 1.0 if higher_is_better(options.metric) else -1.0

    def check_task(self, task: Task) -> None:
        """See that the devices report the metric."""
        require_metric(self._options.metric, task.metrics, "plateau")

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        """Count the rounds since the best one; a round without a hold-out sample does not count.

        Raises
        ------
        ConfigurationError
            If the devices do not report the metric.
        """
        best, waited = float("-inf"), 0
        for goodness in self._smoothed(history):
            if goodness > best + self._options.min_delta:
                best, waited = goodness, 0
            else:
                waited += 1
        if waited < self._options.patience:
            return None
        rounds = f"{waited} round{'' if waited == 1 else 's'}"
        return f"{self._options.metric} has not improved on {self._sign * best:.4g} for {rounds}"

    def _smoothed(self, history: Sequence[RoundRecord]) -> Iterator[float]:
        values: list[float] = []
        for record in history:
            value = latest(record, self._options.metric, "plateau")
            if value is None:
                continue
            values = [*values, value][-self._options.smooth :]
            if len(values) == self._options.smooth:
                yield self._sign * sum(values) / len(values)
