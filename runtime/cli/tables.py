"""A run's figures as tables."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tierwise.core.ids import DeviceId
from tierwise.core.metrics import MetricFigure
from tierwise.runtime.cli import present
from tierwise.runtime.evaluation import Evaluation
from tierwise.runtime.figures import RunFigures
from tierwise.runtime.group_figures import GroupFigures
from tierwise.runtime.output import REPORT, RESULT, Report

NARROW: Final = 100
"""A console of fewer columns has no place for why each group ended: that follows in lines."""
_ENDLESS: Final = 10_000
_LABEL: Final = 24
_NUMBER: Final = 9
"""Columns that a label and a metric take, including the space beside them."""


def show_report(
    report: Report, directory: Path | None = None, *, simulated: bool = False, failures_follow: bool = False
) -> None:
    """Print a run's figures for people, and where its files are.

    Parameters
    ----------
    report
        The run.
    directory
        Where it was written to, if it was.
    simulated
        Whether its time is simulated.
    failures_follow
        Whether the caller tells why groups failed, as `failure_lines`.
    """
    console, run = present.output(), report.run
    if report.interrupted:
        console.print("interrupted; this is how far it came:")
    if run.groups:
        _show_groups(console, run, simulated=simulated)
        for line in () if failures_follow else failure_lines(run.groups):
            console.print(line, soft_wrap=True)
    if run.evaluation is not None:
        console.print()
        show_evaluation(console, run, run.evaluation)
    for line in unplaced_lines(run.unplaced):
        console.print(line, soft_wrap=True)
    if directory is not None:
        if run.groups:
            console.print()
        page = [REPORT] if REPORT in report.files else []
        written = ", ".join([RESULT, *_models(report), *page])
        console.print(f"written to {directory}: {written}", soft_wrap=True)


def _models(report: Report) -> Iterator[str]:
    """Count the models that were written, those apart that no round has changed."""
    models = sum(name.endswith(".safetensors") for name in report.files)
    as_begun = min(models, sum(group.finished and not group.version for group in report.run.groups))
    trained = models - as_begun
    if trained or not as_begun:
        yield f"{trained} target model{'' if trained == 1 else 's'}"
    if as_begun:
        yield f"{as_begun} untrained model{'' if as_begun == 1 else 's'} (no round closed)"


def _show_groups(console: Console, run: RunFigures, *, simulated: bool) -> None:
    """Print groups with why each ended: beside it where that has room in one line, below where it has not."""
    for wide in (True, False) if console.width >= NARROW else ():
        table = groups_table(run, wide=wide, simulated=simulated)
        if console.measure(table, options=console.options.update(width=_ENDLESS)).maximum <= console.width:
            console.print(table)
            return
    console.print(groups_table(run, wide=False, ended=False, simulated=simulated))
    for line in ending_lines(run.groups):
        console.print(line, soft_wrap=True)


def groups_table(run: RunFigures, *, wide: bool, ended: bool = True, simulated: bool = False) -> Table:
    """Lay out groups, with much or little space between: who is in each, what its rounds took, and why it ended."""
    time = "time" if not simulated else "simulated time" if wide else "simulated\ntime"
    measured = ("traffic", *(["energy"] if run.energy_j is not None else []), time)
    right = ("devices", "parameters", "rounds", *measured)
    columns = ("group", "devices", "tier", *right[1:], *(["ended"] if ended else []))
    table = present.table(*columns, right=right, tight=not wide)

    def took(figures: GroupFigures | RunFigures) -> list[str]:
        energy = present.MISSING if figures.energy_j is None else present.scaled(figures.energy_j, "J")
        return [
            present.count(figures.rounds),
            present.size(figures.download_bytes + figures.upload_bytes),
            *([energy] if run.energy_j is not None else []),
            present.duration(figures.simulated_s),
        ]

    for group in run.groups:
        table.add_row(
            group.group,
            present.count(group.devices),
            group.tier or present.MISSING,
            present.count(group.parameters),
            *took(group),
            *([_ending(group)] if ended else []),
        )
    if len(run.groups) > 1:
        table.add_section()
        devices = sum(group.devices for group in run.groups)
        table.add_row("in all", present.count(devices), "", "", *took(run))
    return table


def show_evaluation(console: Console, run: RunFigures, evaluation: Evaluation) -> None:
    """Print how good the models are: by group, over all, by class of devices, and where they are worst."""
    tests = {group.group: group.test[run.metric] for group in run.groups if run.metric in group.test}
    tested = f"test {run.metric}"
    place = console.width - _LABEL - 2 * _NUMBER - (len(tested) + 2 if tests else 0)
    metrics, left = fitting(list(evaluation.metrics), place)
    numbers = ("devices", "samples", *metrics, *([tested] if tests else []))
    title = f"{'The target' if evaluation.closing else 'The latest'} models on the devices' hold-outs"
    table = present.table("", *numbers, title=title, right=numbers, tight=console.width < NARROW)

    def add(label: str, devices: int, found: Mapping[str, MetricFigure], test: MetricFigure | None = None) -> None:
        samples = next((present.count(figure.count) for figure in found.values() if figure.count), "")
        values = [present.metric(name, found[name].value if name in found else None) for name in metrics]
        values += [present.metric(run.metric, test.value if test else None)] if tests else []
        table.add_row(label, present.count(devices), samples, *values)

    for group in evaluation.groups:
        add(group.group, group.devices, group.metrics, tests.get(group.group))
    if len(evaluation.groups) > 1:
        add("all hold-outs", evaluation.devices, evaluation.metrics)
    if len(evaluation.classes) > 1:
        table.add_section()
        for one in evaluation.classes:
            add(one.name, one.devices, one.metrics)
    worst = evaluation.worst_tenth
    if not worst.hidden:
        table.add_section()
        value = MetricFigure(value=worst.value, count=0)
        add("worst tenth of devices", worst.devices, {worst.metric: value})
    console.print(table)
    for line in _remarks(evaluation, left):
        console.print(line, soft_wrap=True)


def _remarks(evaluation: Evaluation, left: Sequence[str]) -> Iterator[str]:
    if evaluation.worst_tenth.hidden:
        yield f"the worst tenth of devices is not shown: {evaluation.worst_tenth.hidden}"
    if left:
        yield f"also measured: {', '.join(left)}; a wider terminal shows them"


def fitting(metrics: Sequence[str], place: int) -> tuple[list[str], list[str]]:
    """Divide metrics into those whose columns fit into a place, one at the least, and the others."""
    fitting = 0
    for name in metrics:
        place -= max(len(name), _NUMBER - 2) + 2
        if place < 0 and fitting:
            break
        fitting += 1
    return list(metrics[:fitting]), list(metrics[fitting:])


def failure_lines(groups: Sequence[GroupFigures]) -> list[str]:
    """Tell why groups failed, a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for group in groups:
        if group.failed:
            by_reason.setdefault(group.reason, []).append(group.group)
    return [
        f"group{'' if len(names) == 1 else 's'} {', '.join(names)} failed: {reason}"
        for reason, names in by_reason.items()
    ]


def ending_lines(groups: Sequence[GroupFigures]) -> list[str]:
    """Tell why groups ended, a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for group in groups:
        by_reason.setdefault(_ending(group), []).append(group.group)
    return [f"{', '.join(names)}: {ending}" for ending, names in by_reason.items()]


def unplaced_lines(unplaced: dict[DeviceId, str]) -> list[str]:
    """Tell which devices are in no group, a line for each reason."""
    by_reason: dict[str, list[DeviceId]] = {}
    for device, reason in unplaced.items():
        by_reason.setdefault(reason, []).append(device)
    return [f"in no group: {', '.join(devices)}: {reason}" for reason, devices in by_reason.items()]


def _ending(group: GroupFigures) -> str:
    if not group.finished:
        return "not finished"
    return "failed" if group.failed else group.reason
