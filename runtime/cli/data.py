"""``tierwise data``: what a data source has, and the lines that write its task down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
from rich.console import Console

from tierwise.core.describing import Column, Describing, Dropped, Dropping
from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import DataSource, KnowsDevices, LocalData, StopToken, reserved_of
from tierwise.core.task import Loss, Task
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli import present
from tierwise.runtime.cli.dataspec import read_data_spec, toml_line, toml_value
from tierwise.runtime.cli.interrupt import run_abandonable
from tierwise.runtime.cli.plugin_files import find_plugins, plugin_files
from tierwise.runtime.config import load_config
from tierwise.runtime.tables import located

_INDENT: Final = "    "
_WIDE: Final = 12
"""So many classes get a column each; of more only their number is shown."""


class DeviceData(msgspec.Struct, frozen=True, kw_only=True):
    """What a device has, training and hold-out together.

    Attributes
    ----------
    device
        Its name; of data that are dealt out, ``part 0`` and so on.
    samples, holdout
        All of them, and those that it only evaluates on.
    classes
        Of a classification, how many samples there are of each.
    least, greatest
        Of a regression, the range of the target.
    """

    device: str
    samples: int
    holdout: int
    classes: dict[str, int] | None = None
    least: float | None = None
    greatest: float | None = None


class DataReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that the command tells.

    Attributes
    ----------
    source
        The data source's name.
    columns
        What the data consist of, where the source tells.
    task, schema_hash
        What is learned; a device whose data have another hash is refused.
    devices
        Who has what.
    reserved
        Samples that are set apart, and nobody has.
    pins
        Options that tell the task without the data.
    dropped
        What was left out since it lacks a value.
    """

    source: str
    columns: tuple[Column, ...]
    task: Task
    schema_hash: str
    devices: tuple[DeviceData, ...]
    reserved: int
    pins: dict[str, object]
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class _Given:
    """A data source, and how it is asked."""

    name: str
    source: DataSource
    seed: int
    parts: Callable[[], int]
    """How many devices data are dealt out to that do not know theirs."""

    def devices(self) -> tuple[str, ...]:
        """Name the devices, in the order of their parts."""
        named = self.source.devices() if isinstance(self.source, KnowsDevices) else ()
        return named or tuple(f"part {part}" for part in range(self.parts()))


@click.command(
    epilog="\b\nExamples:\n  tierwise data examples/csv.toml\n"
    '  tierwise data "csv:path=devices/*.csv,target=label"\n'
    "  tierwise data \"csv:path=a.csv,target=label,one_hot={oil=['new','old']},classes=['good','bad']\"\n"
    "  tierwise data digits:parts=60,partition=shards --json",
)
@plugin_files
@click.argument("spec", metavar="FILE.toml|SPEC")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
def data(spec: str, plugin_files: tuple[Path, ...], as_json: bool) -> None:
    """Show what a data source has: columns, samples and classes of each device, and what is learned from them.

    Takes a configuration, or what an agent takes as --data: SOURCE[:KEY=VALUE,...]. A value is a text as it is, or a
    number, list or table as in TOML. At the end it prints the lines
    that the table [data] of a coordinator needs, which has no data, and those of devices: all of them need the same.
    """
    plugins = find_plugins(plugin_files)

    def work(_stop: StopToken) -> None:
        given = _given(spec, plugins)
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(_report(given)), indent=2).decode())
        else:
            _show(given, present.output())

    try:
        run_abandonable(work)
    except ConfigurationError as error:
        raise located(error, spec) from error


def _given(spec: str, plugins: Plugins) -> _Given:
    if not spec.endswith(".toml"):
        read = read_data_spec(spec, plugins)
        return _Given(read.name, read.source, read.share.seed, lambda: read.share.parts)
    config = load_config(Path(spec), plugins)
    source = config.data_source(plugins)
    return _Given(config.data.name, source, config.seed, lambda: len(config.profiles(Path(spec).parent)))


def _report(given: _Given) -> DataReport:
    task = given.source.task
    described = given.source if isinstance(given.source, Describing) else None
    return DataReport(
        source=given.name,
        columns=() if described is None else tuple(described.columns()),
        task=task,
        schema_hash=task.schema_hash,
        devices=_devices(given, task),
        reserved=_reserved(given),
        pins={} if described is None else dict(described.pins()),
        dropped=tuple(given.source.dropped()) if isinstance(given.source, Dropping) else (),
    )


def _reserved(given: _Given) -> int:
    try:
        return len(reserved_of(given.source, given.seed))
    except ConfigurationError:  # it sets none apart
        return 0


def _devices(given: _Given, task: Task) -> tuple[DeviceData, ...]:
    names = given.devices()
    return tuple(
        _device(name, given.source.load(part, len(names), given.seed), task) for part, name in enumerate(names)
    )


def _device(name: str, local: LocalData, task: Task) -> DeviceData:
    labels = np.concatenate([local.train.labels, local.holdout.labels])
    told = DeviceData(device=name, samples=len(labels), holdout=len(local.holdout))
    if task.loss is Loss.SQUARED_ERROR:
        return msgspec.structs.replace(told, least=float(labels.min()), greatest=float(labels.max()))
    if labels.ndim == 2:  # soft ones: who is most likely
        labels = labels.argmax(axis=1)
    counts = np.bincount(labels.astype(np.int64), minlength=len(task.classes)).tolist()
    return msgspec.structs.replace(told, classes=dict(zip(task.classes, counts, strict=True)))


def _show(given: _Given, console: Console) -> None:
    source = given.source
    if isinstance(source, Describing):  # first of all: it helps where the rest cannot be told
        _show_columns(source.columns(), console)
    report = _report(given)
    _show_devices(report, console)
    task = report.task
    what = f"one of {len(task.classes)} classes" if task.classes else "a number"
    console.print(f"\ntask {task.name!r}: {what} from {task.features} features", soft_wrap=True)
    console.print(f"schema hash {report.schema_hash}", soft_wrap=True)
    if report.pins:
        console.print("\nThe coordinator and every device need the same task. Write it down in [data]:\n")
        console.print("\n".join(_lines(key, value) for key, value in report.pins.items()), soft_wrap=True)


def _show_columns(columns: Sequence[Column], console: Console) -> None:
    table = present.table(
        "column", "for", "type", "missing", "least", "greatest", right=("missing", "least", "greatest")
    )
    for one in columns:
        table.add_row(
            one.name, one.role, one.dtype, present.count(one.missing), _number(one.least), _number(one.greatest)
        )
    console.print(table)
    console.print()


def _show_devices(report: DataReport, console: Console) -> None:
    classes = report.task.classes
    shown = classes if len(classes) <= _WIDE else ()
    more = shown or (("classes",) if classes else ("least", "greatest"))
    table = present.table("device", "samples", "held out", *more, right=("samples", "held out", *more))
    for one in report.devices:
        if one.classes is None:
            cells = [_number(one.least), _number(one.greatest)]
        elif shown:
            cells = [present.count(one.classes[name]) for name in classes]
        else:
            cells = [present.count(sum(count > 0 for count in one.classes.values()))]
        table.add_row(one.device, present.count(one.samples), present.count(one.holdout), *cells)
    console.print(table)
    total = sum(one.samples for one in report.devices)
    apart = f"; {report.reserved:,} more are reserved" if report.reserved else ""
    console.print(f"\n{len(report.devices)} device{'s' if report.devices[1:] else ''}, {total:,} samples{apart}")
    for dropped in report.dropped:
        console.print(str(dropped), soft_wrap=True)
    empty = [name for name in classes if not sum((one.classes or {}).get(name, 0) for one in report.devices)]
    if empty:
        console.print(f"no samples of {', '.join(empty)}: nothing can be learned of them", soft_wrap=True)


def _number(value: float | None) -> str:
    return present.MISSING if value is None else f"{value:g}"


def _lines(key: str, value: object) -> str:
    """Write a key and its value, a long list over several lines."""
    line = toml_line(key, value)
    if len(line) <= present.WIDTH or not isinstance(value, list):
        return line
    rows = [""]
    for item in (f"{toml_value(one)}, " for one in value):
        if len(rows[-1]) + len(item) > present.WIDTH - len(_INDENT) and rows[-1]:
            rows.append("")
        rows[-1] += item
    return "\n".join([f"{key} = [", *(f"{_INDENT}{row.rstrip()}" for row in rows), "]"])
