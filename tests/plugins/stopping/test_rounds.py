"""Stop after a number of rounds."""

from tierwise.core.ids import ModelVersion, RoundNumber
from tierwise.core.stopping import RoundRecord
from tierwise.plugins.stopping.rounds import RoundsOptions, RoundsRule
from tierwise.plugins.testing import check_stop_rule


def record(number: int) -> RoundRecord:
    return RoundRecord(
        round=RoundNumber(2 * number),  # every other one was abandoned
        version=ModelVersion(number),
        metrics={},
        opened_at=float(number),
        closed_at=number + 0.5,
        devices=3,
        samples=30,
        download_bytes=0,
        upload_bytes=0,
    )


def test_conformance() -> None:
    check_stop_rule(RoundsRule(RoundsOptions()))


def test_closed_rounds_count() -> None:
    rule = RoundsRule(RoundsOptions(rounds=3))
    history = [record(number) for number in range(1, 5)]
    assert [rule.check(history[:count]) for count in (1, 2, 3, 4)] == [None, None, "3 rounds", "3 rounds"]


def test_one_round() -> None:
    assert RoundsRule(RoundsOptions(rounds=1)).check([record(1)]) == "1 round"
