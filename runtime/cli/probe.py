"""``tierwise probe``: this machine's hardware profile."""

from pathlib import Path

import anyio
import click
import msgspec

from tierwise.core.hardware import HardwareProfile, Origin
from tierwise.core.learning import StopToken
from tierwise.runtime.agent import measure
from tierwise.runtime.cli import present
from tierwise.runtime.cli.interrupt import run_abandonable
from tierwise.runtime.cli.plugin_files import find_plugins, plugin_files


@click.command(
    epilog="\b\nExamples:\n  tierwise probe\n  tierwise probe --json > this-machine.json",
)
@plugin_files
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def probe(plugin_files: tuple[Path, ...], as_json: bool) -> None:
    """Measure this machine as a device of a federation is measured.

    Asks every installed probe. What none of them can tell has a cautious default, unless the device's owner declares
    it; the links to the coordinator are such quantities.
    """
    plugins = find_plugins(plugin_files)

    def work(_stop: StopToken) -> HardwareProfile:
        return anyio.run(measure, plugins)

    profile = run_abandonable(work).completed()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(profile, order="sorted"), indent=2).decode())
        return
    table = present.table("quantity", "value", "in SI units", "origin", right=("value", "in SI units"))
    for name, one in sorted(profile.quantities.items(), key=lambda item: (item[1].origin is Origin.DEFAULT, item[0])):
        table.add_row(name, present.quantity(name, one.value), f"{one.value:.6g}", one.origin.value)
    present.output().print(table)
