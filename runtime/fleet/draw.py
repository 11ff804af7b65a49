"""Fleets to simulate: drawn from the catalogue of real device models, or read from a table."""

import csv
import math
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import DEFAULTS, QUANTITIES, HardwareProfile, fault_of
from tierwise.core.ids import DeviceId, is_device_id
from tierwise.runtime.fleet.catalogue import DeviceModel, device_models

DEVICE: Final = "device"
"""The column of a fleet's table that names the devices."""
UNITS: Final = (
    "flops",
    "count",
    "bytes",
    "bytes_per_s",
    "hz",
    "s",
    "w",
    "j",
    "v",
    "a",
    "k",
    "m",
    "kg",
    "ratio",
    "bool",
)
"""How a quantity's name can end: after an underscore, the SI unit of its values, or what they are without one."""


@dataclass(frozen=True, slots=True)
class DrawnDevice:
    """A device of a drawn fleet: which model it is, and that model's figures as its declared hardware."""

    model: DeviceModel
    profile: HardwareProfile


def draw_fleet(count: int, seed: int) -> dict[DeviceId, DrawnDevice]:
    """Draw devices from the catalogue, every model as often as any other, give or take one.

    Parameters
    ----------
    count
        How many.
    seed
        The same one draws the same fleet.

    Returns
    -------
    dict
        By id: ``d000``, ``d001``, … with as many digits as the last one needs, three at least.
    """
    drawn: list[DeviceModel] = []
    chance = random.Random(f"tierwise fleet {seed}")  # noqa: S311  (not a secret)
    while len(drawn) < count:
        deck = list(device_models())
        chance.shuffle(deck)
        drawn += deck
    del drawn[count:]
    chance.shuffle(drawn)  # so that a device's number does not tell from which deck it is
    digits = max(3, len(str(count - 1)))
    return {DeviceId(f"d{n:0{digits}}"): DrawnDevice(model, profile_of(model)) for n, model in enumerate(drawn)}


def profile_of(model: DeviceModel) -> HardwareProfile:
    """Return a model's figures as declared quantities."""
    return HardwareProfile.declared(
        cpu_flops=model.cpu_flops,
        cpu_count=model.cpu_count,
        memory_bytes=model.memory_bytes,
        uplink_bytes_per_s=model.uplink_bytes_per_s,
        downlink_bytes_per_s=model.downlink_bytes_per_s,
        power_w=model.power_w,
    )


def read_fleet(path: Path) -> dict[DeviceId, HardwareProfile]:
    """Read a fleet from a CSV file: a row for each device.

    Parameters
    ----------
    path
        A file with a header: a column ``device``, and one column for each quantity, named with its SI unit at the
        end (``cpu_flops``, ``memory_bytes``, ``uplink_bytes_per_s``). An empty cell means that the device's owner
        does not know; what is not known has its default.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or a name or value in it is wrong; names the file, column and line.
    """
    source = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", source=source) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"is not a text in UTF-8 (byte {error.start})", source=source) from error
    fleet: dict[DeviceId, HardwareProfile] = {}
    for line, cells in _rows(text, source):
        device = cells.pop(DEVICE)
        if not is_device_id(device):
            raise ConfigurationError(
                f"line {line}: {device!r} cannot name a device: 1 to 64 of A-Z a-z 0-9 . _ - are allowed, "
                "the first a letter or digit",
                key=DEVICE,
                source=source,
            )
        if device in fleet:
            raise ConfigurationError(
                f"line {line}: device {device!r} has a row already; each device has one", key=DEVICE, source=source
            )
        values = {name: _number(cell, name, f"line {line}, device {device!r}", source) for name, cell in cells.items()}
        known = {name: value for name, value in values.items() if value is not None}
        fleet[DeviceId(device)] = HardwareProfile.declared(**known)
    if len(fleet) < MINIMUM:
        raise ConfigurationError(
            f"has {len(fleet)} device{'' if len(fleet) == 1 else 's'}, a federation needs at least {MINIMUM}",
            source=source,
        )
    return fleet


def check_same_devices(named: Collection[str], fleet: Collection[str], source: str) -> None:
    """Raise a `ConfigurationError` unless the data's devices are those that have hardware.

    Parameters
    ----------
    named
        Whose data there are.
    fleet
        Who has a row.
    source
        The fleet's file.
    """
    without_row = sorted(set(named) - set(fleet))
    if without_row:
        raise ConfigurationError(
            f"there are data of {_some(without_row)}, and no such row: add it, or take the data away",
            key=DEVICE,
            source=source,
        )
    without_data = sorted(set(fleet) - set(named))
    if without_data:
        raise ConfigurationError(
            f"there are rows of {_some(without_data)}, and no data of theirs; the data are of "
            f"{_some(sorted(named))}: add them, or take the rows away",
            key=DEVICE,
            source=source,
        )


def _some(names: list[str]) -> str:
    more = len(names) - 5
    listed = ", ".join(repr(name) for name in names[:5])
    return f"{listed} and {more} more" if more > 0 else listed


def _rows(text: str, source: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row's line number and its cells by column."""
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, source)
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise ConfigurationError(
                    f"line {reader.line_num} has {len(cells)} cells, the header has {len(header)} columns",
                    source=source,
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ConfigurationError(f"line {reader.line_num} is not CSV: {error}", source=source) from error


def _check_header(header: list[str], source: str) -> None:
    if DEVICE not in header:
        raise ConfigurationError(
            f"has no column {DEVICE!r}; its first line should name the columns, and is {', '.join(header)[:200]!r}",
            source=source,
        )
    for name in header:
        if header.count(name) > 1:
            raise ConfigurationError("there are two columns of this name", key=name, source=source)
        if name != DEVICE and not is_quantity(name):
            raise ConfigurationError(
                f"{name!r} cannot name a quantity{nearest(name, QUANTITIES)}: lower-case letters, digits "
                f"and _, up to 64, and at the end the unit, one of {', '.join('_' + unit for unit in UNITS)}",
                key=name,
                source=source,
            )


def is_quantity(name: str) -> bool:
    """Tell whether a column of a fleet's table can have a name."""
    # Numbers in other units would pass for SI ones, and a misspelt name for a device that lacks the quantity.
    if not name.endswith(tuple(f"_{unit}" for unit in UNITS)):
        return False
    try:
        HardwareProfile.declared(**{name: 0.0})
    except ValueError:
        return False
    return True


def _number(cell: str, name: str, where: str, source: str) -> float | None:
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    divides = name in DEFAULTS  # times are work divided by these, so 0 would be for ever
    if not math.isfinite(value) or value < 0 or (divides and value == 0):
        bound = "greater than 0" if divides else "of at least 0"
        raise ConfigurationError(f"{where}: {cell!r} is not a number {bound}", key=name, source=source)
    if fault := fault_of(name, value):
        raise ConfigurationError(f"{where}: {fault}", key=name, source=source)
    return value
