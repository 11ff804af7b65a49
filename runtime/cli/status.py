"""``tierwise status``: where a federation stands."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import anyio
import click
import msgspec
from rich.table import Table

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.runtime.cli import present
from tierwise.runtime.cli.probe import profile_table
from tierwise.runtime.cli.store_argument import check_store
from tierwise.runtime.cli.tables import NARROW, fitting
from tierwise.runtime.config import RunConfig, load_config
from tierwise.runtime.device_standing import DeviceStanding, Whereabouts, with_registered
from tierwise.runtime.security.registry import Registry
from tierwise.runtime.standing import GroupStanding, Standing, read_standing
from tierwise.runtime.tables import located

_BESIDE: Final = 75
"""Columns that a group takes in a table beside its metrics."""


@click.command(
    epilog="\b\nExamples:\n  tierwise status examples/mqtt.toml\n  tierwise status examples/mqtt.toml --devices\n"
    "  tierwise status digits.db --device kitchen\n"
    "  tierwise status digits.db --json | jq .groups",
)
@click.argument("run", metavar="FILE.toml|STORE", type=click.Path(path_type=Path))
@click.option("--devices", is_flag=True, help="List the devices too: who is here, who is away or shut out, and why.")
@click.option("--device", metavar="NAME", help="Show what this device has reported of its hardware instead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def status(run: Path, devices: bool, device: str | None, as_json: bool) -> None:
    """Show where a federation stands: its stage, its groups, who can be reached, the latest metrics.

    Reads the store of `tierwise coordinator`, by its own name or by the configuration that names it. That changes
    nothing, and works while the coordinator runs, after it was stopped, and after the end.

    With a configuration that names a registry, its devices are listed, too: who was revoked, and who never came.
    """
    config = load_config(run) if run.suffix == ".toml" else None
    standing = anyio.run(read_standing, _store(run, config))
    if config is not None and config.security.registry is not None:
        registered = Registry.open(run.parent / config.security.registry).devices()
        revoked = {record.device: record.revoked is not None for record in registered}
        standing = msgspec.structs.replace(standing, fleet=with_registered(standing.fleet, revoked))
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
        console.print(groups_table(standing.groups, console.width))
        for group in standing.groups if console.width < NARROW else ():
            if group.reason:
                console.print(f"{group.group} {group.phase}: {group.reason}", soft_wrap=True)
    if devices:
        console.print()
        console.print(devices_table(standing, narrow=console.width < NARROW))
        for line in reasons(standing.fleet):
            console.print(line, soft_wrap=True)


def _reported(standing: Standing, device: str) -> HardwareProfile:
    if device not in standing.hardware:
        raise ConfigurationError(
            f"there is no device {device!r} in federation {standing.federation}{nearest(device, standing.hardware)}",
            key="--device",
        )
    return standing.hardware[DeviceId(device)] or HardwareProfile()


def _store(run: Path, config: RunConfig | None) -> Path:
    if config is None:
        check_store(run, "status")
        return run
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


def devices_table(standing: Standing, *, narrow: bool) -> Table:
    """Lay out devices: where each is, how it stands, what it did last, and its own hardware in short."""
    columns = ("device", "group", "stands", "last in", "compute", "memory", "uplink")
    table = present.table(*columns, right=columns[4:], tight=narrow)
    for one in standing.fleet:
        profile = standing.hardware.get(one.device)
        quantities = ("cpu_flops", "memory_bytes", "uplink_bytes_per_s")
        hardware = [
            present.quantity(name, profile.value(name)) if profile is not None else present.MISSING
            for name in quantities
        ]
        table.add_row(
            one.device, one.group or present.MISSING, one.stands, one.last_accepted or present.MISSING, *hardware
        )
    return table


def reasons(fleet: Iterable[DeviceStanding]) -> list[str]:
    """Tell why devices are not here, a line for each reason; those in quarantine are told of anyway."""
    by_reason: dict[tuple[str, str], list[DeviceId]] = {}
    for one in fleet:
        if one.reason and one.stands is not Whereabouts.QUARANTINED:
            by_reason.setdefault((one.stands, one.reason), []).append(one.device)
    return [f"{stands}: {', '.join(names)}: {reason}" for (stands, reason), names in by_reason.items()]


def groups_table(groups: Sequence[GroupStanding], width: int) -> Table:
    """Lay out groups for a console of that width: who can be reached, and what each waits for."""
    wide = width >= NARROW
    metrics, _ = fitting(list(dict.fromkeys(name for group in groups for name in group.metrics)), width - _BESIDE)
    numbers = ("reachable", "round", "arrived", *metrics, "since")
    columns = ("group", "tier", "reachable", "round", "now", "arrived", *metrics, "since")
    table = present.table(*columns, right=numbers, tight=not wide)
    for group in groups:
        values = [group.metrics[name].value if name in group.metrics else None for name in metrics]
        table.add_row(
            group.group,
            group.tier or present.MISSING,
            f"{group.reachable:,} of {group.devices:,}",
            present.count(group.round),
            f"{group.phase}: {group.reason}" if wide and group.reason else group.phase,
            present.MISSING if group.wanted is None else f"{group.arrived} of {group.wanted}",
            *map(present.metric, metrics, values),
            _clock(group.since),
        )
    return table


def _clock(moment: datetime | None) -> str:
    if moment is None:
        return present.MISSING
    local = moment.astimezone()
    today = local.date() == datetime.now().astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M}"
