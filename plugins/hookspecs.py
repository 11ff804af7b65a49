"""Everything that a plugin can provide: one hook for each kind.

A policy pack has a module with some of these functions, each marked with `hookimpl`, and names that module as
an entry point of the group ``tierwise``. A hook only announces: it returns descriptors and imports nothing
heavy. The work is done by the classes that the descriptors name, each of which keeps the contract that its hook
points to and can be held to it with `tierwise.plugins.testing`.
"""

# A specification has no body.
# mypy: disable-error-code="empty-body"

from collections.abc import Iterable
from typing import Final

import pluggy

from tierwise.plugins.descriptors import AggregatorDescriptor, Kind, PluginDescriptor

PROJECT: Final = "tierwise"
"""Name of the entry-point group and of the plugin system."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook that it is named after."""


@hookspec
def tierwise_probes() -> Iterable[PluginDescriptor]:
    """Announce probes, which measure a device's hardware: `tierwise.core.hardware.Probe`."""


@hookspec
def tierwise_grouping_policies() -> Iterable[PluginDescriptor]:
    """Announce grouping policies, which divide a fleet: `tierwise.core.grouping.GroupingPolicy`."""


@hookspec
def tierwise_tier_providers() -> Iterable[PluginDescriptor]:
    """Announce tier providers, which size models for hardware: `tierwise.core.tiers.TierProvider`."""


@hookspec
def tierwise_learners() -> Iterable[PluginDescriptor]:
    """Announce learners, which train and evaluate on a device: `tierwise.core.learning.Learner`."""


@hookspec
def tierwise_selectors() -> Iterable[PluginDescriptor]:
    """Announce selectors, which choose a round's participants: `tierwise.core.selection.Selector`."""


@hookspec
def tierwise_reducers() -> Iterable[PluginDescriptor]:
    """Announce reducers, which combine a cohort's updates: `tierwise.core.aggregation.Reducer`."""


@hookspec
def tierwise_server_optimizers() -> Iterable[PluginDescriptor]:
    """Announce server optimizers, which apply the result: `tierwise.core.aggregation.ServerOptimizer`."""


@hookspec
def tierwise_aggregators() -> Iterable[AggregatorDescriptor]:
    """Announce aggregators, which name a reducer and a server optimizer: `AggregatorDescriptor`."""


@hookspec
def tierwise_exchanges() -> Iterable[PluginDescriptor]:
    """Announce exchanges, by which groups learn from each other: `tierwise.core.exchange.Exchange`."""


@hookspec
def tierwise_codecs() -> Iterable[PluginDescriptor]:
    """Announce codecs, which make updates smaller on their way: `tierwise.core.coding.Codec`."""


@hookspec
def tierwise_stop_rules() -> Iterable[PluginDescriptor]:
    """Announce stop rules, which end a group's federation: `tierwise.core.stopping.StopRule`."""


@hookspec
def tierwise_data_sources() -> Iterable[PluginDescriptor]:
    """Announce data sources, which read a device's own data: `tierwise.core.learning.DataSource`."""


HOOKS: Final = {
    "tierwise_probes": Kind.PROBE,
    "tierwise_grouping_policies": Kind.GROUPING_POLICY,
    "tierwise_tier_providers": Kind.TIER_PROVIDER,
    "tierwise_learners": Kind.LEARNER,
    "tierwise_selectors": Kind.SELECTOR,
    "tierwise_reducers": Kind.REDUCER,
    "tierwise_server_optimizers": Kind.SERVER_OPTIMIZER,
    "tierwise_aggregators": Kind.AGGREGATOR,
    "tierwise_exchanges": Kind.EXCHANGE,
    "tierwise_codecs": Kind.CODEC,
    "tierwise_stop_rules": Kind.STOP_RULE,
    "tierwise_data_sources": Kind.DATA_SOURCE,
}
"""The kind that each hook announces; a descriptor of another kind is refused."""
