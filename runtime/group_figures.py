"""A group's figures, read from its state and the event log."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from tierwise.core import events as e
from tierwise.core.events import Record
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import CohortId, DeviceId, GroupId, ModelVersion, RoundNumber, TierName
from tierwise.core.metrics import MetricFigure, read_metrics
from tierwise.core.state import GroupState, Phase
from tierwise.core.stopping import RoundRecord
from tierwise.runtime.evaluation import EvaluatedModel


class RoundFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A closed round of a group.

    Attributes
    ----------
    round
        Its number; abandoned rounds leave gaps.
    version
        Of the model that the round made.
    metrics
        Of the model before it, on the hold-outs of the devices that took part.
    opened_at, closed_at
        In seconds of federation time.
    devices
        How many updates went into the model.
    samples
        How many training samples they stand for.
    download_bytes, upload_bytes
        The model to each participant, and the updates that were accepted.
    energy_j
        Predicted joules of the devices whose update counts and whose power is known; None if none's is.
    test
        Of the model that the round made, on the coordinator's own test set; empty without one.
    """

    round: RoundNumber
    version: ModelVersion
    metrics: dict[str, MetricFigure]
    opened_at: float
    closed_at: float
    devices: int
    samples: int
    download_bytes: int
    upload_bytes: int
    energy_j: float | None
    test: dict[str, MetricFigure]


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A group, as far as it came.

    Attributes
    ----------
    group
        Its name, never used for another.
    rank
        0 is the weakest group's.
    devices
        How many are in it; 0 when they went to another group.
    contributed
        How many of those that were ever in it have an update in one of its models.
    tier, parameters
        Of its model; None if the tier provider has not answered.
    rounds, abandoned
        Closed rounds, and those that made no model.
    version
        How many rounds made its latest model.
    metrics
        From the closing evaluation; empty when there was none.
    test
        Of its latest model, on the coordinator's own test set; empty without one.
    download_bytes, upload_bytes
        Traffic of its closed rounds, of all participants together.
    energy_j
        Predicted joules of its closed rounds, of the devices whose power is known; None if none's is.
    simulated_s
        From the start of its first round to its end, or to the end of the log, in seconds of federation time; with
        real devices, that is real time.
    finished
        Whether its model is final.
    failed
        Whether it ended because something went wrong.
    reason
        Why it ended; empty while it has not.
    history
        Its closed rounds.
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
    test: dict[str, MetricFigure]
    download_bytes: int
    upload_bytes: int
    energy_j: float | None
    simulated_s: float
    finished: bool
    failed: bool
    reason: str
    history: tuple[RoundFigures, ...]


@dataclass(slots=True)
class GroupTally:
    """What the state of a group does not keep."""

    opened_at: float
    ended_at: float | None = None
    abandoned: int = 0
    contributors: set[DeviceId] = field(default_factory=set)


@dataclass(slots=True)
class Tally:
    """What the state does not keep."""

    groups: dict[GroupId, GroupTally] = field(default_factory=dict)
    merged: set[GroupId] = field(default_factory=set)
    profiles: dict[DeviceId, HardwareProfile] = field(default_factory=dict)
    """Also of devices that were removed."""


def tally_up(records: Iterable[Record]) -> Tally:
    """Count through a log from its beginning."""
    tally = Tally()
    groups = tally.groups
    survivors: dict[CohortId, tuple[DeviceId, ...]] = {}
    for record in records:
        match record.event:
            case e.HardwareReported(device=device, profile=profile):
                tally.profiles[device] = profile
            case e.RoundOpened(group=group):
                groups.setdefault(group, GroupTally(record.at))
            case e.CohortClosed(cohort=cohort, survivors=devices):
                survivors[cohort] = devices
            case e.RoundClosed(group=group, cohort=cohort):
                groups[group].contributors.update(survivors[cohort])
            case e.RoundAbandoned(group=group):
                groups[group].abandoned += 1
            case e.GroupMerged(source=group):
                tally.merged.add(group)
            case e.GroupFinished(group=group):
                groups.setdefault(group, GroupTally(record.at)).ended_at = record.at
    return tally


def group_figures(
    name: GroupId, group: GroupState, tally: Tally, models: Sequence[EvaluatedModel], end: float
) -> GroupFigures:
    """Count up a group.

    Parameters
    ----------
    name, group
        The group, at the end of the log.
    tally, models
        Of the whole log.
    end
        Federation time of its last record, in seconds.
    """
    own = tally.groups.get(name) or GroupTally(end)
    closing = next((model for model in models if model.group == name and model.closing), None)
    before = {model.version: model.figures.metrics for model in models if model.group == name and not model.closing}
    return GroupFigures(
        group=name,
        rank=group.rank,
        devices=len(group.members),
        contributed=len(own.contributors),
        tier=group.tier.name if group.tier else None,
        parameters=group.tier.cost.parameters if group.tier else None,
        rounds=len(group.history),
        abandoned=own.abandoned,
        version=group.version,
        metrics=closing.figures.metrics if closing else {},
        test=read_metrics(group.history[-1].test) if group.history else {},
        download_bytes=sum(one.download_bytes for one in group.history),
        upload_bytes=sum(one.upload_bytes for one in group.history),
        energy_j=known_sum(one.energy_j for one in group.history),
        simulated_s=(end if own.ended_at is None else own.ended_at) - own.opened_at,
        finished=group.phase is Phase.FINISHED,
        failed=group.failed,
        reason=group.ending or "" if group.phase is Phase.FINISHED else "",
        history=tuple(_round_figures(one, before.get(ModelVersion(one.version - 1), {})) for one in group.history),
    )


def known_sum(values: Iterable[float | None]) -> float | None:
    """Return the sum of what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _round_figures(closed: RoundRecord, metrics: dict[str, MetricFigure]) -> RoundFigures:
    return RoundFigures(
        round=closed.round,
        version=closed.version,
        metrics=metrics,
        opened_at=closed.opened_at,
        closed_at=closed.closed_at,
        devices=closed.devices,
        samples=closed.samples,
        download_bytes=closed.download_bytes,
        upload_bytes=closed.upload_bytes,
        energy_j=closed.energy_j,
        test=read_metrics(closed.test),
    )
