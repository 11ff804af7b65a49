"""Announces what this pack brings; nothing else of it is imported until a federation uses it."""

from collections.abc import Iterable

from tierwise.plugins import AggregatorDescriptor, Kind, PluginDescriptor, hookimpl


@hookimpl
def tierwise_grouping_policies() -> Iterable[PluginDescriptor]:
    """Announce the grouping policy."""
    yield PluginDescriptor(
        kind=Kind.GROUPING_POLICY,
        name="memory-bands",
        target="tierwise_policy_pack.bands:MemoryBandsPolicy",
        options="tierwise_policy_pack.bands:MemoryBandsOptions",
        summary="Groups devices by the band of memory that they are in.",
    )


@hookimpl
def tierwise_reducers() -> Iterable[PluginDescriptor]:
    """Announce the reducer."""
    yield PluginDescriptor(
        kind=Kind.REDUCER,
        name="winsorized-mean",
        target="tierwise_policy_pack.winsorized:WinsorizedMeanReducer",
        options="tierwise_policy_pack.winsorized:WinsorizedMeanOptions",
        summary="Averages each coordinate after its smallest and largest values were brought to their neighbours.",
    )


@hookimpl
def tierwise_aggregators() -> Iterable[AggregatorDescriptor]:
    """Announce the aggregator: our reducer, and the server optimizer that comes with tierwise."""
    yield AggregatorDescriptor(
        name="winsorized-mean",
        reducer="winsorized-mean",
        server_optimizer="plain",
        summary="Adds the winsorized mean of the updates to the model: a few devices cannot pull it far.",
    )
