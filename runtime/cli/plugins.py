"""``tierwise plugins``: what is installed."""

from pathlib import Path

import click
import msgspec
from rich.table import Table

from tierwise.plugins.describing import ListedOption, listed_options
from tierwise.plugins.descriptors import AnyDescriptor, Kind, PluginDescriptor
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli import present
from tierwise.runtime.cli.plugin_files import find_plugins, plugin_files

_KINDS = {kind.value.replace(" ", "-"): kind for kind in Kind}
_SHOWN = {kind: name for name, kind in _KINDS.items()}
"""A kind as it is said on the command line, and shown there."""


class _KindChoice(click.Choice[str]):
    """Takes a kind as messages and the JSON document spell it, too: ``stop rule``."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(value.replace(" ", "-"), param, ctx)


class ListedPlugin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A plugin and where it comes from; ``options`` only when they were asked for."""

    kind: Kind
    name: str
    distribution: str
    version: str
    summary: str
    options: tuple[ListedOption, ...] | None = None


@click.command(
    epilog="\b\nExamples:\n  tierwise plugins\n  tierwise plugins --kind grouping-policy --options\n"
    "  tierwise plugins --json",
)
@click.option(
    "--kind",
    type=_KindChoice(list(_KINDS), case_sensitive=False),
    metavar="KIND",
    help=f"Only plugins of one kind: {', '.join(_KINDS)}.",
)
@plugin_files
@click.option("--options", "with_options", is_flag=True, help="Show each plugin's options too; loads the plugins.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, a list, instead of a table.")
def plugins(kind: str | None, plugin_files: tuple[Path, ...], with_options: bool, as_json: bool) -> None:
    """List the plugins that are installed.

    A configuration asks for a plugin by its name. Policy packs, which bring more of them, are installed with pip. One
    of your own can also be in a file, which a configuration names, and --plugins here.
    """
    found = find_plugins(plugin_files)
    kinds = list(Kind) if kind is None else [_KINDS[kind]]
    listed = [_listed(found, one, with_options) for wanted in kinds for one in found.descriptors(wanted)]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(listed), indent=2).decode())
        return
    console = present.output()
    console.print(_table(listed))
    for one in listed:
        if one.options:
            console.print()
            console.print(_options_table(one))


def _summary(descriptor: AnyDescriptor) -> str:
    if isinstance(descriptor, PluginDescriptor):
        return descriptor.summary
    parts = f"[aggregation.reducer] {descriptor.reducer}, [aggregation.server_optimizer] {descriptor.server_optimizer}"
    return f"{descriptor.summary} Its parts, by the tables of their options: {parts}."


def _listed(found: Plugins, descriptor: AnyDescriptor, with_options: bool) -> ListedPlugin:
    origin = found.provenance(descriptor.kind, descriptor.name)
    return ListedPlugin(
        kind=descriptor.kind,
        name=descriptor.name,
        distribution=origin.distribution,
        version=origin.version,
        summary=_summary(descriptor),
        options=listed_options(descriptor) if with_options else None,
    )


def _table(listed: list[ListedPlugin]) -> Table:
    table = present.table("kind", "name", "from", "what it does")
    for one in listed:
        table.add_row(_SHOWN[one.kind], one.name, f"{one.distribution} {one.version}".rstrip(), one.summary)
    return table


def _options_table(one: ListedPlugin) -> Table:
    table = present.table("option", "default", "allowed", "what it is", title=f"{_SHOWN[one.kind]} {one.name}")
    for option in one.options or ():
        default = present.MISSING if option.default is None else msgspec.json.encode(option.default).decode()
        table.add_row(option.name, default, option.allowed, option.meaning)
    return table
