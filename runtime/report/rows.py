"""What a run's page shows, as rows taken from the event log: no charts, no markup."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tierwise.core import events as e
from tierwise.core.events import Record
from tierwise.core.ids import CohortId, DeviceId, GroupId
from tierwise.core.metrics import MetricFigure
from tierwise.core.state import FederationState
from tierwise.runtime.figures import Run, RunFigures

HARDWARE: Final = ("cpu_flops", "memory_bytes", "downlink_bytes_per_s", "uplink_bytes_per_s")


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device that reported its hardware.

    Attributes
    ----------
    group
        None for no group.
    compute_flops, memory_bytes, link_bytes_per_s
        FLOP/s, bytes, and bytes per second in the slower direction; defaults where it told none.
    """

    device: DeviceId
    group: GroupId | None
    compute_flops: float
    memory_bytes: float
    link_bytes_per_s: float


class RoundEnd(StrEnum):
    """What became of a round."""

    CLOSED = "closed"
    ABANDONED = "abandoned"
    DESCRIBED = "opening round, of features"
    EVALUATED = "closing evaluation"
    OPEN = "not ended"


@dataclass(frozen=True, slots=True)
class RoundRow:
    """A round, or several in a row of the same group that ended alike.

    Attributes
    ----------
    first, last
        Their numbers.
    opened_s, ended_s
        Federation time in seconds.
    wanted, delivered
        Participants, and those whose contribution counts; of the last one.
    reason
        Why it was abandoned.
    """

    group: GroupId
    first: int
    last: int
    opened_s: float
    ended_s: float
    end: RoundEnd
    wanted: int
    delivered: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A model's metric, on the hold-outs of those who evaluated it or on a test set.

    Attributes
    ----------
    series
        Whose model: a group, or what a baseline is called.
    version
        How many rounds had made the model.
    at_s
        Since when it has been there, in seconds of federation time.
    value
        The metric, as people read it.
    samples
        How many it is over.
    """

    series: str
    version: int
    at_s: float
    value: float
    samples: int


@dataclass(frozen=True, slots=True)
class AbsentRow:
    """A device that is in no group, or takes no part."""

    device: DeviceId
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunRows:
    """All rows of a run.

    Attributes
    ----------
    devices
        Sorted by id.
    rounds
        In the order in which they were opened.
    metric
        What ``values`` are of: the task's first metric; None if nothing was evaluated.
    values
        By group, in the order of time.
    tests
        Likewise, on the coordinator's own test set; empty without one.
    absent
        Sorted by id.
    groups
        Weakest first.
    """

    devices: tuple[DeviceRow, ...]
    rounds: tuple[RoundRow, ...]
    metric: str | None
    values: tuple[MetricRow, ...]
    tests: tuple[MetricRow, ...]
    absent: tuple[AbsentRow, ...]
    groups: tuple[GroupId, ...]


def read_rows(run: Run, figures: RunFigures) -> RunRows:
    """Take all rows from a run's log and figures."""
    values, tests = tuple(_values(figures)), tuple(_tests(figures))
    return RunRows(
        devices=tuple(_devices(run.state)),
        rounds=read_rounds(run.records),
        metric=figures.metric if values or tests else None,
        values=values,
        tests=tests,
        absent=tuple(sorted(_absent(run.state), key=lambda row: row.device)),
        groups=tuple(group.group for group in figures.groups),
    )


def _devices(state: FederationState) -> Iterator[DeviceRow]:
    for name, device in sorted(state.devices.items()):
        if device.profile is None:
            continue
        compute, memory, down, up = (device.profile.value(quantity) for quantity in HARDWARE)
        yield DeviceRow(name, device.group, compute, memory, min(down, up))


def _absent(state: FederationState) -> Iterator[AbsentRow]:
    for name, device in state.devices.items():
        if device.unplaced is not None:
            yield AbsentRow(name, "in no group", device.unplaced)
        elif device.profile is None:
            yield AbsentRow(name, "in no group", "it has not reported its hardware")
        if device.quarantined is not None:
            yield AbsentRow(name, "quarantined", device.quarantined)
    for name, reason in state.removed.items():
        yield AbsentRow(name, "removed", reason)


# -- rounds

_ENDS: Final[dict[type[e.Event], RoundEnd]] = {
    e.RoundClosed: RoundEnd.CLOSED,
    e.ModelStandardised: RoundEnd.DESCRIBED,
    e.RoundAbandoned: RoundEnd.ABANDONED,
}


def read_rounds(records: Iterable[Record]) -> tuple[RoundRow, ...]:
    """Take the rounds from a log, in the order in which they were opened."""
    begun: dict[CohortId, tuple[float, e.RoundOpened]] = {}
    evaluating: dict[GroupId, CohortId] = {}
    delivered: Counter[CohortId] = Counter()
    ended: dict[CohortId, RoundRow] = {}
    now = 0.0

    def end(cohort: CohortId, how: RoundEnd, reason: str = "") -> None:
        ended[cohort] = _round(*begun[cohort], now, how, delivered[cohort], reason)

    for record in records:
        now = record.at
        match record.event:
            case e.RoundOpened(cohort=cohort, group=group, purpose=purpose) as opened:
                begun[cohort] = now, opened
                if purpose is e.Purpose.EVALUATE:
                    evaluating[group] = cohort
            case e.UpdateAccepted(cohort=cohort) | e.EvaluationAccepted(cohort=cohort):
                delivered[cohort] += 1
            case e.RoundClosed() | e.ModelStandardised() | e.RoundAbandoned() as event:
                end(event.cohort, _ENDS[type(event)], getattr(event, "reason", ""))
            case e.GroupFinished(group=group) if group in evaluating:
                end(evaluating.pop(group), RoundEnd.EVALUATED)
            case _:
                pass
    return tuple(
        ended.get(cohort) or _round(at, opened, now, RoundEnd.OPEN, delivered[cohort])
        for cohort, (at, opened) in begun.items()
    )


def _round(
    opened_s: float, opened: e.RoundOpened, ended_s: float, end: RoundEnd, delivered: int, reason: str = ""
) -> RoundRow:
    return RoundRow(
        group=opened.group,
        first=opened.round,
        last=opened.round,
        opened_s=opened_s,
        ended_s=ended_s,
        end=end,
        wanted=len(opened.participants),
        delivered=delivered,
        reason=reason,
    )


# -- metrics


def _values(figures: RunFigures) -> Iterator[MetricRow]:
    """Yield a metric of each group's models: a round's belongs to the model before it, the closing one to the last."""
    for group in figures.groups:
        since = group.history[0].opened_at if group.history else 0.0
        for one in group.history:
            yield from _value(group.group, one.version - 1, since, one.metrics.get(figures.metric))
            since = one.closed_at
        yield from _value(group.group, group.version, since, group.metrics.get(figures.metric))


def _tests(figures: RunFigures) -> Iterator[MetricRow]:
    """Yield a metric of the model that each round made, on the coordinator's test set."""
    for group in figures.groups:
        for one in group.history:
            yield from _value(group.group, one.version, one.closed_at, one.test.get(figures.metric))


def _value(series: str, version: int, at_s: float, found: MetricFigure | None) -> Iterator[MetricRow]:
    if found is not None and found.value is not None:
        yield MetricRow(series, version, at_s, found.value, found.count)
