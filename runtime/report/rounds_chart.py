"""The chart of the rounds: when each group's were opened, and when and how they ended."""

from collections.abc import Sequence
from typing import Final

from tierwise.core.ids import GroupId
from tierwise.runtime.cli import present
from tierwise.runtime.report import palette
from tierwise.runtime.report.drawing import Chart, Spec, specification, three_digits, time_axis, time_unit
from tierwise.runtime.report.rows import RoundEnd, RoundRow
from tierwise.runtime.report.thinning import bars

ROW_PX: Final = 34
"""The height of a group's row on the timeline."""


def rounds_chart(rounds: Sequence[RoundRow], groups: Sequence[GroupId]) -> Chart:
    """Draw each group's rounds on a timeline, from opened to closed; abandoned ones are crossed out."""
    import altair as alt

    made, note = bars(rounds)
    unit, factor = time_unit(max((row.ended_s for row in rounds), default=0.0))
    order = [name for name in groups if any(row.group == name for row in rounds)]
    fine = len(made) <= 40 * max(1, len(order))
    rows = [_bar(row, unit, factor, number, groups) for number, row in enumerate(made)]
    exact = alt.Scale(zero=False, nice=False)
    time = alt.X("opened:Q", title=f"federation time ({unit})", scale=exact, axis=time_axis())
    lane = alt.Y("group:N", title=None, sort=order, scale=alt.Scale(paddingInner=0.25, paddingOuter=0.1))
    base = alt.Chart(alt.InlineData(values=rows))
    rectangles = base.mark_bar(stroke=palette.PAPER, strokeWidth=1 if fine else 0).encode(
        x=time,
        x2="ended:Q",
        y=lane,
        color=alt.Color("colour:N", scale=None),
        opacity=alt.Opacity("opacity:Q", scale=None),
        tooltip=[
            alt.Tooltip(f"{field}:N", title=title)
            for field, title in (
                ("group", "group"),
                ("round", "round"),
                ("end", "ended"),
                ("from", "opened"),
                ("took", "took"),
                ("delivered", "delivered"),
                ("reason", "reason"),
            )
        ],
    )
    layers = [rectangles]
    if any(row.end is RoundEnd.ABANDONED for row in rounds):
        crosses = base.transform_filter(f"datum.end == '{RoundEnd.ABANDONED}'").mark_text(
            text="✕", color=palette.BAD, fontSize=13, fontWeight="bold", dy=1
        )
        layers.append(crosses.encode(x=alt.X("middle:Q"), y=lane))
    chart = alt.layer(*layers).properties(width="container", height=ROW_PX * len(order) + 10)
    return Chart(
        f"Rounds of each group, from opened to closed, over federation time ({unit})",
        " ".join(_told(name, [row for row in rounds if row.group == name], unit, factor) for name in order),
        note,
        specification(chart),
    )


def _bar(row: RoundRow, unit: str, factor: float, number: int, groups: Sequence[GroupId]) -> Spec:
    first = f"{row.first}" if row.first == row.last else f"{row.first} to {row.last}"
    faded = {RoundEnd.DESCRIBED: 0.35, RoundEnd.EVALUATED: 0.35, RoundEnd.OPEN: 0.35, RoundEnd.ABANDONED: 0.3}
    return {
        "group": row.group,
        "round": first,
        "end": row.end,
        "opened": row.opened_s / factor,
        "ended": row.ended_s / factor,
        "middle": (row.opened_s + row.ended_s) / 2 / factor,
        "from": f"{row.opened_s / factor:.4g} {unit}",
        "took": present.duration(row.ended_s - row.opened_s),
        "delivered": f"{row.delivered:,} of {row.wanted:,} devices",
        "reason": row.reason,
        "colour": palette.BAD if row.end is RoundEnd.ABANDONED else palette.colour(groups.index(row.group)),
        # Neighbours differ, so that one sees where a round ends also where there is no room for a gap.
        "opacity": faded.get(row.end, 0.95 if number % 2 else 0.75),
    }


def _told(name: GroupId, rounds: Sequence[RoundRow], unit: str, factor: float) -> str:
    closed = sum(row.end is RoundEnd.CLOSED for row in rounds)
    abandoned = sum(row.end is RoundEnd.ABANDONED for row in rounds)
    first, last = min(row.opened_s for row in rounds), max(row.ended_s for row in rounds)
    return (
        f"{name}: {closed:,} rounds closed{f', {abandoned:,} abandoned' if abandoned else ''}, "
        f"from {three_digits(first / factor)} {unit} to {three_digits(last / factor)} {unit}."
    )
