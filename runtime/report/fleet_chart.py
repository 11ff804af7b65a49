"""The chart of a fleet: who has which hardware, and is in which group."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from tierwise.core.ids import GroupId
from tierwise.runtime.cli import present
from tierwise.runtime.report import palette
from tierwise.runtime.report.drawing import Chart, Spec, specification
from tierwise.runtime.report.rows import DeviceRow
from tierwise.runtime.report.thinning import Spot, spots

if TYPE_CHECKING:
    import altair as alt

NOWHERE: Final = "no group"
CROWD: Final = 300
"""From so many spots on they are drawn smaller."""
APART: Final = 0.02
"""Marks at one place are drawn so far apart, as a part of the axis."""
BESIDE_OF_ONE: Final = 10.0
"""The axis is as if from 1 to this if all devices have the same compute."""
NAMED: Final = 5
"""So many devices of a spot are named."""


Place = tuple[float, float]
"""FLOP/s, and what is beside it."""


def fleet_chart(devices: Sequence[DeviceRow], groups: Sequence[GroupId]) -> Chart:
    """Draw a fleet by compute and memory, or the link where memory tells less; a colour and shape for each group."""
    import altair as alt

    memory = len({row.memory_bytes for row in devices}) >= len({row.link_bytes_per_s for row in devices})
    drawn = [row for row in devices if row.compute_flops > 0 and _beside(row, memory) > 0]
    made, note = spots(drawn)
    places = Counter((one.first.compute_flops, _beside(one.first, memory)) for one in made)
    note = f"{note} {_overlapping(made, places)}".strip()
    left_out = len(devices) - len(drawn)
    if left_out:
        note = f"{note} {left_out:,} devices have a 0 for one of these, which has no place here.".strip()
    names = [*groups, *([NOWHERE] if any(row.group is None for row in drawn) else [])]
    beside = "memory (GiB)" if memory else "slowest link (MB/s)"
    log = alt.Scale(type="log", nice=False, padding=16)
    chart = (
        alt.Chart(alt.InlineData(values=list(_spots(made, places, memory))))
        .mark_point(filled=True, opacity=0.8, strokeWidth=0.5, stroke=palette.PAPER)
        .encode(
            x=alt.X("compute:Q", title="compute (GFLOP/s)", scale=log, axis=_log_axis()),
            y=alt.Y("beside:Q", title=beside, scale=log, axis=_log_axis()),
            color=alt.Color("group:N", title="group", scale=_group_colours(names)),
            shape=alt.Shape("group:N", title="group", scale=_group_shapes(names)),
            size=alt.Size(
                "count:Q",
                title="devices alike",
                scale=alt.Scale(type="sqrt", range=[40, 260] if len(made) < CROWD else [12, 90]),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip(f"{field}:N", title=title)
                for field, title in (
                    ("names", "device"),
                    ("count", "devices alike"),
                    ("group", "group"),
                    ("flops", "compute"),
                    ("memory", "memory"),
                    ("link", "slowest link"),
                )
            ],
        )
        .properties(width="container", height=340)
    )
    counts = ", ".join(f"{sum(row.group == name for row in devices):,} in {name}" for name in groups)
    absent = sum(row.group is None for row in devices)
    description = f"{len(devices):,} devices by compute and {beside}: {counts}" + (
        f"{', ' if counts else ''}{absent:,} in no group." if absent else "."
    )
    return Chart(
        f"The fleet: compute (GFLOP/s) against {beside}, both axes logarithmic", description, note, specification(chart)
    )


def _beside(row: DeviceRow, memory: bool) -> float:
    return row.memory_bytes / 2**30 if memory else row.link_bytes_per_s / 1e6


def _overlapping(made: Sequence[Spot], places: Counter[Place]) -> str:
    """Tell how many devices stand behind the marks, where that is more than one each."""
    devices = sum(len(one.devices) for one in made)
    if devices == len(made) == len(places):
        return ""
    where = f"{len(places):,} place{'' if len(places) == 1 else 's'}"
    told = f"{devices:,} devices are at {where}: the larger a mark, the more of them have this hardware."
    return f"{told} Marks at one place are drawn side by side." if len(made) > len(places) else told


def _spots(made: Sequence[Spot], places: Counter[Place], memory: bool) -> Iterator[Spec]:
    """Yield what is drawn; marks at one place, of several groups, are moved apart a little."""
    computes = [one.first.compute_flops for one in made]
    width = max(computes) / min(computes) if computes else 1.0
    step = (width if width > 1 else BESIDE_OF_ONE) ** APART
    seen: Counter[Place] = Counter()
    for one in made:
        place = (one.first.compute_flops, _beside(one.first, memory))
        spot = _spot(one, memory)
        spot["compute"] = place[0] / 1e9 * step ** (seen[place] - (places[place] - 1) / 2)
        seen[place] += 1
        yield spot


def _spot(spot: Spot, memory: bool) -> Spec:
    row, more = spot.first, len(spot.devices) - NAMED
    return {
        "names": ", ".join(spot.devices[:NAMED]) + (f" and {more:,} more" if more > 0 else ""),
        "count": len(spot.devices),
        "group": row.group or NOWHERE,
        "beside": _beside(row, memory),
        "flops": present.quantity("cpu_flops", row.compute_flops),
        "memory": present.quantity("memory_bytes", row.memory_bytes),
        "link": present.quantity("uplink_bytes_per_s", row.link_bytes_per_s),
    }


def _group_colours(names: Sequence[str]) -> "alt.Scale":
    import altair as alt

    return alt.Scale(domain=list(names), range=[_colour(number, name) for number, name in enumerate(names)])


def _colour(number: int, name: str) -> str:
    return palette.FAINT if name == NOWHERE else palette.colour(number)


def _group_shapes(names: Sequence[str]) -> "alt.Scale":
    import altair as alt

    shapes = ["cross" if name == NOWHERE else palette.shape(number) for number, name in enumerate(names)]
    return alt.Scale(domain=list(names), range=shapes)


def _log_axis() -> "alt.Axis":
    import altair as alt

    # Three digits: where all devices are alike, the only tick is at what they have, such as 23.5401687622 GiB.
    return alt.Axis(format=".3~r", tickCount=6, labelOverlap=True)
