"""Stop after some time."""

from tierwise.core.ids import ModelVersion, RoundNumber
from tierwise.core.stopping import RoundRecord
from tierwise.plugins.stopping.time import TimeOptions, TimeRule
from tierwise.plugins.testing import check_stop_rule


def record(opened_at: float, closed_at: float) -> RoundRecord:
    return RoundRecord(
        round=RoundNumber(1),
        version=ModelVersion(1),
        metrics={},
        opened_at=opened_at,
        closed_at=closed_at,
        devices=3,
        samples=30,
        download_bytes=0,
        upload_bytes=0,
    )


def test_conformance() -> None:
    check_stop_rule(TimeRule(TimeOptions()))


def test_time_runs_from_the_first_rounds_opening() -> None:
    rule = TimeRule(TimeOptions(seconds=60))
    history = [record(1000.0, 1020.0), record(1021.0, 1059.0), record(1061.0, 1061.5)]
    assert [rule.check(history[:count]) for count in (1, 2, 3)] == [None, None, "61.5 s of 60 s"]


def test_exactly_on_time_is_enough() -> None:
    assert TimeRule(TimeOptions(seconds=60)).check([record(1.0, 61.0)]) == "60 s of 60 s"
