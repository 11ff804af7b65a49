"""A run's configuration, read from a TOML file and checked once.

::

    [federation]                # what the run is called, and the seed that all others are derived from
    name = "digits"
    seed = 0

    [fleet]                     # who takes part
    devices = 60

    [rounds]
    deadline_s = 0.05

    [grouping]                  # a plugin's name, and beside it its options
    policy = "quantile"
    groups = 3

Every table and every key may be left out. A fault is a `ConfigurationError` that names the file, the dotted key, the
value, what is allowed, and the nearest spelling; a file with several faults is refused with all of them, a line each.
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import asdict, fields

from tierwise.core.errors import ConfigurationError, UnknownPluginError, nearest
from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import DataSource
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.task import Task
from tierwise.core.tiers import OptionValues
from tierwise.plugins.manager import Plugins
from tierwise.plugins.options import read_options
from tierwise.runtime.fleet.draw import draw_fleet, read_fleet
from tierwise.runtime.policies import AggregatorChoice, Choice, Policies

Table = TypeVar("Table", bound=msgspec.Struct)

CATALOGUE: Final = "catalogue"
"""The hardware of a fleet that is drawn from the packaged catalogue of real devices."""
FOREVER_S: Final = 1e9
"""Seconds; thirty years. Without a bound, ``inf`` would be a deadline."""

_Seconds = Annotated[float, Meta(gt=0, le=FOREVER_S)]
_DeviceCount = Annotated[int, Meta(ge=MINIMUM)]
_Count = Annotated[int, Meta(ge=1)]


class FederationTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[federation]``.

    Attributes
    ----------
    name
        For people.
    seed
        All seeds of the run are derived from it.
    """

    name: str = "federation"
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class FleetTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[fleet]``.

    Attributes
    ----------
    devices
        How many to draw from the catalogue; None with a table of devices, which has as many as it has.
    hardware
        ``catalogue``, or the path of a CSV file, from the configuration's own folder: see
        `tierwise.runtime.fleet.draw.read_fleet`.
    """

    devices: _DeviceCount | None = None
    hardware: str = CATALOGUE

    @property
    def drawn(self) -> int:
        """How many devices are drawn from the catalogue."""
        return 60 if self.devices is None else self.devices


class EnrolmentTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[enrolment]``, as `EnrolmentSettings`; without either key, all devices are waited for."""

    min_devices: _DeviceCount | None = None
    window_s: _Seconds | None = None


class RoundsTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[rounds]``: `RoundSettings`, with the bounds that a message can tell."""

    deadline_s: _Seconds = 600.0
    epochs: _Count = 1
    max_samples: _Count = 1000
    grace_s: _Seconds = 60.0
    evaluation_deadline_s: _Seconds | None = None


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run is told.

    Attributes
    ----------
    federation, fleet, enrolment, rounds
        The tables of these names.
    data
        The data source, by name, and its options.
    policies
        The tables ``[grouping]``, ``[tiers]``, ``[selection]``, ``[aggregation]`` and ``[stop]``.
    """

    federation: FederationTable = FederationTable()
    data: Choice = Choice(name="digits")
    fleet: FleetTable = FleetTable()
    enrolment: EnrolmentTable = EnrolmentTable()
    rounds: RoundsTable = RoundsTable()
    policies: Policies = Policies()

    @property
    def seed(self) -> int:
        """The federation's seed."""
        return self.federation.seed

    def with_seed(self, seed: int) -> "RunConfig":
        """Return the same configuration with another seed."""
        federation = msgspec.structs.replace(self.federation, seed=seed)
        return msgspec.structs.replace(self, federation=federation)

    def settings(self, task: Task, devices: int) -> FederationSettings:
        """Return what the coordinator's machine is told.

        Parameters
        ----------
        task
            The data source's.
        devices
            How many devices there are: all of them are waited for unless the configuration says otherwise.

        Raises
        ------
        ConfigurationError
            If enrolment waits for more devices than there are.
        """
        least, window_s = self.enrolment.min_devices, self.enrolment.window_s
        if least is None and window_s is None:
            least = devices
        if least is not None and least > devices and window_s is None:
            raise ConfigurationError(
                f"min_devices is {least}, and the fleet has {devices}: enrolment would never end. Take {devices} at "
                "the most, or set window_s too",
                key="enrolment.min_devices",
            )
        return FederationSettings(
            name=self.federation.name,
            task=task,
            seed=self.seed,
            enrolment=EnrolmentSettings(min_devices=least, window_s=window_s),
            rounds=RoundSettings(**asdict(self.rounds)),
        )

    def profiles(self, folder: Path = Path()) -> dict[DeviceId, HardwareProfile]:
        """Draw or read the fleet.

        Parameters
        ----------
        folder
            Where a relative path of the fleet's table starts: the folder of the configuration's file.

        Raises
        ------
        ConfigurationError
            If the table cannot be read or is wrong.
        """
        if self.fleet.hardware == CATALOGUE:
            return {name: drawn.profile for name, drawn in draw_fleet(self.fleet.drawn, self.seed).items()}
        return read_fleet(folder / self.fleet.hardware)

    def data_source(self, plugins: Plugins) -> DataSource:
        """Make the data source."""
        return plugins.data_source(self.data.name, self.data.options, where="data")


def load_config(path: Path, plugins: Plugins | None = None) -> RunConfig:
    """Read a configuration from a TOML file.

    Parameters
    ----------
    path
        The file.
    plugins
        Where names are looked up; None for all that is installed.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or anything in it is wrong.
    PluginLoadError, PluginClashError
        If a plugin is broken, which is not the file's fault.
    """
    source = str(path)
    try:
        mapping = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no such file{_neighbour(path)}", source=source) from error
    except IsADirectoryError as error:
        raise ConfigurationError("is a directory, not a TOML file", source=source) from error
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", source=source) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"is not a text in UTF-8 (byte {error.start})", source=source) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"is not TOML: {error}", source=source) from error
    return parse_config(mapping, source, plugins)


def parse_config(mapping: Mapping[str, object], source: str = "", plugins: Plugins | None = None) -> RunConfig:
    """Check a configuration that is in memory, laid out as the TOML file is.

    Parameters
    ----------
    mapping
        Tables by name.
    source
        The file that it was read from, for messages.
    plugins
        Where names are looked up; None for all that is installed.

    Raises
    ------
    ConfigurationError, PluginLoadError, PluginClashError
        As `load_config`.
    """
    return _Reader(mapping, source, plugins or Plugins.discover()).read()


def located(error: ConfigurationError, source: str, key: str = "") -> ConfigurationError:
    """Return an error with the file that is at fault, and the key if the error names none."""
    if error.source:
        return error
    if error.key:
        told = ConfigurationError(str(error), source=source)  # its text begins with the key
        told.key = error.key
        return told
    return ConfigurationError(str(error), key=key, source=source)


class _Reader:
    """Reads one configuration, and collects its faults instead of stopping at the first."""

    def __init__(self, mapping: Mapping[str, object], source: str, plugins: Plugins) -> None:
        self._mapping = mapping
        self._source = source
        self._plugins = plugins
        self._faults: list[ConfigurationError] = []

    def read(self) -> RunConfig:
        self._check_names()
        plugins = self._plugins
        config = RunConfig(
            federation=self._table("federation", FederationTable),
            data=self._choice("data", plugins.data_source, Choice(name="digits")),
            fleet=self._fleet(),
            enrolment=self._table("enrolment", EnrolmentTable),
            rounds=self._table("rounds", RoundsTable),
            policies=Policies(
                grouping=self._choice("grouping", plugins.grouping_policy, Policies().grouping),
                tiers=self._choice("tiers", plugins.tier_provider, Policies().tiers),
                selection=self._choice("selection", plugins.selector, Policies().selection),
                aggregation=self._aggregation(),
                stop=self._choice("stop", plugins.stop_rule, Policies().stop),
            ),
        )
        if self._faults:
            raise _together(self._faults)
        return config

    def _fault(self, message: str, key: str) -> None:
        self._faults.append(ConfigurationError(message, key=key, source=self._source))

    def _check_names(self) -> None:
        for name, value in self._mapping.items():
            if name in _TABLES:
                continue
            if isinstance(value, Mapping):
                self._fault(
                    f"there is no table of this name{nearest(name, _TABLES)}; the tables: {', '.join(_TABLES)}", name
                )
                continue
            homes = [table for table, keys in _KEYS.items() if name in keys]
            home = f" [{homes[0]}]" if homes else nearest(name, _TABLES)
            self._fault(
                f"is {value!r} and stands outside of any table, where nothing is read: "
                + (f"it belongs under{home}" if homes else f"there is no key of this name{home}"),
                name,
            )

    def _values(self, table: str) -> dict[str, Any]:
        """Return a table's keys and values; none, and a fault, if it is no table or holds an endless number."""
        given = self._mapping.get(table, {})
        if isinstance(given, list):
            self._fault(f"is a list of tables: write [{table}], with single brackets, once", table)
            return {}
        if not isinstance(given, Mapping):
            self._fault(f"is {given!r}, it must be a table: write [{table}] and its keys on the lines below", table)
            return {}
        return dict(given)

    def _table(self, table: str, kind: type[Table]) -> Table:
        values = self._values(table)
        kept = {}
        for name, value in values.items():  # one by one, so that each fault is found
            try:
                read_options({name: value}, kind, subject=f"[{table}]", where=table)
            except ConfigurationError as error:
                self._faults.append(located(error, self._source))
            else:
                kept[name] = value
        return msgspec.convert(kept, kind)

    def _fleet(self) -> FleetTable:
        fleet = self._table("fleet", FleetTable)
        if fleet.hardware == CATALOGUE:
            return fleet
        if fleet.devices is not None:
            self._fault(
                f"devices is {fleet.devices}, but [fleet] takes its devices from {fleet.hardware!r}: leave devices "
                "out, or hardware",
                "fleet.devices",
            )
        path = Path(self._source).parent / fleet.hardware
        if not path.is_file():
            what = "is a directory" if path.is_dir() else "there is no such file"
            self._fault(
                f"hardware is {fleet.hardware!r}{nearest(fleet.hardware, [CATALOGUE])}, and {what}: it is "
                f"{CATALOGUE!r}, or the path of a CSV file, from the folder of this one",
                "fleet.hardware",
            )
        return fleet

    def _choice(self, table: str, make: Callable[..., object], default: Choice) -> Choice:
        """Read a table of a plugin's name and options, and make the plugin, which checks them."""
        options = self._values(table)
        name = self._name(table, options, default.name)
        if name is None:
            return default
        self._try(table, lambda: make(name, options, where=table))
        return Choice(name=name, options=options)

    def _name(self, table: str, values: dict[str, Any], default: str) -> str | None:
        """Take a plugin's name out of its table; None, and a fault, if it is no text."""
        key = _NAME_KEYS[table]
        name = values.pop(key, default)
        if isinstance(name, str):
            return name
        self._fault(f"{key} is {name!r}, allowed is a text: the name of one that `tierwise plugins` lists",
                    f"{table}.{key}")
        return None

    def _try(self, table: str, make: Callable[[], object]) -> None:
        try:
            make()
        except UnknownPluginError as error:
            self._fault(str(error), f"{table}.{_NAME_KEYS[table]}")
        except ConfigurationError as error:
            self._faults.append(located(error, self._source, table))

    def _aggregation(self) -> AggregatorChoice:
        table, default = "aggregation", AggregatorChoice()
        values = self._values(table)
        name = self._name(table, values, default.name)
        if name is None:
            return default
        parts: dict[str, OptionValues] = {}
        for part in ("reducer", "server_optimizer"):
            options = values.pop(part, {})
            if isinstance(options, Mapping):
                parts[part] = dict(options)
            else:
                self._fault(f"{part} is {options!r}, it must be a table: write [{table}.{part}]", f"{table}.{part}")
        for key, value in values.items():
            self._fault(
                f"[{table}] has no key {key!r}{nearest(key, _KEYS[table])}, which is set to {value!r}; its keys: "
                f"{', '.join(_KEYS[table])}. Options stand in [{table}.reducer] and [{table}.server_optimizer]",
                f"{table}.{key}",
            )
        self._try(table, lambda: self._make_aggregator(name, parts))
        return AggregatorChoice(name=name, **parts)

    def _make_aggregator(self, name: str, parts: Mapping[str, OptionValues]) -> None:
        found = self._plugins.aggregator(name)
        where = "aggregation.{}".format
        self._plugins.reducer(found.reducer, parts.get("reducer"), where=where("reducer"))
        self._plugins.server_optimizer(
            found.server_optimizer, parts.get("server_optimizer"), where=where("server_optimizer")
        )


def _together(faults: list[ConfigurationError]) -> ConfigurationError:
    """Return one error for all: the first one's key, and a line for each."""
    first = faults[0]
    if len(faults) == 1:
        return first
    error = ConfigurationError("\n".join(str(fault) for fault in faults))
    error.key, error.source = first.key, first.source
    return error


def _neighbour(path: Path) -> str:
    """Suggest a file beside the missing one."""
    try:
        return nearest(path.name, [one.name for one in path.parent.iterdir()])
    except OSError:
        return ""


_NAME_KEYS: Final = {
    "data": "source",
    "grouping": "policy",
    "tiers": "provider",
    "selection": "selector",
    "aggregation": "aggregator",
    "stop": "rule",
}
"""The key that a table names its plugin with; all other keys there are the plugin's options."""
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "federation": tuple(field.name for field in fields(FederationTable)),
    "fleet": tuple(field.name for field in fields(FleetTable)),
    "enrolment": tuple(field.name for field in fields(EnrolmentTable)),
    "rounds": tuple(field.name for field in fields(RoundsTable)),
    **{table: (key,) for table, key in _NAME_KEYS.items()},
    "aggregation": ("aggregator", "reducer", "server_optimizer"),
}
"""The keys of each table that do not depend on a plugin."""
_TABLES: Final = tuple(_KEYS)
