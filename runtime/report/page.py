"""A run's page, put together: what it says, in which order."""

from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources

from tierwise.core.state import Stage
from tierwise.runtime.cli import present
from tierwise.runtime.figures import Run
from tierwise.runtime.output import Report
from tierwise.runtime.report import palette
from tierwise.runtime.report.drawing import titled
from tierwise.runtime.report.fleet_chart import fleet_chart
from tierwise.runtime.report.markup import figure, folded, paragraph, section
from tierwise.runtime.report.metric_chart import metric_chart
from tierwise.runtime.report.rounds_chart import rounds_chart
from tierwise.runtime.report.rows import RunRows, read_rows
from tierwise.runtime.report.tables import (
    absent_table,
    devices_table,
    documented,
    evaluation_table,
    groups_table,
    rounds_table,
    values_table,
)

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
"""The page asks nobody for anything, and its browser holds it to that."""


def build_page(run: Run, report: Report, library: str, more: Sequence[str] = ()) -> str:
    """Return a run's page.

    Parameters
    ----------
    run, report
        The run, and what is told of it.
    library
        JavaScript that draws Vega-Lite.
    more
        Sections of whoever made the run, to stand before those of every run.
    """
    rows = read_rows(run, report.run)
    footer = (
        f"<footer><p>Made by tierwise {escape(report.versions.tierwise)}. "
        "The whole event log is in result.json; this file needs no network.</p></footer>"
    )
    content = "\n".join(
        (
            _header(run, report),
            *more,
            *_sections(run, report, rows),
            footer,
        )
    )
    return _document(f"{_title(run)} · tierwise", content, library)


def _document(title: str, content: str, library: str) -> str:
    dark = palette.variables(palette.DARK)
    style = (
        f":root {{ {palette.variables(palette.LIGHT)} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{_text('page.css')}"
    )
    code = library.replace("</script", r"<\/script")  # a browser looks for the end tag even in a text
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{content}\n"
        "<noscript><p class='warning'>Without JavaScript there are no charts; the tables have their figures.</p>"
        f"</noscript>\n<script>{code}</script>\n"
        f"<script>\n{_text('page.js')}</script>\n</body>\n</html>\n"
    )


def _text(name: str) -> str:
    return resources.files("tierwise.runtime.report").joinpath(name).read_text(encoding="utf-8")


# -- what it begins with


def _title(run: Run) -> str:
    """Return what tells this page from another one: the federation's name, its task, and how many devices."""
    settings = run.state.settings
    if settings is None:
        return "federation"
    names = dict.fromkeys((settings.name, settings.task.name))
    return f"{': '.join(names)}, {len(run.state.devices):,} devices"


def _header(run: Run, report: Report) -> str:
    groups, task = run.state.groups, run.state.settings.task if run.state.settings else None
    learned = "a number to predict" if task and not task.classes else f"{len(task.classes) if task else 0:,} classes"
    what = f" learned {task.name} ({task.features:,} features, {learned})" if task else ""
    lead = (
        f"{len(run.state.devices):,} devices{what} in {len(groups):,} group{'' if len(groups) == 1 else 's'}, "
        f"within {present.duration(report.run.simulated_s)} of federation time."
    )
    warnings = [paragraph(text, "warning") for text in _warnings(run, report)]
    return f"<header><h1>{escape(_title(run))}</h1>\n{paragraph(lead, 'lead')}{''.join(warnings)}</header>"


def _warnings(run: Run, report: Report) -> Iterator[str]:
    if report.run.failure is not None:
        yield f"The federation failed: {report.run.failure}"
    elif report.interrupted or run.state.stage is not Stage.FINISHED:
        yield "The run had not ended when this page was made: it shows how far it came."
    alike: dict[str, list[str]] = {}
    for group in report.run.groups:
        if group.failed and group.reason not in (report.run.failure or ""):  # which is told already
            alike.setdefault(group.reason, []).append(group.group)
    for reason, names in alike.items():
        yield f"{'Group' if len(names) == 1 else 'Groups'} {', '.join(names)} failed: {reason}"


# -- sections


def _evaluation(report: Report) -> Iterator[str]:
    if report.run.evaluation is not None:
        yield evaluation_table(report.run, report.run.evaluation)
        if report.run.evaluation.worst_tenth.hidden:
            yield paragraph(
                f"The worst tenth of devices is not shown: {report.run.evaluation.worst_tenth.hidden}.", "note"
            )


def _sections(run: Run, report: Report, rows: RunRows) -> Iterator[str]:
    if report.run.groups:
        yield section("groups", "Groups", groups_table(report.run.groups), *_evaluation(report))
    if rows.devices:
        chart = fleet_chart(rows.devices, rows.groups)
        yield section("fleet", "Fleet", figure("fleet", chart), folded("The devices as a table", devices_table(rows)))
    if rows.values and rows.metric is not None:
        chart = metric_chart(rows.metric, rows.values, rows.groups)
        said = (
            f"Each group's models, from when on they were there; {rows.metric} on the hold-outs of the devices that "
            "delivered in time, before they trained. A line's last value is that of the closing evaluation."
        )
        told = folded("The evaluations as a table", values_table(rows.metric, rows.values, "on the hold-outs"))
        yield section("metric", f"{titled(rows.metric)} over time", paragraph(said), figure("metric", chart), told)
    if rows.tests and rows.metric is not None:
        chart = metric_chart(rows.metric, rows.tests, rows.groups, where="on the test set")
        said = (
            f"The model that each round made; {rows.metric} on the coordinator's own test set, which is the same for "
            "all groups."
        )
        told = folded("The tests as a table", values_table(rows.metric, rows.tests, "on the test set"))
        title = f"{titled(rows.metric)} on the test set over time"
        yield section("test", title, paragraph(said), figure("test", chart), told)
    if rows.rounds:
        chart = rounds_chart(rows.rounds, rows.groups)
        said = (
            "✕ marks a round that was abandoned: it made no model. Pale ones at a group's ends make none either: "
            "its closing evaluation, and where features are standardised, the round that sums them up."
        )
        told = folded("The rounds as a table", rounds_table(rows))
        yield section("rounds", "Rounds", paragraph(said), figure("rounds", chart), told)
    yield section("absent", "Devices that take no part", absent_table(rows))
    yield section("run", "How it was run", *documented(run, report))
