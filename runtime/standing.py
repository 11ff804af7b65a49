"""Where a federation stands, read from its store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psutil

from tierwise.core import events as e
from tierwise.core.events import Record
from tierwise.core.federation import Federation
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId, GroupId, ModelVersion, RoundNumber, TierName
from tierwise.core.metrics import MetricFigure, Metrics, read_metrics
from tierwise.core.state import FederationState, GroupState, Phase, Stage
from tierwise.runtime.device_standing import DeviceStanding, device_standings
from tierwise.runtime.stores.sqlite import SqliteStore


class GroupStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A group, as it stands.

    Attributes
    ----------
    devices, reachable
        How many are in it, and how many of those can take part.
    round, version
        The round opened last, and how many models the group has had.
    phase
        What it waits for, as `tierwise.core.state.Phase`.
    wanted, arrived
        Participants of the open cohort, and how many of them have delivered; None without one.
    metrics
        The latest that are known: of a round's model, or of the target model.
    since
        Since when, by the clock; where the coordinator was down in between, that long too late.
    reason
        Why it ended, or why its next round waits for devices.
    failed
        Whether it ended because something went wrong.
    """

    group: GroupId
    tier: TierName | None
    devices: int
    reachable: int
    round: RoundNumber
    version: ModelVersion
    phase: Phase
    wanted: int | None
    arrived: int | None
    metrics: dict[str, MetricFigure]
    since: datetime | None
    reason: str
    failed: bool


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A federation, as it stands.

    Attributes
    ----------
    task, schema_hash
        What is learned, and the hash by which a device shows that its data is for it.
    records, at_s
        How many facts are in the log, and the federation time of the latest, in seconds.
    written, silent_s
        When that was, and how long ago, in seconds; None if that is not known.
    process, running
        The coordinator that has the store, and whether it lives (False: it was killed). None if nobody has it.
    devices, reachable
        Enrolled ones, and how many of those can take part.
    quarantined
        Devices that kept sending what could not be used, and what that was.
    hardware
        What each device reported last; None for one that has reported nothing yet.
    fleet
        Every device that ever joined, sorted.
    """

    federation: str
    task: str
    schema_hash: str
    stage: Stage
    records: int
    at_s: float
    written: datetime | None
    silent_s: float | None
    process: int | None
    running: bool | None
    devices: int
    reachable: int
    unplaced: tuple[DeviceId, ...]
    quarantined: dict[DeviceId, str]
    hardware: dict[DeviceId, HardwareProfile | None]
    fleet: tuple[DeviceStanding, ...]
    groups: tuple[GroupStanding, ...]
    failure: str | None


async def read_standing(path: Path) -> Standing:
    """Read where the federation of a store stands; nothing is changed.

    Raises
    ------
    StoreError
        If there is no store, or it is damaged.
    """
    store = SqliteStore(path)
    records = await store.records()
    process = await store.holder()
    written = written_at(store.path)
    now = datetime.now(UTC)
    federation = Federation()
    since: dict[GroupId, float] = {}
    for record in records:
        federation.apply(record)
        _note(record, since)
    state = federation.state
    at = records[-1].at if records else 0.0
    return Standing(
        federation=state.settings.name if state.settings else "",
        task=state.settings.task.name if state.settings else "",
        schema_hash=state.settings.task.schema_hash if state.settings else "",
        stage=state.stage,
        records=len(records),
        at_s=at,
        written=written,
        silent_s=None if written is None else max((now - written).total_seconds(), 0.0),
        process=process,
        running=None if process is None else psutil.pid_exists(process),
        devices=len(state.devices),
        reachable=sum(one.available for one in state.devices.values()),
        unplaced=tuple(sorted(name for name, one in state.devices.items() if one.unplaced is not None)),
        quarantined={
            name: one.quarantined for name, one in sorted(state.devices.items()) if one.quarantined is not None
        },
        hardware={name: one.profile for name, one in sorted(state.devices.items())},
        fleet=device_standings(records, state),
        groups=tuple(
            _group(name, group, state, records, written and written - timedelta(seconds=at - since.get(name, at)))
            for name, group in state.groups.items()
        ),
        failure=state.failure,
    )


def _note(record: Record, since: dict[GroupId, float]) -> None:
    """Take note of when a group began what it does."""
    match record.event:
        case e.GroupsFormed(groups=groups):
            since.update({formed.group: record.at for formed in groups})
        case (
            e.TierAssigned(group=group)
            | e.RoundOpened(group=group)
            | e.CohortClosed(group=group)
            | e.RoundClosed(group=group)
            | e.RoundAbandoned(group=group)
            | e.StopChecked(group=group)
            | e.GroupFinished(group=group)
        ):
            since[group] = record.at
        case _:
            pass


def _group(
    name: GroupId, group: GroupState, state: FederationState, records: Sequence[Record], since: datetime | None
) -> GroupStanding:
    cohort = group.cohort if group.phase is Phase.COLLECTING else None
    return GroupStanding(
        group=name,
        tier=group.tier.name if group.tier else None,
        devices=len(group.members),
        reachable=state.reachable_count(group),
        round=group.round,
        version=group.version,
        phase=group.phase,
        wanted=None if cohort is None else len(cohort.opened.participants),
        arrived=None if cohort is None else len(cohort.accepted),
        metrics=read_metrics(group.metrics or _latest_metrics(name, records)),
        since=since,
        reason=group.ending or group.waits_because or "",
        failed=group.failed,
    )


def _latest_metrics(name: GroupId, records: Sequence[Record]) -> Metrics:
    for record in reversed(records):
        if isinstance(record.event, e.RoundClosed) and record.event.group == name:
            return record.event.metrics
    return {}


def written_at(path: Path) -> datetime | None:
    """Return when a store's log was written last; that it was opened and closed since makes no difference."""
    times = []
    for name in (f"{path.name}-wal", path.name):
        try:
            found = path.with_name(name).stat()
        except OSError:
            continue
        if found.st_size:
            times.append(found.st_mtime)
    return datetime.fromtimestamp(max(times), UTC) if times else None
