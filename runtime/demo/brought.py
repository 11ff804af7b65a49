"""What the user brings to the demonstration: data, what a TOML file says of them, devices."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError
from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import DataSource, KnowsDevices, Reserving, reserved_of
from tierwise.core.task import Loss, Task
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli.dataspec import Share, read_data_spec
from tierwise.runtime.config import known_keys
from tierwise.runtime.config_own_data import PUBLIC, load_own_data, read_exchange, settled
from tierwise.runtime.config_tables import TaskTable
from tierwise.runtime.fleet.catalogue import DeviceModel
from tierwise.runtime.fleet.draw import draw_fleet, read_fleet
from tierwise.runtime.policies import Choice
from tierwise.runtime.tables import Tables, located, read_toml

T = TypeVar("T")

DEVICES: Final = 60
RESERVED: Final = 150
"""Digits that the coordinator holds and no device has; it does not look at their labels."""
DIGITS: Final = "digits"
"""All their features have one unit, which the task's scale takes care of."""
DATA: Final = f"{DIGITS}:partition=dirichlet,alpha=0.3,reserved={RESERVED}"
EXCHANGE: Final = Choice(name="distill")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user names.

    Attributes
    ----------
    data
        As ``--data`` has it; `DATA` by default.
    fleet
        A table of devices; None for devices drawn from the catalogue.
    """

    data: str = DATA
    fleet: Path | None = None


USUAL: Final = Wanted()


@dataclass(frozen=True, slots=True)
class Brought:
    """The data, and what is said of them.

    Attributes
    ----------
    source
        Of the devices' data.
    task
        The source's, with what a file's ``[task]`` says.
    because
        Why features are standardised or not, for people; empty where there is nothing to say.
    named
        The devices that the data know; none where samples are dealt out.
    read_public
        Reads the samples that the coordinator holds, by a seed, as a shape ``(n_samples, n_features)``; None for none.
    """

    source: DataSource
    task: Task
    because: str
    named: tuple[str, ...]
    read_public: Callable[[int], NDArray[np.float32] | None]


def read_brought(wanted: Wanted, plugins: Plugins) -> Brought:
    """Make the data source, and read what a file says beside it.

    Raises
    ------
    ConfigurationError
        If the data cannot be read, or are no classification.
    """
    spec = read_data_spec(wanted.data, plugins)
    if spec.share != Share():
        raise ConfigurationError(
            "part, parts and seed are for one device; the demonstration has all devices' data, with seeds of its own: "
            "leave them out",
            source=f"--data {wanted.data}",
        )
    source = spec.source
    task = named_data(wanted, lambda: source.task)
    file = Path(wanted.data.partition(":")[0])
    if file.suffix != ".toml":
        task, because = _standardised(task, spec.name, "")
        public = None
    else:
        task, because, public = _read_file(file, task, spec.name, plugins)
    if task.loss is not Loss.CROSS_ENTROPY or "accuracy" not in task.metrics:
        raise ConfigurationError(
            f"task {task.name!r} has the metrics {', '.join(task.metrics)}, and the demonstration compares accuracies: "
            "take a classification, or `tierwise simulate`",
            source=f"--data {wanted.data}",
        )

    def read_public(seed: int) -> NDArray[np.float32] | None:
        if public is None:
            return _set_apart(source, seed)
        try:
            chosen = Choice(name=spec.name, options=spec.options)
            return load_own_data(source, chosen, EXCHANGE, public, None, plugins, seed).public
        except ConfigurationError as error:
            raise located(error, str(file), PUBLIC) from error

    return Brought(source, task, because, _named(source), read_public)


def named_data(wanted: Wanted, read: Callable[[], T]) -> T:
    """Read something of the data; an error names the option."""
    try:
        return read()
    except ConfigurationError as error:
        raise located(error, f"--data {wanted.data}") from error


def read_devices(
    seed: int, brought: Brought, wanted: Wanted
) -> tuple[dict[DeviceId, HardwareProfile], dict[DeviceId, DeviceModel] | None]:
    """Draw or read the fleet; a drawn one also has its device models.

    Raises
    ------
    ConfigurationError
        If the table cannot be read, or has not as many devices as the data.
    """
    named = brought.named
    if wanted.fleet is None:
        drawn = draw_fleet(len(named) or DEVICES, seed)
        if len(drawn) < MINIMUM:
            raise ConfigurationError(
                f"is of {len(drawn)} devices, a federation needs at least {MINIMUM}", source=f"--data {wanted.data}"
            )
        return {name: one.profile for name, one in drawn.items()}, {name: one.model for name, one in drawn.items()}
    profiles = read_fleet(wanted.fleet)
    if named and len(named) != len(profiles):
        raise ConfigurationError(
            f"has {len(profiles)} devices, and the data are of {len(named)}: each device has its own",
            source=str(wanted.fleet),
        )
    return profiles, None


def _named(source: DataSource) -> tuple[str, ...]:
    return tuple(source.devices()) if isinstance(source, KnowsDevices) else ()


def _read_file(file: Path, task: Task, source: str, plugins: Plugins) -> tuple[Task, str, Choice | None]:
    """Return the task with what a file's ``[task]`` says, why it standardises or not, and the public set it names."""
    found = read_toml(file)
    tables = Tables({name: found[name] for name in ("task", "exchange") if name in found}, known_keys(), str(file))
    said = tables.table("task", TaskTable)
    _, public = read_exchange(tables, plugins)
    if public is not None:
        public = settled(tables, plugins, file.parent, True, PUBLIC, public)
    tables.check()
    task = said.applied(task)
    if "standardise" in tables.values("task"):
        whether = "" if task.standardise else "not "
        return task, f"Features are {whether}standardised, as {file} says.", public
    return *_standardised(task, source, f" of {file}"), public


def _standardised(task: Task, source: str, where: str) -> tuple[Task, str]:
    """Standardise where nobody says whether: somebody's features may be of very different units."""
    if source == DIGITS:
        return task, ""
    because = (
        "Features are standardised, since their units may differ much; standardise = false in the [task] "
        f"{where.strip() or 'of a TOML file'} leaves them as they are."
    )
    return msgspec.structs.replace(task, standardise=True), because


def _set_apart(source: DataSource, seed: int) -> NDArray[np.float32] | None:
    """Return the samples that a source sets apart; one that can, and was not told to, does not."""
    if not isinstance(source, Reserving):
        return None
    try:
        there = len(source.reserved(seed)) > 0
    except ConfigurationError:
        return None
    return reserved_of(source, seed).features if there else None
