"""Descriptors: how a plugin is announced before anything of it is imported."""

from enum import StrEnum
from typing import Protocol, TypeVar

import msgspec

from tierwise.core.tiers import OptionValues


class Kind(StrEnum):
    """What a plugin can be; the value is how messages call it."""

    PROBE = "probe"
    GROUPING_POLICY = "grouping policy"
    TIER_PROVIDER = "tier provider"
    LEARNER = "learner"
    SELECTOR = "selector"
    REDUCER = "reducer"
    SERVER_OPTIMIZER = "server optimizer"
    AGGREGATOR = "aggregator"
    EXCHANGE = "exchange"
    STOP_RULE = "stop rule"
    DATA_SOURCE = "data source"


class PluginDescriptor(msgspec.Struct, frozen=True, kw_only=True):
    """Announces a class that keeps one of the contracts.

    The module is imported when the plugin is first used, so a descriptor costs nothing: an agent on a small
    board never loads what a grouping policy needs.

    Attributes
    ----------
    kind
        Which contract it keeps.
    name
        How a configuration asks for it: lower case, digits, ``-``, ``.`` and ``_``; unique for its kind.
    target
        The class, as ``"package.module:Class"``.
    options
        The type of its options, as ``"package.module:Options"``: a frozen msgspec Struct with
        ``forbid_unknown_fields=True`` and a default for every field. The class is then made as
        ``Class(options)`` (a learner as ``Class(options, task)``). Empty for a plugin without options, made as
        ``Class()`` (a learner as ``Class(task)``).
    parts
        The kind of plugins that it is made of, if its options name some. The class is then made as
        ``Class(options, make)``: `MakePart` makes one of them.
    summary
        What it does, in one sentence, for ``tierwise plugins``.
    """

    kind: Kind
    name: str
    target: str
    options: str = ""
    parts: Kind | None = None
    summary: str


Part = TypeVar("Part", covariant=True)


class MakePart(Protocol[Part]):
    """Makes a plugin that another one's options name: given to the classes of descriptors with ``parts``."""

    def __call__(self, name: str, options: OptionValues, key: str) -> Part:
        """Return the plugin.

        Parameters
        ----------
        name
            Its name, of the kind that the descriptor tells.
        options
            Its options as plain values.
        key
            Where it stands in the options of who asks (``"rules.1"``), for messages.

        Raises
        ------
        ConfigurationError
            If there is none of this name, or an option is wrong; its key is that of the whole file.
        PluginError
            If it cannot be made.
        """
        ...


class AggregatorDescriptor(msgspec.Struct, frozen=True, kw_only=True):
    """Gives a reducer and a server optimizer one name.

    Attributes
    ----------
    name
        How a configuration asks for it, as in `PluginDescriptor`.
    reducer, server_optimizer
        Their names. Either may come from another distribution.
    summary
        What it does, in one sentence.
    """

    name: str
    reducer: str
    server_optimizer: str
    summary: str

    @property
    def kind(self) -> Kind:
        """Always `Kind.AGGREGATOR`."""
        return Kind.AGGREGATOR


AnyDescriptor = PluginDescriptor | AggregatorDescriptor
