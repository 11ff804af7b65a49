"""Stop when a model is good enough."""

import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import ModelVersion, RoundNumber
from tierwise.core.metrics import Metric
from tierwise.core.stopping import RoundRecord
from tierwise.plugins.stopping.target import TargetOptions, TargetRule
from tierwise.plugins.testing import TASK, check_stop_rule


def record(hits: float, nats: float, count: int = 10) -> RoundRecord:
    return RoundRecord(
        round=RoundNumber(1),
        version=ModelVersion(1),
        metrics={"accuracy": Metric(sum=hits, count=count), "log_loss": Metric(sum=nats, count=count)},
        opened_at=0.0,
        closed_at=1.0,
        devices=3,
        samples=30,
        download_bytes=0,
        upload_bytes=0,
    )


def test_conformance() -> None:
    check_stop_rule(TargetRule(TargetOptions()))


def test_the_last_round_counts() -> None:
    rule = TargetRule(TargetOptions(value=0.9))
    assert rule.check([record(8, 5)]) is None
    assert rule.check([record(8, 5), record(9, 5)]) == "accuracy 0.9 is at least 0.9"
    assert rule.check([record(9, 5), record(8, 5)]) is None


def test_a_loss_comes_down() -> None:
    rule = TargetRule(TargetOptions(metric="log_loss", value=0.3, at_most=True))
    assert rule.check([record(5, 4)]) is None
    assert rule.check([record(5, 2.5)]) == "log_loss 0.25 is at most 0.3"


@pytest.mark.parametrize("at_most", [False, True])
def test_no_samples_stop_nothing(at_most: bool) -> None:
    assert TargetRule(TargetOptions(value=0, at_most=at_most)).check([record(0, 0, count=0)]) is None


def test_the_direction_is_the_metrics_own_unless_it_is_said() -> None:
    assert TargetRule(TargetOptions(metric="log_loss", value=0.3)).check([record(5, 4)]) is None
    assert TargetRule(TargetOptions(metric="log_loss", value=0.3)).check([record(5, 2.5)]) is not None
    assert TargetRule(TargetOptions(metric="log_loss", value=0.3, at_most=False)).check([record(5, 4)]) is not None


def test_a_task_without_the_metric_is_refused_before_the_start() -> None:
    TargetRule(TargetOptions()).check_task(TASK)
    with pytest.raises(ConfigurationError, match="did you mean 'accuracy'") as caught:
        TargetRule(TargetOptions(metric="acuracy")).check_task(TASK)
    assert caught.value.key == "metric"


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError) as caught:
        TargetRule(TargetOptions(metric="acuracy")).check([record(5, 5)])
    assert str(caught.value) == (
        "metric: stop rule 'target' waits for metric 'acuracy', which the devices do not report (did you mean "
        "'accuracy'?); they report accuracy, log_loss"
    )
