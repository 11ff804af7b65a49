"""Descriptors: how a plugin is announced before anything of it is imported."""

from enum import StrEnum

import msgspec


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
    CODEC = "codec"
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
    summary
        What it does, in one sentence, for ``tierwise plugins``.
    composed
        Whether it consists of other plugins, which its options name: the class is then made with one argument more, its
        `tierwise.plugins.Parts`, behind all others.
    """

    kind: Kind
    name: str
    target: str
    options: str = ""
    summary: str
    composed: bool = False


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
