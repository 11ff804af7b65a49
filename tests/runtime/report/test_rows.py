"""The rows of a page are what the log says: who, when, how it ended, and which model a metric belongs to."""

import msgspec
import pytest

from tests.runtime import helpers
from tests.runtime.report.logs import HOSTILE, written_run
from tierwise.core import events as e
from tierwise.runtime.figures import Run
from tierwise.runtime.policies import AggregatorChoice
from tierwise.runtime.report.rows import AbsentRow, MetricRow, RoundEnd, RunRows, read_rows
from tierwise.runtime.simulation.run import simulate


def rows_of(run: Run) -> RunRows:
    return read_rows(run, run.figures)


@pytest.fixture(scope="module")
def learned() -> Run:
    """Return a real run of three groups with two rounds each."""
    return Run.of(simulate(helpers.settings(), helpers.specs(), policies=helpers.policies(), plugins=helpers.plugins()))


def test_each_device_has_its_hardware_and_group(learned: Run) -> None:
    rows = rows_of(learned).devices
    assert [row.device for row in rows] == sorted(helpers.specs())
    for number, row in enumerate(rows):
        profile = helpers.profile(number)
        assert (row.compute_flops, row.memory_bytes) == (profile.value("cpu_flops"), profile.value("memory_bytes"))
        assert row.link_bytes_per_s == profile.value("uplink_bytes_per_s"), "the slower direction"
        assert row.group == learned.state.devices[row.device].group


def test_each_round_is_there_from_opened_to_closed(learned: Run) -> None:
    rows = rows_of(learned)
    for name in rows.groups:
        own = [row for row in rows.rounds if row.group == name]
        assert [row.end for row in own] == [RoundEnd.CLOSED] * 2 + [RoundEnd.EVALUATED]
        history = learned.state.groups[name].history
        assert [(row.opened_s, row.ended_s) for row in own[:2]] == [(one.opened_at, one.closed_at) for one in history]
        assert all(row.delivered == row.wanted == 3 for row in own)
        assert own[-1].ended_s == max(
            record.at
            for record in learned.records
            if isinstance(record.event, e.GroupFinished) and record.event.group == name
        )


def test_a_metric_belongs_to_the_model_that_was_evaluated_from_when_on_it_was_there(learned: Run) -> None:
    rows = rows_of(learned)
    assert rows.metric == "accuracy"
    for name in rows.groups:
        group = learned.state.groups[name]
        first, second = group.history
        closing = group.metrics["accuracy"]
        assert [row for row in rows.values if row.series == name] == [
            MetricRow(name, 0, first.opened_at, first.metrics["accuracy"].mean, first.metrics["accuracy"].count),
            MetricRow(name, 1, first.closed_at, second.metrics["accuracy"].mean, second.metrics["accuracy"].count),
            MetricRow(name, 2, second.closed_at, closing.mean, closing.count),
        ]


def test_the_round_that_sums_up_features_is_told_apart() -> None:
    task = msgspec.structs.replace(helpers.TASK, standardise=True)
    settings = msgspec.structs.replace(helpers.settings(), task=task)
    chosen = helpers.policies(aggregation=AggregatorChoice())
    run = Run.of(simulate(settings, helpers.specs(), policies=chosen, plugins=helpers.plugins()))
    rows = rows_of(run)
    for name in rows.groups:
        own = [row.end for row in rows.rounds if row.group == name]
        assert own == [RoundEnd.DESCRIBED, RoundEnd.CLOSED, RoundEnd.CLOSED, RoundEnd.EVALUATED]


def test_abandoned_and_open_rounds_are_told_apart() -> None:
    rows = rows_of(written_run(rounds=4, abandoned=2)).rounds
    first = [row for row in rows if row.group == "g1"]
    assert [row.end for row in first] == [
        RoundEnd.CLOSED,
        RoundEnd.ABANDONED,
        RoundEnd.CLOSED,
        RoundEnd.CLOSED,
        RoundEnd.ABANDONED,
        RoundEnd.CLOSED,
        RoundEnd.EVALUATED,
    ]
    assert [row.reason for row in first if row.end is RoundEnd.ABANDONED] == [HOSTILE] * 2
    run = written_run(rounds=2, ended=False)
    cut = next(n for n, one in reversed(list(enumerate(run.records))) if isinstance(one.event, e.UpdateAccepted))
    last = rows_of(Run.replayed(run.records[:cut])).rounds[-1]
    assert (last.group, last.end, last.delivered) == ("g2", RoundEnd.OPEN, 2)


def test_who_takes_no_part_is_there_with_the_reason() -> None:
    rows = rows_of(written_run())
    assert rows.absent == (
        AbsentRow("d00010", "in no group", HOSTILE),
        AbsentRow("d00011", "removed", "its owner took it"),
    )
    assert [row.device for row in rows.devices if row.group is None] == ["d00010"]


def test_a_log_cut_anywhere_has_rows() -> None:
    run = written_run(rounds=2, abandoned=1)
    for length in range(len(run.records)):
        rows = rows_of(Run.replayed(run.records[:length]))
        assert all(row.ended_s >= row.opened_s for row in rows.rounds)
