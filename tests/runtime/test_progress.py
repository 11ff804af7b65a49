"""Live progress and log lines: the task's first metric, and the coordinator's test set beside it."""

import io

import msgspec
import pytest
from rich.console import Console

from tests.core.drive import HITS, TASK, Drive, learning
from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.ids import CohortId, DeviceId, GroupId, ModelVersion
from tierwise.core.metrics import Metric
from tierwise.runtime.cli import progress
from tierwise.runtime.cli.progress import Progress
from tierwise.runtime.cli.sentences import tell


@pytest.fixture(autouse=True)
def _every_line(monkeypatch) -> None:
    monkeypatch.setattr(progress, "PAUSE_S", 0.0)


def run_round(drive: Drive, hits: float) -> None:
    drive.select()
    drive.update("a", "b", "c", cohort=drive.cohort().opened.cohort)
    drive.reduce()
    if drive.machine.state.tests:
        tested = {"log_loss": Metric(sum=0.5, count=8), "accuracy": Metric(sum=hits, count=8)}
        drive.give(i.ModelMeasured(order=drive.order(c.MeasureModel).key, metrics=tested))
    drive.rule()


def told(events) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    watching = Progress(console)
    with watching.shown():
        for event in events:
            watching.watch(event)
    return console.file.getvalue().splitlines()


def shown(events, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    watching = Progress(console)
    for event in events:
        watching.watch(event)
    console.print(watching._table())
    return console.file.getvalue().splitlines()


def test_a_round_has_one_line_with_the_first_metric() -> None:
    drive = learning("abc")
    run_round(drive, 3)
    assert told(drive.events) == ["g1 tier-g1: round 1 closed, 3 of 3 devices, accuracy 0.800 before it"]


def test_with_a_test_set_the_line_has_both_figures() -> None:
    drive = learning("abc", tests=True)
    run_round(drive, 3)
    run_round(drive, 5)
    assert told(drive.events)[1:] == [
        "g1 tier-g1: round 2 closed, 3 of 3 devices, accuracy 0.800 before it, test accuracy 0.625 after it"
    ]
    head, _, row = shown(drive.events, 80)
    assert head.split() == ["group", "tier", "devices", "rounds", "in", "accuracy", "test", "accuracy", "now"]
    assert row.split()[:6] == ["g1", "tier-g1", "3", "2", "3/3", "0.800"]
    assert "0.625" in row


def test_the_first_metric_is_the_tasks_whatever_a_device_names_first() -> None:
    drive = learning("abc")
    backwards = dict(reversed(HITS.items()))
    drive.select()
    for device in "abc":
        drive.give(drive.submission(device, metrics=backwards))
    drive.reduce()
    assert "accuracy 0.800" in told(drive.events)[-1]


def test_an_error_is_in_the_targets_unit() -> None:
    numbers = {"rmse": Metric(sum=3 * 53126.0**2, count=3), "mae": Metric(sum=37.05, count=3)}
    drive = learning("abc")
    run_round(drive, 3)
    task = msgspec.structs.replace(TASK, metrics=("rmse", "mae"))
    events = []
    for event in drive.events:
        changed = event
        if isinstance(event, e.FederationOpened):
            changed = msgspec.structs.replace(event, settings=msgspec.structs.replace(event.settings, task=task))
        elif isinstance(event, e.RoundClosed):
            changed = msgspec.structs.replace(event, metrics=numbers)
        events.append(changed)
    assert told(events)[-1].endswith("3 of 3 devices, rmse 53,126 before it")
    closed = next(event for event in events if isinstance(event, e.RoundClosed))
    assert tell(closed) == "g1: round 1 closed with 3 devices, rmse 53,126, mae 12.35"


def test_a_reason_that_stays_the_same_is_told_once() -> None:
    drive = learning("abc")
    for _ in range(drive.machine.state.opened.rounds.abandoned_limit):
        drive.select()
        cohort = drive.cohort().opened.cohort
        for device in "abc":
            drive.give(i.DeclineTask(device=DeviceId(device), cohort=cohort, reason="no samples"))
    assert isinstance(drive.events[-1], e.GroupFinished | e.FederationFinished)
    lines = told(drive.events)
    assert sum("no samples" in line for line in lines[:-1]) == 1, lines
    assert lines[0].startswith("g1 tier-g1: round 1 abandoned because 0 of 3 updates came in time")
    assert lines[1] == "g1 tier-g1: round 2 abandoned for the same reason"
    assert lines[-1] == (
        "g1 tier-g1: failed: 3 rounds in a row were abandoned, the last because 0 of 3 updates came in time, at least "
        "3 are needed; 3 declined: no samples"
    )


def test_why_a_group_failed_is_told_in_its_line_shortened_if_it_is_long() -> None:
    reasons = "ValueError: no", f"ValueError: {'no ' * 100}\nin all"
    lines = []
    for reason in reasons:
        drive = learning("abc")
        drive.select()
        drive.update("a", "b", "c", cohort=drive.cohort().opened.cohort)
        drive.give(i.PluginFailed(order=drive.order(c.ReduceCohort).key, plugin="mine", reason=reason))
        lines.append(told(drive.events)[-1])
    assert lines[0] == f"g1 tier-g1: failed: mine failed: {reasons[0]}"
    assert lines[1].startswith("g1 tier-g1: failed: mine failed: ValueError: no no no")
    assert lines[1].endswith(" no…")
    assert len(lines[1]) < 190


def test_no_sentence_tells_a_single_devices_figures() -> None:
    accepted = e.EvaluationAccepted(cohort=CohortId("g1.r2"), device=DeviceId("a"), metrics=HITS)
    assert tell(accepted) == "g1.r2: evaluation of a"


def test_a_closed_cohort_and_a_closed_round_are_told_apart() -> None:
    cohort = e.CohortClosed(group=GroupId("g1"), cohort=CohortId("g1.r2"), survivors=tuple(map(DeviceId, "abc")))
    assert tell(cohort) == "g1.r2: nothing more is accepted, 3 devices to be summed"


def test_tests_and_exchanges_have_sentences() -> None:
    group, version = GroupId("g1"), ModelVersion(4)
    tested = e.ModelTested(group=group, version=version, metrics={"accuracy": Metric(sum=3, count=4)})
    assert tell(tested) == "g1: version 4 on the coordinator's test set, accuracy 0.750"
    teachers = {GroupId(name): ModelVersion(3) for name in ("g1", "g2", "g3")}
    exchanged = e.ModelExchanged(group=group, version=version, model=learning("abc").group().model, teachers=teachers)
    assert tell(exchanged) == "g1: version 4 learned from g2, g3"
