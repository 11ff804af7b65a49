"""A run's figures as tables."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from tierwise.core.ids import DeviceId
from tierwise.runtime.cli import present
from tierwise.runtime.figures import GroupFigures
from tierwise.runtime.output import REPORT, Report


def groups_table(groups: Sequence[GroupFigures], title: str = "", *, time: str = "simulated time") -> Table:
    """Lay out groups: who is in each, what it learned, and why it ended; ``time`` is what the run's time was."""
    metrics = list(dict.fromkeys(name for group in groups for name in group.metrics))
    right = ("devices", "parameters", "rounds", *metrics, time)
    columns = ("group", "devices", "tier", "parameters", "rounds", *metrics, time, "ended")
    table = present.table(*columns, title=title, right=right)
    for group in groups:
        values = (group.metrics[name].value if name in group.metrics else None for name in metrics)
        table.add_row(
            group.group,
            present.count(group.devices),
            group.tier or present.MISSING,
            present.count(group.parameters),
            present.count(group.rounds),
            *map(present.share, values),
            present.duration(group.simulated_s),
            _ending(group),
        )
    return table


def unplaced_lines(unplaced: dict[DeviceId, str]) -> list[str]:
    """Tell which devices are in no group, a line for each reason."""
    by_reason: dict[str, list[DeviceId]] = {}
    for device, reason in unplaced.items():
        by_reason.setdefault(reason, []).append(device)
    return [f"in no group: {', '.join(devices)}: {reason}" for reason, devices in by_reason.items()]


def show_report(report: Report, directory: Path | None = None, *, time: str = "simulated time") -> None:
    """Print a run's figures for people, and where its files are; ``time`` as in `groups_table`."""
    console = present.output()
    if report.interrupted:
        console.print("interrupted; this is how far it came:")
    if report.run.groups:
        console.print(groups_table(report.run.groups, time=time))
    for line in unplaced_lines(report.run.unplaced):
        console.print(line, soft_wrap=True)
    if directory is not None:
        if report.run.groups:
            console.print()
        models = sum(name.endswith(".safetensors") for name in report.files)
        page = f", {REPORT}" if REPORT in report.files else ""
        console.print(
            f"written to {directory}: result.json, {models} target model{'' if models == 1 else 's'}{page}",
            soft_wrap=True,
        )


def _ending(group: GroupFigures) -> str:
    if not group.finished:
        return "not finished"
    return f"failed: {group.reason}" if group.failed else group.reason
