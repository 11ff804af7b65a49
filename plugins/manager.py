"""Finds plugins, and makes them by name.

All state is in an instance of `Plugins`: two federations in one program can have different plugins.
"""

import copy
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import msgspec
import pluggy

from tierwise.core.aggregation import AnyReducer, ServerOptimizer
from tierwise.core.coding import Codec
from tierwise.core.errors import (
    PluginClashError,
    PluginFailedError,
    PluginLoadError,
    TierwiseError,
    UnknownPluginError,
    nearest,
)
from tierwise.core.events import PluginUsed
from tierwise.core.exchange import Exchange
from tierwise.core.grouping import GroupingPolicy
from tierwise.core.hardware import Probe
from tierwise.core.learning import DataSource, Learner
from tierwise.core.selection import Selector
from tierwise.core.stopping import StopRule
from tierwise.core.task import Task
from tierwise.core.tiers import OptionValues, TierProvider
from tierwise.plugins import hookspecs
from tierwise.plugins._file import import_file
from tierwise.plugins._source import THIS_PROGRAM, Source, announced, check_hooks, load, name_of
from tierwise.plugins.descriptors import AggregatorDescriptor, AnyDescriptor, Kind, PluginDescriptor
from tierwise.plugins.options import read_options
from tierwise.plugins.parts import Parts, naming_key
from tierwise.plugins.paths import from_folder

TRACE: Final = "TIERWISE_TRACE_PLUGINS"
"""Environment variable; ``1`` prints every call of a hook to standard error."""


class Plugins:
    """The plugins that a program can use.

    Parameters
    ----------
    *plugins
        Modules or objects whose functions implement hooks, registered as by `register`. Nothing else is known,
        not even the built-ins: `discover` finds those.
    """

    def __init__(self, *plugins: object) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._found: dict[tuple[Kind, str], tuple[AnyDescriptor, Source]] = {}
        self._used: list[PluginUsed] | None = None
        if os.environ.get(TRACE) == "1":
            self._manager.add_hookcall_monitoring(_print_call, lambda *_: None)
        for plugin in plugins:
            self.register(plugin)

    @classmethod
    def discover(cls) -> "Plugins":
        """Return everything that is installed: the built-ins and all policy packs, by their entry points.

        Raises
        ------
        PluginLoadError
            If a plugin's module cannot be imported or a hook of it is wrong.
        PluginClashError
            If two distributions offer a plugin of the same kind and name.
        """
        found = cls()
        # Sorted, so that a fault is the same one on every machine.
        for point in sorted(entry_points(group=hookspecs.PROJECT), key=lambda p: (_source(p).distribution, p.name)):
            found._load(point)
        return found

    def _load(self, point: EntryPoint) -> None:
        source = _source(point)
        try:
            plugin = point.load()
        except Exception as error:
            raise source.fault(
                f"entry point {point.name!r} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        self._register(plugin, source)

    def __getstate__(self) -> dict[tuple[Kind, str], tuple[AnyDescriptor, Source]]:
        """Go to another process as what was announced; there each class is imported when it is used, as here."""
        return self._found

    def __setstate__(self, found: dict[tuple[Kind, str], tuple[AnyDescriptor, Source]]) -> None:
        self.__init__()  # type: ignore[misc]
        self._found = found

    def register(self, plugin: object, *, distribution: str = THIS_PROGRAM, version: str = "") -> None:
        """Add a plugin that is not installed as one.

        Parameters
        ----------
        plugin
            A module, or any object, with functions marked by `tierwise.plugins.hookimpl`.
        distribution, version
            Where it comes from, for messages and the log of a run.

        Raises
        ------
        PluginLoadError, PluginClashError
            As `discover`; nothing of the plugin is registered then.
        """
        self._register(plugin, Source(name_of(plugin), distribution, version))

    def register_file(self, path: Path) -> None:
        """Add the plugins of a Python file that is in no package; a file that was added already is left as it is.

        The file is run, with all rights of this program. It becomes the module that it is named after, so what its
        descriptors name can be ``f"{__name__}:MyPolicy"``.

        Parameters
        ----------
        path
            The file, whose name without ``.py`` is no other module's.

        Raises
        ------
        ConfigurationError
            If there is no such file, or its name cannot be a module's.
        PluginLoadError, PluginClashError
            As `discover`; also if it announces no plugin.
        """
        path = Path(path)
        fresh = path.stem not in sys.modules
        module, source = import_file(path)
        if self._manager.is_registered(module):
            return
        try:
            self._register_all_of(module, source)
        except TierwiseError:
            if fresh:
                del sys.modules[source.module]  # so that it is run again when it is mended
            raise

    def _register_all_of(self, module: ModuleType, source: Source) -> None:
        known = len(self._found)
        self._register(module, source)
        if len(self._found) == known:
            self._manager.unregister(module)
            raise source.fault(
                "it announces no plugin; a function with the name of a hook does, marked with "
                f"@tierwise.plugins.hookimpl. The hooks are {', '.join(hookspecs.HOOKS)}"
            )

    def _register(self, plugin: object, source: Source) -> None:
        if self._manager.is_registered(plugin):
            raise PluginClashError(
                f"plugin module {source.module!r} of {source} is registered twice. Register it once: what an "
                "entry point names, Plugins.discover() has registered already."
            )
        check_hooks(self._manager, plugin, source)
        name = f"{source.module} of {source}"
        if self._manager.has_plugin(name):  # two instances of one class
            name += f" ({len(self._manager.get_plugins())})"
        self._manager.register(plugin, name)
        try:
            self._add(announced(self._manager, plugin, source), source)
        except TierwiseError:
            self._manager.unregister(plugin)
            raise

    def _add(self, descriptors: list[AnyDescriptor], source: Source) -> None:
        new: dict[tuple[Kind, str], tuple[AnyDescriptor, Source]] = {}
        for descriptor in descriptors:
            key = (descriptor.kind, descriptor.name)
            if key in new or key in self._found:
                raise _clash(descriptor, source, (new.get(key) or self._found[key])[1])
            new[key] = (descriptor, source)
        self._found |= new

    def descriptors(self, kind: Kind) -> tuple[AnyDescriptor, ...]:
        """Return what is known of one kind, sorted by name."""
        return tuple(found for (of, _), (found, _) in sorted(self._found.items()) if of is kind)

    def provenance(self, kind: Kind, name: str) -> PluginUsed:
        """Return which distribution a plugin comes from, for the log of a run.

        Raises
        ------
        UnknownPluginError
            If there is none of that kind and name. Everything below raises it, too.
        """
        _, source = self._lookup(kind, name)
        return PluginUsed(kind=str(kind), name=name, distribution=source.distribution, version=source.version)

    def probe(self, name: str, options: OptionValues | None = None, *, where: str = "") -> Probe:
        """Make a probe.

        Every method that makes a plugin takes the same arguments.

        Parameters
        ----------
        name
            The plugin's name.
        options
            Its options as plain values; those left out have their defaults.
        where
            The dotted key of the table that the options stand in (``"grouping"``), for messages.

        Raises
        ------
        ConfigurationError
            If an option is wrong; its key begins with ``where``.
        PluginLoadError
            If the plugin's class cannot be imported.
        PluginFailedError
            If the class cannot be made.
        """
        return cast("Probe", self._make(Kind.PROBE, name, options, where))

    def grouping_policy(self, name: str, options: OptionValues | None = None, *, where: str = "") -> GroupingPolicy:
        """Make a grouping policy."""
        return cast("GroupingPolicy", self._make(Kind.GROUPING_POLICY, name, options, where))

    def tier_provider(self, name: str, options: OptionValues | None = None, *, where: str = "") -> TierProvider:
        """Make a tier provider."""
        return cast("TierProvider", self._make(Kind.TIER_PROVIDER, name, options, where))

    def learner(self, name: str, options: OptionValues | None, task: Task, *, where: str = "") -> Learner:
        """Make a learner for a task: as the plugin is, without the standardisation that the task may say.

        That belongs to the models of a federation, whatever their learner; for one of those see
        `tierwise.runtime.load_model`.
        """
        return cast("Learner", self._make(Kind.LEARNER, name, options, where, task))

    def selector(self, name: str, options: OptionValues | None = None, *, where: str = "") -> Selector:
        """Make a selector."""
        return cast("Selector", self._make(Kind.SELECTOR, name, options, where))

    def reducer(self, name: str, options: OptionValues | None = None, *, where: str = "") -> AnyReducer:
        """Make a reducer."""
        return cast("AnyReducer", self._make(Kind.REDUCER, name, options, where))

    def server_optimizer(self, name: str, options: OptionValues | None = None, *, where: str = "") -> ServerOptimizer:
        """Make a server optimizer."""
        return cast("ServerOptimizer", self._make(Kind.SERVER_OPTIMIZER, name, options, where))

    def exchange(self, name: str, options: OptionValues | None = None, *, where: str = "") -> Exchange:
        """Make an exchange."""
        return cast("Exchange", self._make(Kind.EXCHANGE, name, options, where))

    def codec(self, name: str, options: OptionValues | None = None, *, where: str = "") -> Codec:
        """Make a codec."""
        return cast("Codec", self._make(Kind.CODEC, name, options, where))

    def stop_rule(self, name: str, options: OptionValues | None = None, *, where: str = "") -> StopRule:
        """Make a stop rule."""
        return cast("StopRule", self._make(Kind.STOP_RULE, name, options, where))

    def data_source(self, name: str, options: OptionValues | None = None, *, where: str = "") -> DataSource:
        """Make a data source."""
        return cast("DataSource", self._make(Kind.DATA_SOURCE, name, options, where))

    def aggregator(self, name: str) -> AggregatorDescriptor:
        """Return an aggregator, whose reducer and server optimizer are known to exist.

        Raises
        ------
        PluginLoadError
            If it names a reducer or server optimizer that nobody offers.
        """
        descriptor, source = self._lookup(Kind.AGGREGATOR, name)
        descriptor = cast("AggregatorDescriptor", descriptor)
        for kind, part in (
            (Kind.REDUCER, descriptor.reducer),
            (Kind.SERVER_OPTIMIZER, descriptor.server_optimizer),
        ):
            if (kind, part) not in self._found:
                raise PluginLoadError(
                    f"aggregator {name!r} of {source} names the {kind} {part!r}, which no installed "
                    f"distribution offers{nearest(part, self._names(kind))}. Install the policy pack that brings "
                    f"it, or this: {source.remedy}"
                )
        return descriptor

    def placed(self, kind: Kind, name: str, options: OptionValues, folder: Path) -> OptionValues:
        """Return a plugin's options, those that are relative paths starting at a folder: the one of their file.

        Raises
        ------
        UnknownPluginError, PluginLoadError
            As when it is made; what is wrong with the options is told then.
        """
        return from_folder(options, self.options_type(kind, name), folder)

    def options_type(self, kind: Kind, name: str) -> type[msgspec.Struct]:
        """Return the type of a plugin's options; one without fields if it has none."""
        found, source = self._lookup(kind, name)
        descriptor = cast("PluginDescriptor", found)
        if not descriptor.options:
            return _NoOptions
        subject = f"{kind} {name!r}"
        loaded: Any = _import(descriptor.options, f"the options type of {subject}", source)
        if not issubclass(loaded, msgspec.Struct):
            raise PluginLoadError(
                f"{subject} of {source}: its options type {descriptor.options!r} is not a msgspec Struct. "
                f"{source.remedy}"
            )
        return cast("type[msgspec.Struct]", loaded)

    def noting(self, used: list[PluginUsed]) -> "Plugins":
        """Return the same plugins; each that is made by what is returned, and each part of it, is noted in ``used``."""
        noting = copy.copy(self)
        noting._used = used  # noqa: SLF001  (it is one of us)
        return noting

    def options(self, kind: Kind, name: str, values: OptionValues, *, where: str = "") -> msgspec.Struct:
        """Read a plugin's options as it is done when it is made; it is noted likewise, and not made.

        Raises
        ------
        UnknownPluginError, PluginLoadError, ConfigurationError
            As when it is made.
        """
        of, named_by = self.options_type(kind, name), naming_key(kind, where)
        options = read_options(values, of, subject=f"{kind} {name!r}", where=where, named_by=named_by)
        if self._used is not None:
            self._used.append(self.provenance(kind, name))
        return options

    def _names(self, kind: Kind) -> list[str]:
        return [descriptor.name for descriptor in self.descriptors(kind)]

    def _lookup(self, kind: Kind, name: str) -> tuple[AnyDescriptor, Source]:
        found = self._found.get((kind, name))
        if found is None:
            raise UnknownPluginError(str(kind), name, self._names(kind))
        return found

    def _make(self, kind: Kind, name: str, values: OptionValues | None, where: str, *arguments: object) -> Any:
        found, source = self._lookup(kind, name)
        descriptor = cast("PluginDescriptor", found)
        subject = f"{kind} {name!r}"
        options = self.options(kind, name, values or {}, where=where)
        made = _import(descriptor.target, subject, source)
        given = (options, *arguments) if descriptor.options else arguments
        if descriptor.composed:
            given = (*given, Parts(self, where))
        try:
            return made(*given)
        except TierwiseError:
            raise  # the plugin says itself what is wrong
        except Exception as error:
            raise PluginFailedError(
                f"{subject} of {source} cannot be made: {descriptor.target} raised "
                f"{type(error).__name__}: {error}. {source.remedy}"
            ) from error


class _NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stands for the options of a plugin that has none, so that giving it one is the usual error."""


def _import(path: str, what: str, source: Source) -> Any:
    """Import a plugin's class; in another process than the one that registered it, its file may not be there yet."""
    if source.file and source.module not in sys.modules:
        import_file(Path(source.file))
    return load(path, what, source)


def _source(point: EntryPoint) -> Source:
    if point.dist is None:
        return Source(point.value, "an unknown distribution")
    return Source(point.value, point.dist.name, point.dist.version)


def _clash(descriptor: AnyDescriptor, new: Source, old: Source) -> PluginClashError:
    what = f"{descriptor.kind} named {descriptor.name!r}"
    if new.distribution == old.distribution:
        modules = " and ".join(repr(module) for module in dict.fromkeys((old.module, new.module)))
        return PluginClashError(f"{new} offers the {what} twice, in {modules}. {new.remedy}")
    removable = next(s for s in (new, old) if s.distribution != hookspecs.PROJECT)
    return PluginClashError(
        f"two distributions offer a {what}: {old} (in {old.module!r}) and {new} (in {new.module!r}). {removable.remedy}"
    )


def _print_call(hook: str, implementations: Sequence[pluggy.HookImpl], _arguments: object) -> None:
    for implementation in implementations:
        print(f"tierwise: {hook}() of {implementation.plugin_name}", file=sys.stderr)
