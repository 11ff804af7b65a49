"""Which plugins decide in a federation: chosen by name, then made."""

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from tierwise.core.aggregation import AnyReducer, ServerOptimizer
from tierwise.core.coded_tiers import CodedTiers
from tierwise.core.errors import ConfigurationError
from tierwise.core.events import PluginUsed
from tierwise.core.exchange import NO_EXCHANGE, Exchange
from tierwise.core.grouping import GroupingPolicy
from tierwise.core.learning import Predictor
from tierwise.core.selection import Selector
from tierwise.core.standardised_tiers import StandardisedTiers
from tierwise.core.stopping import ChecksTask, StopRule
from tierwise.core.task import Task
from tierwise.core.tiers import CodecChoice, OptionValues, TierProvider
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.manager import Plugins
from tierwise.runtime.own_data import OwnData


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin's name, and its options as plain values."""

    name: str
    options: OptionValues = {}


class AggregatorChoice(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregator's name, and the options of the two that it consists of.

    Attributes
    ----------
    name
        Of the aggregator.
    reducer, server_optimizer
        Their options.
    """

    name: str = "mean"
    reducer: OptionValues = {}
    server_optimizer: OptionValues = {}


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """Who decides what."""

    grouping: Choice = Choice(name="quantile")
    tiers: Choice = Choice(name="mlp")
    selection: Choice = Choice(name="all")
    aggregation: AggregatorChoice = AggregatorChoice()
    exchange: Choice = Choice(name=NO_EXCHANGE)
    codec: Choice = Choice(name=CodecChoice().name)
    stop: Choice = Choice(name="rounds")


@dataclass(frozen=True, slots=True)
class Team:
    """The plugins of a federation, made; ``used`` says where each came from, and behind them each of their parts."""

    grouping: GroupingPolicy
    tiers: TierProvider
    selector: Selector
    reducer: AnyReducer
    server_optimizer: ServerOptimizer
    exchange: Exchange | None
    stop: StopRule
    used: tuple[PluginUsed, ...]


def check_team(team: Team, task: Task, own: OwnData, plugins: Plugins) -> None:
    """Let it be said now, not when groups are formed, that plugins do not go with the task or with each other.

    Raises
    ------
    ConfigurationError
        If a learner cannot do what the task wants, the stop rule waits for a metric that it does not have, or the
        exchange does not have what it needs.
    """
    if isinstance(team.stop, ChecksTask):
        try:
            team.stop.check_task(task)
        except ConfigurationError as error:
            raise error.below("stop") from error
    try:
        offers = team.tiers.offers(task)
    except ConfigurationError:
        raise
    except Exception:  # what else goes wrong in a provider is the run's to tell, in the log
        return
    if team.exchange is None:
        return
    name = next(used.name for used in team.used if used.kind == Kind.EXCHANGE)
    if team.exchange.needs_public and own.public is None:
        raise ConfigurationError(
            f"exchange {name!r} needs a public set, unlabelled samples that the coordinator holds: name their data "
            "source in [exchange.public], or give a Coordinator OwnData(public=…)",
            key="exchange.public",
        )
    if team.exchange.needs_predictors:
        for tier in offers:
            if not isinstance(plugins.learner(tier.learner, tier.options, task), Predictor):
                raise ConfigurationError(
                    f"exchange {name!r} needs learners that predict and take soft labels; {tier.learner!r} of tier "
                    f"{tier.name!r} has no method predict: choose other tiers, or no exchange",
                    key="tiers",
                )


def assemble(policies: Policies, plugins: Plugins) -> Team:
    """Make the plugins that ``policies`` names.

    Raises
    ------
    UnknownPluginError
        If a name is not known; says which is nearest.
    ConfigurationError
        If an option is wrong, its key being the one of the TOML file; or a policy is no choice.
    PluginError
        If a plugin cannot be loaded.
    """
    for field in policies.__struct_fields__:
        chosen = getattr(policies, field)
        if not isinstance(chosen, Choice | AggregatorChoice):
            raise ConfigurationError(f"is {chosen!r}; a plugin is chosen by Choice(name={chosen!r})", key=field)
    aggregation = policies.aggregation
    aggregator = plugins.aggregator(aggregation.name)
    names = {
        Kind.GROUPING_POLICY: policies.grouping.name,
        Kind.TIER_PROVIDER: policies.tiers.name,
        Kind.SELECTOR: policies.selection.name,
        Kind.AGGREGATOR: aggregation.name,
        Kind.REDUCER: aggregator.reducer,
        Kind.SERVER_OPTIMIZER: aggregator.server_optimizer,
        Kind.CODEC: policies.codec.name,
        Kind.STOP_RULE: policies.stop.name,
    }
    noted: list[PluginUsed] = []
    plugins = plugins.noting(noted)
    exchange = None
    if policies.exchange.name != NO_EXCHANGE:
        exchange = plugins.exchange(policies.exchange.name, policies.exchange.options, where="exchange")
        names[Kind.EXCHANGE] = policies.exchange.name
    team = Team(
        grouping=plugins.grouping_policy(policies.grouping.name, policies.grouping.options, where="grouping"),
        tiers=tiers_of(policies, plugins),
        selector=plugins.selector(policies.selection.name, policies.selection.options, where="selection"),
        reducer=plugins.reducer(aggregator.reducer, aggregation.reducer, where="aggregation.reducer"),
        server_optimizer=plugins.server_optimizer(
            aggregator.server_optimizer, aggregation.server_optimizer, where="aggregation.server_optimizer"
        ),
        exchange=exchange,
        stop=plugins.stop_rule(policies.stop.name, policies.stop.options, where="stop"),
        used=(),
    )
    whole = [plugins.provenance(kind, name) for kind, name in names.items()]
    return replace(team, used=tuple(dict.fromkeys([*whole, *noted])))


def tiers_of(policies: Policies, plugins: Plugins) -> TierProvider:
    """Make the tier provider, as the policies' codec and the task's standardisation have its tiers; raises likewise."""
    provider = StandardisedTiers(plugins.tier_provider(policies.tiers.name, policies.tiers.options, where="tiers"))
    chosen = policies.codec
    codec = plugins.codec(chosen.name, chosen.options, where="codec")
    # Devices are told all options, since those of another version may have other defaults.
    options = plain_options(plugins, Kind.CODEC, chosen.name, chosen.options)
    return CodedTiers(provider, codec, CodecChoice(name=chosen.name, options=options))


def plain_options(plugins: Plugins, kind: Kind, name: str, values: OptionValues) -> OptionValues:
    """Return all options of a plugin as plain values; those that were left out have their defaults."""
    read = msgspec.msgpack.encode(plugins.options(kind, name, values), enc_hook=_named)
    plain: OptionValues = msgspec.msgpack.decode(read)
    return plain


def _named(value: object) -> object:
    """Return what stands in a log for an option that a program gave as an object: the name of a function, a class."""
    if isinstance(value, np.generic):
        return value.item()
    named: Any = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}:{named.__qualname__}"
