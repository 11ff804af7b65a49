"""What all charts of a page have in common: their form, their looks, their unit of time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tierwise.runtime.report import palette

if TYPE_CHECKING:
    import altair as alt

Spec = dict[str, Any]
"""A Vega-Lite specification as plain values."""

FONT: Final = "system-ui, sans-serif"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart for a page.

    Attributes
    ----------
    title
        With the units of what it shows.
    description
        What is in it, for who does not see it.
    note
        What was left out or joined; empty for nothing.
    spec
        The drawing.
    """

    title: str
    description: str
    note: str
    spec: Spec


def time_unit(longest_s: float) -> tuple[str, float]:
    """Return a unit that suits a time in seconds, and how many seconds it has."""
    for name, factor in (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if longest_s >= 2 * factor:
            return name, factor
    return "µs", 1e-6


def three_digits(value: float) -> str:
    """Write a number without an exponent where it is large: ``0.00322``, ``4.5``, ``1,234``."""
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"


def titled(metric: str) -> str:
    """Return a metric's name as the beginning of a title."""
    return metric.upper() if len(metric) <= 4 else metric.capitalize().replace("_", " ")


def time_axis() -> "alt.Axis":
    """Return an axis with as many labels as are read."""
    import altair as alt

    return alt.Axis(tickCount=8, labelOverlap=True)


def specification(chart: "alt.TopLevelMixin") -> Spec:
    """Return the drawing, with the looks that all have in common."""
    made: Spec = chart.to_dict()
    made["background"] = "transparent"
    made["padding"] = 4
    made["config"] = {
        "font": FONT,
        "view": {"stroke": None},
        "mark": {"aria": False},  # the chart's own text and the table beside it say more than a thousand marks
        "axis": {
            "labelColor": palette.INK,
            "titleColor": palette.INK,
            "gridColor": palette.RULE,
            "gridOpacity": 0.6,
            "domainColor": palette.FAINT,
            "tickColor": palette.FAINT,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "labelLimit": 140,
        },
        "legend": {
            "orient": "top",
            "labelColor": palette.INK,
            "titleColor": palette.FAINT,
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "symbolSize": 110,
            "labelLimit": 220,
            "columns": {"expr": "width < 270 ? 1 : width < 420 ? 2 : 4"},  # what is wider is cut off
        },
    }
    return made
