"""``tierwise status``: where a federation stands."""

from datetime import datetime
from pathlib import Path

import anyio
import click
import msgspec

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.runtime.cli import present
from tierwise.runtime.cli.probe import profile_table
from tierwise.runtime.config import load_config
from tierwise.runtime.standing import GroupStanding, Standing, read_standing
from tierwise.runtime.tables import located


@click.command(
    epilog="\b\nExamples:\n  tierwise status examples/mqtt.toml\n  tierwise status digits.db --device kitchen\n"
    "  tierwise status digits.db --json | jq .groups",
)
@click.argument("run", metavar="FILE.toml|STORE", type=click.Path(path_type=Path))
@click.option("--device", metavar="NAME", help="Show what this device has reported of its hardware instead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def status(run: Path, device: str | None, as_json: bool) -> None:
    """Show where a federation stands: its stage, its groups, who can be reached, the latest metrics.

    Reads the store of `tierwise coordinator`, by its own name or by the configuration that names it. That changes
    nothing, and works while the coordinator runs, after it was stopped, and after the end.
    """
    standing = anyio.run(read_standing, _store(run))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(standing), indent=2).decode())
        return
    console = present.output()
    if device is not None:
        console.print(profile_table(_reported(standing, device).completed()))
        return
    for line in _lines(standing):
        console.print(line, soft_wrap=True)
    if standing.groups:
        console.print()
        metrics = list(dict.fromkeys(name for group in standing.groups for name in group.metrics))
        numbers = ("devices", "reachable", "round", "arrived", *metrics, "since")
        table = present.table(
            "group", "tier", "devices", "reachable", "round", "now", "arrived", *metrics, "since", right=numbers
        )
        for group in standing.groups:
            table.add_row(*_row(group, metrics))
        console.print(table)


def _reported(standing: Standing, device: str) -> HardwareProfile:
    if device not in standing.hardware:
        raise ConfigurationError(
            f"there is no device {device!r} in federation {standing.federation}{nearest(device, standing.hardware)}",
            key="--device",
        )
    return standing.hardware[DeviceId(device)] or HardwareProfile()


def _store(run: Path) -> Path:
    if run.suffix != ".toml":
        return run
    config = load_config(run)
    if config.store.path is None:
        error = ConfigurationError(
            "is not set: such a federation is in the memory of its coordinator alone", key="store.path"
        )
        raise located(error, str(run))
    return run.parent / config.store.path


def _lines(standing: Standing) -> list[str]:
    if standing.running is None:
        coordinator = "no coordinator runs"
    elif standing.running:
        coordinator = f"its coordinator runs (process {standing.process})"
    else:
        coordinator = f"its coordinator (process {standing.process}) was killed; started again, it goes on"
    age = f", {present.duration(standing.silent_s)} ago" if standing.silent_s is not None else ""
    lines = [
        f"federation {standing.federation}: {standing.stage}; {coordinator}",
        f"{standing.records:,} records, the latest at {present.duration(standing.at_s)} of its own time{age}",
        f"task {standing.task}, schema {standing.schema_hash}",
        f"{standing.devices:,} devices, of which {standing.reachable:,} can be reached",
    ]
    if standing.failure:
        lines.append(f"failed: {standing.failure}")
    if standing.unplaced:
        lines.append(f"in no group: {', '.join(standing.unplaced)}")
    lines += [f"{device} is quarantined: {reason}" for device, reason in standing.quarantined.items()]
    return lines


def _row(group: GroupStanding, metrics: list[str]) -> list[str]:
    arrived = present.MISSING if group.wanted is None else f"{group.arrived} of {group.wanted}"
    values = [present.metric(name, group.metrics[name].value if name in group.metrics else None) for name in metrics]
    return [
        group.group,
        group.tier or present.MISSING,
        present.count(group.devices),
        present.count(group.reachable),
        present.count(group.round),
        group.phase if not group.reason else f"{group.phase}: {group.reason}",
        arrived,
        *values,
        _clock(group.since),
    ]


def _clock(moment: datetime | None) -> str:
    if moment is None:
        return present.MISSING
    local = moment.astimezone()
    today = local.date() == datetime.now().astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M}"
