"""Thinning keeps what matters, stays within its bounds, and says what it did."""

from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.ids import DeviceId, GroupId
from tierwise.runtime.report.rows import DeviceRow, MetricRow, RoundEnd, RoundRow
from tierwise.runtime.report.thinning import bars, every, points, spots

KINDS = st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["g1", "g2", None])), max_size=60)
ENDS = st.lists(st.tuples(st.sampled_from(["g1", "g2"]), st.sampled_from(list(RoundEnd))), max_size=60)


def device(number: int, compute: float, group: str | None) -> DeviceRow:
    return DeviceRow(DeviceId(f"d{number}"), group and GroupId(group), compute, 1.0, 1.0)


@given(KINDS, st.integers(1, 20))
def test_devices_alike_share_a_spot_and_what_is_left_out_is_told(kinds, most) -> None:
    rows = [device(number, *kind) for number, kind in enumerate(kinds)]
    found, told = spots(rows, most)
    there = [name for spot in found for name in spot.devices]
    assert len(there) == len(set(there))
    assert len(found) <= most + 1
    assert {kind for kind in kinds if len(set(kinds)) <= most} <= {
        (spot.first.compute_flops, spot.first.group) for spot in found
    }
    assert told == (
        ""
        if len(there) == len(rows)
        else f"{len(there)} of {len(rows)} devices are drawn, evenly by compute in each group."
    )


@given(ENDS, st.integers(1, 20))
def test_joined_rounds_cover_what_each_covered_and_no_abandoned_one_disappears(ends, most) -> None:
    rows = [RoundRow(GroupId(group), n, n, float(n), n + 1.0, end, 5, 4) for n, (group, end) in enumerate(ends)]
    found, told = bars(rows, most)
    for end in set(RoundEnd) - {RoundEnd.CLOSED}:
        assert [row for row in found if row.end is end] == sorted(
            (row for row in rows if row.end is end), key=lambda row: (row.group, row.opened_s)
        )
    for row in rows:
        (bar,) = (
            bar for bar in found if bar.group == row.group and bar.first <= row.first <= bar.last and bar.end is row.end
        )
        assert bar.opened_s <= row.opened_s
        assert bar.ended_s >= row.ended_s
    assert bool(told) == (sum(row.end is RoundEnd.CLOSED for row in rows) > most)


def test_a_line_keeps_its_ends() -> None:
    rows = [MetricRow("g1", n, float(n), 0.5, 10) for n in range(1001)]
    found, told = points(rows, 100)
    assert (found[0], found[-1]) == (rows[0], rows[-1])
    assert len(found) <= 101
    assert told == f"{len(found)} of 1,001 evaluations are drawn."
    assert points(rows[:50], 100) == (rows[:50], "")


@given(st.lists(st.integers(), unique=True), st.integers(1, 9))
def test_every_so_many_th_and_the_last(items, stride) -> None:
    kept = every(items, stride)
    assert kept == [item for n, item in enumerate(items) if n % stride == 0 or n == len(items) - 1]
