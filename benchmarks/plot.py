"""Draws how the figures stand beside their baselines: a picture for the page about performance."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from report import Row
from results import Result

SHOWN: Final = 4
"""Ratios of each benchmark: those that stand worst to their goals, or its first ones where it has no goals."""
LETTERS: Final = 72
"""Of a label."""
FAINT: Final = "#767f8a"
"""Of writing and lines: it is read on white and on black, since the page that shows the picture may be either."""
COLOURS: Final = {"goal met": "#1c8fd9", "goal missed": "#b3261e", "no goal": "#8a939e"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One ratio in the picture."""

    benchmark: str
    label: str
    gain: float
    """How many times as good as the baseline."""
    state: str
    goal: float | None
    """The gain that is the goal."""


def bars(found: Mapping[str, Result]) -> list[Bar]:
    """Choose what is drawn."""
    return [_bar(name, row) for name, one in found.items() for row in _chosen(one)]


def draw(found: Mapping[str, Result], path: Path) -> None:
    """Write the picture."""
    import altair as alt

    data = alt.Data(values=[asdict(bar) for bar in bars(found)])
    text = {"labelColor": FAINT, "titleColor": FAINT, "titleFontWeight": "normal", "labelLimit": 520}
    base = alt.Chart(data).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False, **text))
    )
    gain = alt.X(
        "gain:Q",
        scale=alt.Scale(type="log"),
        title="times as good as the baseline, logarithmic; the mark is the goal",
        axis=alt.Axis(format="~g", gridColor=f"{FAINT}44", values=[10**power for power in range(-4, 5)], **text),
    )
    colour = alt.Color(
        "state:N",
        scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
        legend=alt.Legend(title=None, orient="top", labelColor=FAINT),
    )
    goals = base.transform_filter("datum.goal !== null")
    layers = alt.layer(
        base.mark_bar(height=9).encode(x=gain, x2=alt.datum(1), color=colour),
        goals.mark_tick(color=FAINT, thickness=3, size=14).encode(x="goal:Q"),
        alt.Chart(data).mark_rule(color=FAINT).encode(x=alt.datum(1)),
    ).properties(width=420, height=alt.Step(16))
    header = alt.Header(labelAngle=0, labelAlign="left", labelColor=FAINT, labelFontWeight="bold")
    parts = layers.facet(row=alt.Row("benchmark:N", title=None, header=header), spacing=8)
    parts.resolve_scale(y="independent").configure_view(stroke=None).save(str(path))


def _chosen(result: Result) -> list[Row]:
    with_gain = [row for row in result.rows if row.gain is not None]
    judged = [row for row in with_gain if row.met is not None]
    if not judged:
        return with_gain[:SHOWN]
    return sorted(judged, key=lambda row: (row.met, (row.gain or 0) / (_goal(row) or 1)))[:SHOWN]


def _goal(row: Row) -> float | None:
    """Return the gain that a goal for the ratio asks for; None for one that is for the value."""
    if row.goal is None or not row.goal.startswith("ratio "):
        return None
    bound = float(row.goal.rpartition(" ")[2])
    return bound if row.better == "more" else 1 / bound


def _bar(name: str, row: Row) -> Bar:
    assert row.gain is not None  # `_chosen` has left out the others
    label = f"{row.metric} / {row.baseline}"
    state = {True: "goal met", False: "goal missed", None: "no goal"}[row.met]
    return Bar(name, label if len(label) <= LETTERS else label[: LETTERS - 1] + "…", row.gain, state, _goal(row))
