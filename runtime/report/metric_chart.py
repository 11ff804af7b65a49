"""The chart of a metric: how good each model was, from when on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tierwise.runtime.cli import present
from tierwise.runtime.report import palette
from tierwise.runtime.report.drawing import Chart, specification, time_axis, time_unit, titled
from tierwise.runtime.report.rows import MetricRow
from tierwise.runtime.report.thinning import points

if TYPE_CHECKING:
    import altair as alt


def metric_chart(
    metric: str,
    values: Sequence[MetricRow],
    series: Sequence[str],
    target: float | None = None,
    where: str = "",
) -> Chart:
    """Draw a metric over federation time: a line for each series.

    Parameters
    ----------
    metric
        Its name.
    values
        By series, in the order of time.
    series
        Their names, in order; the first one looks as the weakest group does.
    target
        A value to be marked.
    where
        On which samples, for the title; empty where that is said elsewhere.
    """
    import altair as alt

    made, note = points(values)
    unit, factor = time_unit(max((row.at_s for row in values), default=0.0))
    names = [name for name in series if any(row.series == name for row in values)]
    layers = [_lines(metric, made, {name: series.index(name) for name in names}, unit, factor)]
    if target is not None:
        rule = alt.Chart(alt.InlineData(values=[{"target": target}])).mark_rule(color=palette.FAINT, strokeDash=[3, 3])
        layers.append(rule.encode(y="target:Q"))
    chart = alt.layer(*layers).properties(width="container", height=300)
    ends = [next(row for row in reversed(values) if row.series == name) for name in names]
    said = (f"{row.series}: {present.metric(metric, row.value)} after {present.duration(row.at_s)}" for row in ends)
    title = f"{titled(metric)}{f' {where}' if where else ''} over federation time ({unit})"
    return Chart(title, f"The last values are {'; '.join(said)}.", note, specification(chart))


def _lines(metric: str, made: Sequence[MetricRow], numbers: Mapping[str, int], unit: str, factor: float) -> "alt.Chart":
    """Draw a line for each series, which ``numbers`` tells the looks of."""
    import altair as alt

    rows = [
        {
            "series": row.series,
            "at": row.at_s / factor,
            "value": row.value,
            "version": row.version,
            "when": present.duration(row.at_s),
            "samples": f"{row.samples:,}",
        }
        for row in made
    ]
    names = list(numbers)
    colours = alt.Scale(domain=names, range=[palette.colour(number) for number in numbers.values()])
    legend = alt.Legend(symbolType="stroke", symbolSize=500, symbolStrokeWidth=2)
    dashes = alt.Scale(domain=names, range=[palette.dash(number) for number in numbers.values()])
    lines: alt.Chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(strokeWidth=2, interpolate="step-after", point=alt.OverlayMarkDef(size=70, opacity=0, tooltip=True))
        .encode(
            x=alt.X("at:Q", title=f"federation time ({unit})", scale=alt.Scale(nice=False), axis=time_axis()),
            y=alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False)),
            color=alt.Color("series:N", title=None, scale=colours, legend=legend),
            strokeDash=alt.StrokeDash("series:N", title=None, scale=dashes, legend=legend),
            tooltip=[
                alt.Tooltip("series:N", title="model of"),
                alt.Tooltip("version:Q", title="rounds"),
                alt.Tooltip("value:Q", title=metric, format=".3f"),
                alt.Tooltip("samples:N", title="samples"),
                alt.Tooltip("when:N", title="since"),
            ],
        )
    )
    return lines
