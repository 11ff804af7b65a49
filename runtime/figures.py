"""A run's figures, read from its event log: the same for one that ended, that failed, and that was interrupted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from tierwise.core.edges import Store
from tierwise.core.events import PluginUsed, Record
from tierwise.core.federation import Federation
from tierwise.core.framing import to_bytes
from tierwise.core.ids import BlobHash, DeviceId, GroupId
from tierwise.core.state import FederationState, GroupState, Phase
from tierwise.runtime.evaluation import Evaluation, evaluated_models, evaluations
from tierwise.runtime.group_figures import GroupFigures, group_figures, known_sum, tally_up

if TYPE_CHECKING:  # a coordinator of devices needs no simulation
    from tierwise.runtime.simulation.run import Simulation


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
    metric
        The task's first metric; empty before there is a task.
    rounds, abandoned
        Of all groups together.
    download_bytes, upload_bytes
        Traffic of all closed rounds.
    energy_j
        Predicted joules of all closed rounds, of the devices whose power is known; None if none's is.
    simulated_s
        Federation time of the last record, in seconds.
    evaluation
        How good the models are over the whole federation, with each group's latest evaluated model; None before any
        was evaluated. Groups that were merged into another are left out: their devices are there.
    history
        The same after each round: the last entry is ``evaluation``.
    """

    groups: tuple[GroupFigures, ...]
    unplaced: dict[DeviceId, str]
    failure: str | None
    metric: str
    rounds: int
    abandoned: int
    download_bytes: int
    upload_bytes: int
    energy_j: float | None
    simulated_s: float
    evaluation: Evaluation | None
    history: tuple[Evaluation, ...]


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
    kinds
        What each device is sold as, if that is known: then figures by class of devices are by kind.
    """

    records: Sequence[Record]
    state: FederationState
    targets: dict[BlobHash, bytes]
    kinds: Mapping[DeviceId, str] = field(default_factory=dict)

    @classmethod
    def of(cls, simulation: "Simulation", kinds: Mapping[DeviceId, str] | None = None) -> "Run":
        """Take a simulation that has ended."""
        targets = {group.identity: to_bytes(group.model) for group in simulation.result.groups}
        return cls(simulation.records, _replayed(simulation.records), targets, kinds or {})

    @classmethod
    async def read(cls, store: Store, kinds: Mapping[DeviceId, str] | None = None) -> "Run":
        """Take what is in a store, wherever the run stopped."""
        records = await store.records()
        state = _replayed(records)
        blobs = sorted({group.model for group in finished_groups(state).values() if group.model is not None})
        targets = dict(zip(blobs, map(bytes, await store.get_all(blobs)), strict=True))
        return cls(records, state, targets, kinds or {})

    @classmethod
    def replayed(cls, records: Sequence[Record]) -> "Run":
        """Take a log, without the target models."""
        return cls(records, _replayed(records), {})

    @property
    def figures(self) -> RunFigures:
        """Count it all up."""
        return read_figures(self.records, self.state, self.kinds)

    @property
    def plugins(self) -> tuple[PluginUsed, ...]:
        """Which plugins decided, and where they came from."""
        return self.state.plugins


def finished_groups(state: FederationState) -> dict[GroupId, GroupState]:
    """Return the groups whose model is final."""
    return {name: group for name, group in state.groups.items() if group.phase is Phase.FINISHED}


def read_figures(
    records: Sequence[Record], state: FederationState, kinds: Mapping[DeviceId, str] | None = None
) -> RunFigures:
    """Count up a log.

    Parameters
    ----------
    records
        The log from its beginning.
    state
        The federation's at its end.
    kinds
        As `Run.kinds`.
    """
    tally = tally_up(records)
    end = records[-1].at if records else 0.0
    models = evaluated_models(records)
    metric = state.settings.task.metrics[0] if state.settings else ""
    staying = [name for name in state.groups if name not in tally.merged]
    history = evaluations(models, staying, metric, tally.profiles, kinds)
    groups = tuple(group_figures(name, group, tally, models, end) for name, group in state.groups.items())
    return RunFigures(
        groups=groups,
        unplaced={name: one.unplaced for name, one in sorted(state.devices.items()) if one.unplaced is not None},
        failure=state.failure,
        metric=metric,
        rounds=sum(group.rounds for group in groups),
        abandoned=sum(group.abandoned for group in groups),
        download_bytes=sum(group.download_bytes for group in groups),
        upload_bytes=sum(group.upload_bytes for group in groups),
        energy_j=known_sum(group.energy_j for group in groups),
        simulated_s=end,
        evaluation=history[-1] if history else None,
        history=history,
    )


def _replayed(records: Sequence[Record]) -> FederationState:
    federation = Federation()
    for record in records:
        federation.apply(record)
    return federation.state
