"""What the machine makes of updates and evaluations: accepted once, in time, from the right model, well-formed."""

import math

import msgspec
import pytest

from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.events import Refusal
from tierwise.core.ids import CohortId, DeviceId
from tierwise.core.metrics import Metric, Metrics

from .drive import DEADLINE_S, HITS, Drive, blob, kinds, learning


def collecting(devices: str = "abcd") -> Drive:
    drive = learning(devices)
    drive.select()
    return drive


def evaluating() -> Drive:
    drive = learning("abcd")
    drive.run_round(stop="enough")
    return drive


def evaluation(drive: Drive, device: str, cohort: str, metrics: Metrics = HITS) -> i.SubmitEvaluation:
    return i.SubmitEvaluation(
        device=DeviceId(device), cohort=CohortId(cohort), base=drive.base(cohort), metrics=metrics
    )


def test_a_good_update_is_accepted() -> None:
    drive = collecting()
    given = drive.submission("a", samples=12)
    assert drive.give(given) == [
        e.UpdateAccepted(
            cohort=given.cohort,
            device=given.device,
            blob=given.blob,
            size_bytes=given.size_bytes,
            samples=12,
            metrics=HITS,
        )
    ]


# -- once


def test_an_update_is_accepted_once_even_if_it_comes_again_with_other_bytes() -> None:
    drive = collecting()
    drive.update("a")
    assert drive.refusal(drive.submission("a")).refusal is Refusal.DUPLICATE
    assert drive.refusal(drive.submission("a", samples=99)).refusal is Refusal.DUPLICATE


def test_a_repetition_is_a_duplicate_after_the_deadline_the_round_and_the_federation() -> None:
    drive = collecting()
    drive.update("a", "b", "c")
    drive.now += 2 * DEADLINE_S
    assert drive.refusal(drive.submission("a")).refusal is Refusal.DUPLICATE
    drive.settle()
    assert drive.refusal(drive.submission("a")).refusal is Refusal.DUPLICATE
    drive.reduce()
    drive.rule(reason="enough")
    assert drive.refusal(drive.submission("a")).refusal is Refusal.DUPLICATE
    drive.wait(DEADLINE_S)
    assert drive.machine.ended
    assert drive.refusal(drive.submission("a")).refusal is Refusal.DUPLICATE
    assert drive.refusal(drive.submission("d")).refusal is Refusal.LATE


def test_a_repeated_evaluation_is_a_duplicate_after_the_end() -> None:
    drive = evaluating()
    drive.evaluate(*"abc", cohort="g1.r2")
    assert drive.refusal(evaluation(drive, "a", "g1.r2")).refusal is Refusal.DUPLICATE
    drive.evaluate("d", cohort="g1.r2")
    assert drive.machine.ended
    assert drive.refusal(evaluation(drive, "a", "g1.r2")).refusal is Refusal.DUPLICATE


def test_what_was_delivered_to_an_abandoned_round_is_a_duplicate() -> None:
    drive = collecting()
    drive.update("a")
    drive.wait(DEADLINE_S)
    assert drive.refusal(drive.submission("a")).refusal is Refusal.DUPLICATE


# -- in time


def test_an_update_at_the_deadline_is_in_time_and_after_it_late() -> None:
    drive = collecting()
    drive.now = DEADLINE_S
    assert kinds(drive.give_alone(drive.submission("a"))) == [e.UpdateAccepted]
    drive.now = DEADLINE_S + 2
    rejected = drive.refusal(drive.submission("b"))
    assert rejected.refusal is Refusal.LATE
    assert rejected.reason == "it came 2 s after the deadline of cohort g1.r1"


def test_what_counts_is_when_an_update_came_not_when_it_was_looked_at() -> None:
    drive = collecting()
    drive.now = DEADLINE_S + 5
    in_time = msgspec.structs.replace(drive.submission("a"), arrived_at=DEADLINE_S)
    assert kinds(drive.give_alone(in_time)) == [e.UpdateAccepted]
    late = msgspec.structs.replace(drive.submission("b"), arrived_at=DEADLINE_S + 1)
    assert drive.refusal(late).refusal is Refusal.LATE


def test_an_update_after_the_close_is_late() -> None:
    drive = collecting()
    drive.update("a", "b", "c")
    drive.wait(DEADLINE_S)
    assert drive.refusal(drive.submission("d")).refusal is Refusal.LATE
    drive.reduce()
    drive.rule()
    drive.select()
    rejected = drive.refusal(drive.submission("d"))
    assert rejected.refusal is Refusal.LATE
    assert rejected.reason == "cohort g1.r1 is closed"


# -- to the right cohort, from the right model


@pytest.mark.parametrize(
    "cohort",
    ["", "g1", "r1", "g1.r2", "g1.r0", "g1.r01", "g1.r-1", "g1.r1.r1", "g9.r1", "g1.rx", "g1.r١", "g1.r" + "9" * 5000],
)
def test_a_cohort_that_never_was_is_unknown(cohort: str) -> None:
    drive = collecting()
    assert drive.refusal(drive.submission("a", cohort=cohort)).refusal is Refusal.UNKNOWN_COHORT
    assert drive.give(i.DeclineTask(device=DeviceId("a"), cohort=CohortId(cohort), reason="no")) == []


def test_who_was_not_selected_cannot_deliver() -> None:
    drive = learning("abcd")
    drive.select("g1", "a", "b", "c")
    rejected = drive.refusal(drive.submission("d"))
    assert rejected.refusal is Refusal.NOT_SELECTED
    assert rejected.reason == "device 'd' is not in cohort g1.r1"


def test_a_member_of_another_group_cannot_deliver() -> None:
    drive = learning("abc", "def")
    drive.select("g1")
    assert drive.refusal(drive.submission("d")).refusal is Refusal.NOT_SELECTED


def test_who_never_enrolled_cannot_deliver() -> None:
    drive = collecting()
    assert drive.refusal(drive.submission("x")).refusal is Refusal.UNKNOWN_DEVICE


def test_an_update_from_another_model_is_refused() -> None:
    drive = learning("abc")
    drive.run_round()
    drive.select()
    rejected = drive.refusal(drive.submission("a", cohort="g1.r2", base=blob("g1-0")))
    assert rejected.refusal is Refusal.WRONG_BASE
    assert blob("g1-0")[:12] in rejected.reason
    assert blob("g1.r1-model")[:12] in rejected.reason


def test_an_evaluation_of_another_model_is_refused() -> None:
    drive = evaluating()
    given = i.SubmitEvaluation(device=DeviceId("a"), cohort=CohortId("g1.r2"), base=blob("g1-0"), metrics=HITS)
    assert drive.refusal(given).refusal is Refusal.WRONG_BASE


# -- well-formed


@pytest.mark.parametrize("samples", [0, -1, 2**31, 2**62])
def test_a_weight_out_of_range_is_malformed(samples: int) -> None:
    drive = collecting()
    rejected = drive.refusal(drive.submission("a", samples=samples))
    assert rejected.refusal is Refusal.MALFORMED
    assert rejected.reason == (
        f"device 'a' gives its update a weight of {samples} samples, 1 to 2147483647 are allowed"
    )


@pytest.mark.parametrize("samples", [1, 2**31 - 1])
def test_a_weight_at_the_edge_of_the_range_is_accepted(samples: int) -> None:
    assert kinds(collecting().update("a", samples=samples)) == [e.UpdateAccepted]


BAD_METRICS: list[Metrics] = [
    {},
    {"accuracy": HITS["accuracy"]},
    {**HITS, "f1": HITS["accuracy"]},
    {"accuracy": HITS["accuracy"], "loss": HITS["log_loss"]},
    {**HITS, "accuracy": Metric(sum=math.nan, count=10)},
    {**HITS, "log_loss": Metric(sum=math.inf, count=10)},
    {**HITS, "log_loss": Metric(sum=-math.inf, count=10)},
    {**HITS, "accuracy": Metric(sum=1.0, count=-1)},
    {**HITS, "accuracy": Metric(sum=1.0, count=2**31)},
    {**HITS, "accuracy": Metric(sum=1.0, count=0)},
]


@pytest.mark.parametrize("metrics", BAD_METRICS, ids=str)
def test_metrics_that_would_spoil_the_sum_are_malformed(metrics: Metrics) -> None:
    drive = collecting()
    rejected = drive.refusal(drive.submission("a", metrics=metrics))
    assert rejected.refusal is Refusal.MALFORMED
    assert "'a'" in rejected.reason
    closing = evaluating()
    assert closing.refusal(evaluation(closing, "a", "g1.r2", metrics)).refusal is Refusal.MALFORMED


def test_a_device_without_a_hold_out_reports_zero_over_zero() -> None:
    drive = collecting()
    nothing = dict.fromkeys(HITS, Metric(sum=0.0, count=0))
    assert kinds(drive.give(drive.submission("a", metrics=nothing))) == [e.UpdateAccepted]


def test_a_fit_wants_an_update_and_the_closing_evaluation_wants_none() -> None:
    drive = collecting()
    rejected = drive.refusal(evaluation(drive, "a", "g1.r1"))
    assert rejected.refusal is Refusal.MALFORMED
    assert "wants an update" in rejected.reason
    drive = evaluating()
    rejected = drive.refusal(drive.submission("a", cohort="g1.r2"))
    assert rejected.refusal is Refusal.MALFORMED
    assert "wants measurements" in rejected.reason


def test_a_refused_update_can_be_delivered_again_as_it_should_be() -> None:
    drive = collecting()
    drive.refusal(drive.submission("a", samples=0))
    assert kinds(drive.update("a")) == [e.UpdateAccepted]
