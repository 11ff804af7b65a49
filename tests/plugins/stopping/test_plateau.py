"""Stop when a model does not get better any more."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.errors import ConfigurationError
from tierwise.core.task import Loss, Task
from tierwise.plugins.stopping.plateau import PlateauOptions, PlateauRule
from tierwise.plugins.testing import TASK, check_stop_rule

from .records import with_metric

losses = st.lists(st.floats(min_value=0, max_value=10), min_size=1, max_size=30)


def stops_at(rule: PlateauRule, metric: str, values: list[float | None]) -> int | None:
    """Return the number of rounds after which it stops."""
    history = with_metric(metric, values)
    return next((count for count in range(1, len(history) + 1) if rule.check(history[:count])), None)


@pytest.mark.parametrize("options", [PlateauOptions(), PlateauOptions(metric="accuracy", patience=2, smooth=3)])
def test_conformance(options: PlateauOptions) -> None:
    check_stop_rule(PlateauRule(options))


def test_it_waits_for_its_patience() -> None:
    rule = PlateauRule(PlateauOptions(patience=3, min_delta=0))
    falling = [1.0, 0.9, 0.8]
    assert stops_at(rule, "log_loss", [*falling, 0.8, 0.85, 0.9, 0.5]) == 6
    assert stops_at(rule, "log_loss", [*falling, 0.8, 0.85, 0.7, 0.7, 0.8]) is None
    assert rule.check(with_metric("log_loss", [*falling, 0.8, 0.85, 0.9])) == (
        "log_loss has not improved on 0.8 for 3 rounds"
    )


def test_a_metric_of_which_more_is_better() -> None:
    rule = PlateauRule(PlateauOptions(metric="accuracy", patience=2, min_delta=0))
    assert stops_at(rule, "accuracy", [0.1, 0.5, 0.9, 0.8, 0.85]) == 5
    assert stops_at(rule, "accuracy", [0.5, 0.6, 0.7, 0.8]) is None
    assert rule.check(with_metric("accuracy", [0.9, 0.8, 0.7])) == "accuracy has not improved on 0.9 for 2 rounds"


def test_what_is_hardly_better_is_no_improvement() -> None:
    creeping = [1.0, 0.96, 0.92, 0.88]
    assert stops_at(PlateauRule(PlateauOptions(patience=2, min_delta=0.05)), "log_loss", creeping) is None
    assert stops_at(PlateauRule(PlateauOptions(patience=2, min_delta=0.1)), "log_loss", creeping) == 3


def test_a_mean_over_rounds_does_not_see_the_noise() -> None:
    noisy = [1.0, 0.7, 0.95, 0.65, 0.9, 0.6, 0.85, 0.55]
    assert stops_at(PlateauRule(PlateauOptions(patience=1, smooth=1)), "log_loss", noisy) == 3
    assert stops_at(PlateauRule(PlateauOptions(patience=1, smooth=2)), "log_loss", noisy) is None


def test_rounds_without_a_hold_out_do_not_count() -> None:
    rule = PlateauRule(PlateauOptions(patience=2, min_delta=0))
    assert stops_at(rule, "log_loss", [None, 1.0, None, 1.0, None, None, 1.0]) == 7


@given(losses, st.integers(min_value=1, max_value=5), st.floats(min_value=0, max_value=1))
def test_more_patience_never_stops_earlier(values: list[float], patience: int, min_delta: float) -> None:
    sooner, later = (
        stops_at(PlateauRule(PlateauOptions(patience=one, min_delta=min_delta)), "log_loss", list(values))
        for one in (patience, patience + 1)
    )
    assert later is None or (sooner is not None and sooner < later)


@given(losses, st.integers(min_value=1, max_value=5))
def test_it_stops_once_the_best_is_so_many_rounds_old(values: list[float], patience: int) -> None:
    rule = PlateauRule(PlateauOptions(patience=patience, min_delta=0))
    stopped = rule.check(with_metric("log_loss", values)) is not None
    assert stopped == (len(values) - 1 - values.index(min(values)) >= patience)


def test_a_task_without_the_metric_is_refused_before_the_start() -> None:
    rule = PlateauRule(PlateauOptions())
    rule.check_task(TASK)
    with pytest.raises(ConfigurationError, match="they report mae, rmse") as caught:
        rule.check_task(Task(name="heat", features=2, loss=Loss.SQUARED_ERROR))
    assert caught.value.key == "metric"


@pytest.mark.parametrize("values", [{"patience": 0}, {"min_delta": -1}, {"smooth": 0}, {"metric": ""}])
def test_options_out_of_bounds_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, PlateauOptions)
