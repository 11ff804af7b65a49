"""A run's configuration, read from a TOML file and checked once.

::

    [federation]                # what the run is called, and the seed that all others are derived from
    name = "digits"
    seed = 0

    [plugins]                   # files with plugins of your own
    modules = ["mine.py"]

    [fleet]                     # who takes part
    devices = 60

    [rounds]
    deadline_s = 0.05

    [updates]                   # what a device may send
    max_norm = 100.0

    [grouping]                  # a plugin's name, and beside it its options
    policy = "quantile"
    groups = 3

    [mqtt]                      # for a coordinator: where the broker is
    broker = "mqtts://broker.example.org"

    [store]                     # where it keeps what must survive it
    path = "digits.db"

    [security]                  # whom it hears
    registry = "registry"

A simulation has no use for the last three, and a coordinator none for ``[fleet]``; both read the same file.

Every table and every key may be left out. A fault is a `ConfigurationError` that names the file, the dotted key, the
value, what is allowed, and the nearest spelling; a file with several faults is refused with all of them, a line each.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import asdict, fields

from tierwise.core.errors import ConfigurationError, PluginError, nearest
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import DataSource
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings, UpdateSettings
from tierwise.core.task import Task
from tierwise.core.tiers import OptionValues
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.manager import Plugins
from tierwise.runtime.config_own_data import load_own_data, read_evaluation, read_exchange, settled
from tierwise.runtime.config_tables import (
    CATALOGUE,
    EnrolmentTable,
    FederationTable,
    FleetTable,
    MqttTable,
    PluginsTable,
    RoundsTable,
    SecurityTable,
    StoreTable,
    TaskTable,
    UpdatesTable,
)
from tierwise.runtime.fleet.draw import check_same_devices, draw_fleet, read_fleet
from tierwise.runtime.going_on import CODEC_KEY
from tierwise.runtime.own_data import EVALUATION, PUBLIC, OwnData
from tierwise.runtime.policies import AggregatorChoice, Choice, Policies
from tierwise.runtime.tables import Tables, read_toml


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run is told.

    Attributes
    ----------
    federation, plugins, task, fleet, enrolment, rounds, updates, mqtt, store, security
        The tables of these names.
    data
        The data source, by name, and its options.
    policies
        The tables ``[grouping]``, ``[tiers]``, ``[selection]``, ``[aggregation]``, ``[exchange]``, ``[codec]`` and
        ``[stop]``.
    public, evaluation
        The data sources of what the coordinator holds, by name, and their options: ``[exchange.public]``, None for what
        ``[data]`` sets apart; ``[evaluation]``, None for no test set.
    """

    federation: FederationTable = FederationTable()
    plugins: PluginsTable = PluginsTable()
    data: Choice = Choice(name="digits")
    task: TaskTable = TaskTable()
    fleet: FleetTable = FleetTable()
    enrolment: EnrolmentTable = EnrolmentTable()
    rounds: RoundsTable = RoundsTable()
    updates: UpdatesTable = UpdatesTable()
    policies: Policies = Policies()
    public: Choice | None = None
    evaluation: Choice | None = None
    mqtt: MqttTable = MqttTable()
    store: StoreTable = StoreTable()
    security: SecurityTable = SecurityTable()

    @property
    def seed(self) -> int:
        """The federation's seed."""
        return self.federation.seed

    def with_seed(self, seed: int) -> "RunConfig":
        """Return the same configuration with another seed."""
        federation = msgspec.structs.replace(self.federation, seed=seed)
        return msgspec.structs.replace(self, federation=federation)

    def settings(self, task: Task, devices: int | None) -> FederationSettings:
        """Return what the coordinator's machine is told.

        Parameters
        ----------
        task
            The data source's.
        devices
            How many devices there are: all of them are waited for unless the configuration says otherwise. None where
            that is not known: then there is a window of the usual length.

        Raises
        ------
        ConfigurationError
            If enrolment waits for more devices than there are.
        """
        least, window_s = self.enrolment.min_devices, self.enrolment.window_s
        if least is None and window_s is None:
            least, window_s = (devices, None) if devices is not None else (None, EnrolmentSettings().window_s)
        if least is not None and devices is not None and least > devices and window_s is None:
            raise ConfigurationError(
                f"min_devices is {least}, and the fleet has {devices}: enrolment would never end. Take {devices} at "
                "the most, or set window_s too",
                key="enrolment.min_devices",
            )
        return FederationSettings(
            name=self.federation.name,
            task=self.task.applied(task),
            seed=self.seed,
            enrolment=EnrolmentSettings(min_devices=least, window_s=window_s),
            rounds=RoundSettings(**asdict(self.rounds)),
            updates=UpdateSettings(**asdict(self.updates)),
        )

    def profiles(self, folder: Path = Path(), named: Sequence[str] = ()) -> dict[DeviceId, HardwareProfile]:
        """Draw or read the fleet.

        Parameters
        ----------
        folder
            Where a relative path of the fleet's table starts: the folder of the configuration's file.
        named
            The devices that the data know; none where data are dealt out to however many there are.

        Raises
        ------
        ConfigurationError
            If the table cannot be read or is wrong, or the fleet is not of the devices that are named.
        """
        if self.fleet.hardware == CATALOGUE:
            return self._drawn(named)
        fleet = read_fleet(folder / self.fleet.hardware)
        if named:
            check_same_devices(named, fleet, str(folder / self.fleet.hardware))
        return fleet

    def _drawn(self, named: Sequence[str]) -> dict[DeviceId, HardwareProfile]:
        wanted = self.fleet.devices
        if named and wanted not in (None, len(named)):
            raise ConfigurationError(
                f"devices is {wanted}, and the data are of {len(named)}: leave devices out, or have the samples dealt "
                "out by another partition in [data]",
                key="fleet.devices",
            )
        drawn = draw_fleet(len(named) or self.fleet.drawn, self.seed)
        return {DeviceId(name): one.profile for name, one in zip(named or drawn, drawn.values(), strict=True)}

    def kinds(self) -> dict[DeviceId, str]:
        """Return what each device of the fleet is sold as; empty unless the fleet is drawn from the catalogue."""
        if self.fleet.hardware != CATALOGUE:
            return {}
        return {name: str(drawn.model.kind) for name, drawn in draw_fleet(self.fleet.drawn, self.seed).items()}

    def data_source(self, plugins: Plugins) -> DataSource:
        """Make the data source."""
        return plugins.data_source(self.data.name, self.data.options, where="data")

    def own_data(self, data: DataSource, plugins: Plugins) -> OwnData:
        """Read what the coordinator itself holds, beside ``data``, which the devices have.

        Raises
        ------
        ConfigurationError
            If samples cannot be had, or are of other data than the devices'.
        """
        exchange = self.policies.exchange
        return load_own_data(data, self.data, exchange, self.public, self.evaluation, plugins, self.seed)


def load_config(path: Path, plugins: Plugins | None = None) -> RunConfig:
    """Read a configuration from a TOML file.

    Parameters
    ----------
    path
        The file.
    plugins
        Where names are looked up; None for all that is installed. The files that the configuration names under
        ``plugins.modules`` are run, and their plugins added to it.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or anything in it is wrong.
    PluginLoadError, PluginClashError
        If a plugin is broken, which is not the file's fault.
    """
    tables = Tables(read_toml(path), _KEYS, str(path))
    plugins = plugins or Plugins.discover()
    own, lacking = tables.table("plugins", PluginsTable), False
    for name in own.modules:
        try:
            plugins.register_file(path.parent / name)
        except ConfigurationError as error:
            tables.fault(str(error), "plugins.modules")
            lacking = True
    if lacking:
        tables.check()  # each plugin of such a file would be a fault as well, of a table that is right
    return _parse(tables, str(path), plugins, own, may_name_code=True)


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
        As `load_config`. Names under ``plugins.modules``, and a data source's function, are refused: a mapping may come
        from anywhere, and must not choose what this program runs.
    """
    tables = Tables(mapping, _KEYS, source)
    own = tables.table("plugins", PluginsTable)
    if own.modules:
        tables.fault(
            "only a configuration that is a file can name modules; a program registers them itself: "
            "Plugins.register_file(path)",
            "plugins.modules",
        )
    return _parse(tables, source, plugins or Plugins.discover(), own, may_name_code=False)


def _parse(tables: Tables, source: str, plugins: Plugins, own: PluginsTable, *, may_name_code: bool) -> RunConfig:
    exchange, public = read_exchange(tables, plugins)
    test = read_evaluation(tables, plugins)
    settle = partial(settled, tables, plugins, Path(source).parent, may_name_code)
    config = RunConfig(
        federation=tables.table("federation", FederationTable),
        plugins=own,
        data=settle("data", tables.choice("data", "source", plugins.data_source, Choice(name="digits"))),
        task=tables.table("task", TaskTable),
        fleet=_read_fleet_table(tables, Path(source).parent),
        enrolment=tables.table("enrolment", EnrolmentTable),
        rounds=tables.table("rounds", RoundsTable),
        updates=tables.table("updates", UpdatesTable),
        policies=Policies(
            grouping=tables.choice("grouping", "policy", plugins.grouping_policy, Policies().grouping),
            tiers=_read_tiers(tables, plugins, Path(source).parent),
            selection=tables.choice("selection", "selector", plugins.selector, Policies().selection),
            aggregation=_read_aggregation(tables, plugins),
            exchange=exchange,
            codec=tables.choice("codec", CODEC_KEY, plugins.codec, Policies().codec),
            stop=tables.choice("stop", "rule", plugins.stop_rule, Policies().stop),
        ),
        public=None if public is None else settle(PUBLIC, public),
        evaluation=None if test is None else settle(EVALUATION, test),
        mqtt=_read_mqtt(tables),
        store=tables.table("store", StoreTable),
        security=tables.table("security", SecurityTable),
    )
    tables.check()
    return config


def _read_fleet_table(tables: Tables, folder: Path) -> FleetTable:
    fleet = tables.table("fleet", FleetTable)
    if fleet.hardware == CATALOGUE:
        return fleet
    if fleet.devices is not None:
        tables.fault(
            f"devices is {fleet.devices}, but [fleet] takes its devices from {fleet.hardware!r}: leave devices out, "
            "or hardware",
            "fleet.devices",
        )
    path = folder / fleet.hardware
    if not path.is_file():
        tables.fault(
            f"hardware is {fleet.hardware!r}{nearest(fleet.hardware, [CATALOGUE])}, and "
            f"{'that is a directory' if path.is_dir() else 'there is no such file'}: it is {CATALOGUE!r}, or the path "
            "of a CSV file, from the folder of this one",
            "fleet.hardware",
        )
    return fleet


def _read_tiers(tables: Tables, plugins: Plugins, folder: Path) -> Choice:
    chosen = tables.choice("tiers", "provider", plugins.tier_provider, Policies().tiers)
    with suppress(PluginError):  # which is a fault already
        return Choice(name=chosen.name, options=plugins.placed(Kind.TIER_PROVIDER, chosen.name, chosen.options, folder))
    return chosen


def _read_mqtt(tables: Tables) -> MqttTable:
    mqtt = tables.table("mqtt", MqttTable)
    if "@" in mqtt.broker:
        scheme, _, rest = mqtt.broker.partition("://")
        tables.fault(
            f"broker is '{scheme}://…@{rest.rpartition('@')[2]}': user and password do not belong into it, since a "
            "configuration is shown and kept with results; set username, and password_file",
            "mqtt.broker",
        )
        mqtt = MqttTable()
    if mqtt.password_file is not None and mqtt.username is None:
        tables.fault("password_file is set without username", "mqtt.password_file")
    return mqtt


def _read_aggregation(tables: Tables, plugins: Plugins) -> AggregatorChoice:
    default = AggregatorChoice()
    values = tables.values("aggregation")
    name = tables.name("aggregation", "aggregator", values, default.name)
    if name is None:
        return default
    parts: dict[str, OptionValues] = {}
    for part in ("reducer", "server_optimizer"):
        options = values.pop(part, {})
        if isinstance(options, Mapping):
            parts[part] = dict(options)
        else:
            message = f"{part} is {options!r}, it must be a table: write [aggregation.{part}]"
            tables.fault(message, f"aggregation.{part}")
    for key, value in values.items():
        tables.fault(
            f"[aggregation] has no key {key!r}{nearest(key, _KEYS['aggregation'])}, which is set to {value!r}; its "
            f"keys: {', '.join(_KEYS['aggregation'])}. Options stand in [aggregation.reducer] and "
            "[aggregation.server_optimizer]",
            f"aggregation.{key}",
        )

    def make() -> None:
        found = plugins.aggregator(name)
        plugins.reducer(found.reducer, parts.get("reducer"), where="aggregation.reducer")
        optimizer_options = parts.get("server_optimizer")
        plugins.server_optimizer(found.server_optimizer, optimizer_options, where="aggregation.server_optimizer")

    tables.attempt("aggregation", "aggregator", make)
    return AggregatorChoice(name=name, **parts)


def known_keys() -> Mapping[str, tuple[str, ...]]:
    """Return the tables that there can be, and of each the keys that do not depend on a plugin.

    Of a table that is a plugin's the first key names it.
    """
    return _KEYS


def _fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "federation": _fields(FederationTable),
    "plugins": _fields(PluginsTable),
    "data": ("source",),
    "task": _fields(TaskTable),
    "fleet": _fields(FleetTable),
    "enrolment": _fields(EnrolmentTable),
    "rounds": _fields(RoundsTable),
    "updates": _fields(UpdatesTable),
    "grouping": ("policy",),
    "tiers": ("provider",),
    "selection": ("selector",),
    "aggregation": ("aggregator", "reducer", "server_optimizer"),
    "exchange": ("policy", "public"),
    "evaluation": ("source",),
    "codec": (CODEC_KEY,),
    "stop": ("rule",),
    "mqtt": _fields(MqttTable),
    "store": _fields(StoreTable),
    "security": _fields(SecurityTable),
}
"""See `known_keys`."""
