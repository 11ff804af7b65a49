"""A run's figures, read from its event log: the same for one that ended, that failed, and that was interrupted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from tierwise.core import events as e
from tierwise.core.edges import Store
from tierwise.core.events import PluginUsed, Record
from tierwise.core.federation import Federation
from tierwise.core.framing import to_bytes
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, ModelVersion, TierName
from tierwise.core.metrics import MetricFigure, read_metrics
from tierwise.core.state import FederationState, GroupState, Phase
from tierwise.runtime.simulation.run import Simulation


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A group, as far as it came.

    Attributes
    ----------
    group, rank
        0 is the weakest group's rank.
    devices
        How many are in it; 0 when they went to another group.
    contributed
        How many of those that were ever in it have an update in one of its models.
    tier, parameters
        Of its model; None if the tier provider has not answered.
    rounds, abandoned
        Closed rounds, and those that made no model.
    metrics
        From the closing evaluation; empty when there was none.
    simulated_s
        From the start of its first round to its end, or to the end of the log, in seconds.
    finished
        Whether its model is final.
    failed
        Whether it ended because something went wrong.
    reason
        Why it ended; empty while it has not.
    """

    group: GroupId
    rank: int
    devices: int
    contributed: int
    tier: TierName | None
    parameters: int | None
    rounds: int
    abandoned: int
    version: ModelVersion
    metrics: dict[str, MetricFigure]
    simulated_s: float
    finished: bool
    failed: bool
    reason: str


class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A run.

    Attributes
    ----------
    groups
        Weakest first.
    unplaced
        Why a device is in no group.
    failure
        Why there are no target models; None if there are, or might have been.
    simulated_s
        Federation time of the last record, in seconds.
    """

    groups: tuple[GroupFigures, ...]
    unplaced: dict[DeviceId, str]
    failure: str | None
    simulated_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is known from its log.

    Attributes
    ----------
    records
        The event log, maybe cut short.
    state
        The federation's, at its end.
    targets
        The target models' frames, of the groups that have one.
    """

    records: Sequence[Record]
    state: FederationState
    targets: dict[BlobHash, bytes]

    @classmethod
    def of(cls, simulation: Simulation) -> "Run":
        """Take a simulation that has ended."""
        targets = {group.identity: to_bytes(group.model) for group in simulation.result.groups}
        return cls(simulation.records, _replayed(simulation.records), targets)

    @classmethod
    async def read(cls, store: Store) -> "Run":
        """Take what is in a store, wherever the run stopped."""
        records = await store.records()
        state = _replayed(records)
        blobs = sorted({group.model for group in finished_groups(state).values() if group.model is not None})
        return cls(records, state, {blob: bytes(await store.get(blob)) for blob in blobs})

    @classmethod
    def replayed(cls, records: Sequence[Record]) -> "Run":
        """Take a log, without the target models."""
        return cls(records, _replayed(records), {})

    @property
    def figures(self) -> RunFigures:
        """Count it all up."""
        return read_figures(self.records, self.state)

    @property
    def plugins(self) -> tuple[PluginUsed, ...]:
        """Which plugins decided, and where they came from."""
        opened = next((record.event for record in self.records if isinstance(record.event, e.FederationOpened)), None)
        return opened.plugins if opened else ()


def finished_groups(state: FederationState) -> dict[GroupId, GroupState]:
    """Return the groups whose model is final."""
    return {name: group for name, group in state.groups.items() if group.phase is Phase.FINISHED}


def read_figures(records: Sequence[Record], state: FederationState) -> RunFigures:
    """Count up a log.

    Parameters
    ----------
    records
        The log from its beginning.
    state
        The federation's at its end.
    """
    tallies = _tally(records)
    end = records[-1].at if records else 0.0
    return RunFigures(
        groups=tuple(_group_figures(name, group, tallies.get(name), end) for name, group in state.groups.items()),
        unplaced={name: one.unplaced for name, one in sorted(state.devices.items()) if one.unplaced is not None},
        failure=state.failure,
        simulated_s=end,
    )


@dataclass(slots=True)
class _Tally:
    """What the state of a group does not keep."""

    opened_at: float
    ended_at: float | None = None
    abandoned: int = 0
    contributors: set[DeviceId] = field(default_factory=set)


def _tally(records: Iterable[Record]) -> dict[GroupId, _Tally]:
    tallies: dict[GroupId, _Tally] = {}
    survivors: dict[CohortId, tuple[DeviceId, ...]] = {}
    for record in records:
        match record.event:
            case e.RoundOpened(group=group):
                tallies.setdefault(group, _Tally(record.at))
            case e.CohortClosed(cohort=cohort, survivors=devices):
                survivors[cohort] = devices
            case e.RoundClosed(group=group, cohort=cohort):
                tallies[group].contributors.update(survivors[cohort])
            case e.RoundAbandoned(group=group):
                tallies[group].abandoned += 1
            case e.GroupFinished(group=group):
                tallies.setdefault(group, _Tally(record.at)).ended_at = record.at
    return tallies


def _group_figures(name: GroupId, group: GroupState, tally: _Tally | None, end: float) -> GroupFigures:
    tally = tally or _Tally(end)
    return GroupFigures(
        group=name,
        rank=group.rank,
        devices=len(group.members),
        contributed=len(tally.contributors),
        tier=group.tier.name if group.tier else None,
        parameters=group.tier.cost.parameters if group.tier else None,
        rounds=len(group.history),
        abandoned=tally.abandoned,
        version=group.version,
        metrics=read_metrics(group.metrics),
        simulated_s=(end if tally.ended_at is None else tally.ended_at) - tally.opened_at,
        finished=group.phase is Phase.FINISHED,
        failed=group.failed,
        reason=group.ending or "" if group.phase is Phase.FINISHED else "",
    )


def _replayed(records: Sequence[Record]) -> FederationState:
    federation = Federation()
    for record in records:
        federation.apply(record)
    return federation.state
