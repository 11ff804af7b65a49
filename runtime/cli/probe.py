"""``tierwise probe``: this machine's hardware profile."""

import csv
import io
from pathlib import Path
from typing import Final

import anyio
import click
import msgspec
from rich.table import Table

from tierwise.core.errors import ConfigurationError
from tierwise.core.hardware import QUANTITIES, HardwareProfile, Origin
from tierwise.core.ids import is_device_id
from tierwise.core.learning import StopToken
from tierwise.runtime.cli import present
from tierwise.runtime.cli.interrupt import run_abandonable
from tierwise.runtime.cli.plugin_files import find_plugins, plugin_files
from tierwise.runtime.probing import Probing, Reading

_DIGITS: Final = ".12g"
"""Of a number in a table: more than any probe tells, and no 0.1 becomes a 0.1000000000000000055."""


@click.command(
    epilog="\b\nExamples:\n  tierwise probe\n  tierwise probe --json > this-machine.json\n"
    "  tierwise probe --csv --id kitchen > fleet.csv\n"
    "  ssh cellar tierwise probe --csv --id cellar | tail -n 1 >> fleet.csv",
)
@plugin_files
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print a row for the table of a fleet ([fleet] hardware), below its header."
)
@click.option("--id", "device", metavar="NAME", help="With --csv: the device's name; by default the host's.")
def probe(plugin_files: tuple[Path, ...], as_json: bool, as_csv: bool, device: str | None) -> None:
    """Measure this machine as a device of a federation is measured.

    Asks every installed probe, and says what could not be measured, and why. What is not known has a cautious default,
    unless the device's owner declares it; the links to the coordinator are learnt while an agent runs.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if device is not None and not as_csv:
        raise click.UsageError("--id is for --csv")
    name = _device(device) if as_csv else ""
    probing = Probing(find_plugins(plugin_files))

    def work(_stop: StopToken) -> Reading:
        return anyio.run(probing.measure)

    reading = run_abandonable(work)
    if as_csv:
        click.echo(fleet_row(name, reading), nl=False)
    elif as_json:
        click.echo(_json(reading))
    else:
        _show(reading)


def profile_table(profile: HardwareProfile) -> Table:
    """Lay out a profile: what is known first, then the defaults."""
    table = present.table("quantity", "value", "in SI units", "origin", right=("value", "in SI units"))
    for name, one in sorted(profile.quantities.items(), key=lambda item: (item[1].origin is Origin.DEFAULT, item[0])):
        table.add_row(name, present.quantity(name, one.value), f"{one.value:.6g}", one.origin.value)
    return table


def fleet_row(device: str, reading: Reading) -> str:
    """Return a machine's row of a fleet's table, below its header.

    Machines with the same probes have the same header, whatever each of them can measure: what it cannot has an empty
    cell, and so has what only the owner knows, to be filled in.
    """
    from tierwise.runtime.fleet.draw import DEVICE, is_quantity

    found = {*reading.quantities, *reading.unmeasured}
    names = [*QUANTITIES, *sorted(name for name in found if name not in QUANTITIES and is_quantity(name))]
    known = reading.quantities
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([DEVICE, *names])
    table.writerow([device, *(format(known[name], _DIGITS) if name in known else "" for name in names)])
    return text.getvalue()


def _device(given: str | None) -> str:
    from tierwise.runtime.cli.agent_link import host_id

    device = host_id() if given is None else given
    if not is_device_id(device):
        raise ConfigurationError(
            f"{device!r} cannot name a device: 1 to 64 of A-Z a-z 0-9 . _ - are allowed, the first a letter or digit",
            key="--id",
        )
    return device


def _json(reading: Reading) -> str:
    document = {
        "quantities": reading.profile.completed().quantities,
        "unmeasured": reading.unmeasured,
        "failed": reading.failed,
    }
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2).decode()


def _show(reading: Reading) -> None:
    console = present.output()
    console.print(profile_table(reading.profile.completed()))
    by_reason: dict[str, list[str]] = {}
    for name, reason in reading.unmeasured.items():
        by_reason.setdefault(reason, []).append(name)
    lines = [f"not measured: {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    lines += [f"probe {name!r} measured nothing: {reason}" for name, reason in reading.failed.items()]
    if lines:
        console.print()
    for line in lines:
        console.print(line, soft_wrap=True)
