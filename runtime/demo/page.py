"""What the demonstration adds to the page of its run: the federations side by side."""

from collections.abc import Iterator

import msgspec

from tierwise.runtime.demo.comparison import TARGET, Comparison
from tierwise.runtime.demo.measuring import METRIC
from tierwise.runtime.demo.tables import ROWS, verdicts
from tierwise.runtime.report.markup import bullets, figure, paragraph, section, table
from tierwise.runtime.report.metric_chart import metric_chart
from tierwise.runtime.report.rows import MetricRow


def sections_of(figures: object) -> list[str]:
    """Return the sections of a result's figures, as JSON has them; none if they are not the demonstration's."""
    try:
        return [comparison_section(msgspec.convert(figures, Comparison))]
    except msgspec.ValidationError:
        return []


def comparison_section(comparison: Comparison) -> str:
    """Return the section that puts the federations side by side."""
    names = tuple(str(arm.name) for arm in comparison.arms)
    count = len(comparison.seeds)
    rows = [(row.label, *(row.cell(arm, count) for arm in comparison.arms)) for row in ROWS]
    chart = metric_chart(METRIC, list(_courses(comparison)), names, target=comparison.target[0])
    seeds = "1 seed" if count == 1 else f"{count} seeds: mean (least to greatest)"
    return section(
        "arms",
        "Side by side",
        paragraph(
            f"{comparison.devices:,} devices, the same data, deadline and rounds for all; {_public(comparison)} "
            "Accuracy is measured on the hold-outs of all devices, also of those that a federation left behind. The "
            f"target is {100 * TARGET:.0f} % of the best accuracy in the end; energy is each device's power at full "
            "load times the seconds for which it computed, in vain or not."
        ),
        table(f"The federations, over all devices, {seeds}", ("", *names), rows, names),
        bullets(verdicts(comparison)),
        paragraph(f"Below, seed {comparison.seeds[0]}; the dotted line is the target.", "note"),
        figure("arms", chart),
    )


def _public(comparison: Comparison) -> str:
    if not comparison.public:
        return "there are no samples by which tierwise's groups could learn from each other."
    return (
        f"tierwise's groups learn from each other by {comparison.public:,} samples without labels, which the "
        "coordinator holds and no device has."
    )


def _courses(comparison: Comparison) -> Iterator[MetricRow]:
    for arm in comparison.arms:
        for number, (at_s, accuracy) in enumerate(arm.course):
            yield MetricRow(str(arm.name), number, at_s, accuracy, 0)
