"""What follows from the state and the time, without any input: the machine's own initiative.

One consequence at a time: each changes the state that the next is drawn from.
"""

from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.deciding.answers import open_round
from tierwise.core.deciding.endings import abandon_round, finish_group
from tierwise.core.deciding.shortage import grace_ends_at, relieve
from tierwise.core.errors import TooFewDevicesError
from tierwise.core.grouping import MINIMUM
from tierwise.core.ids import GroupId
from tierwise.core.metrics import add_metrics
from tierwise.core.state import CohortState, FederationState, GroupState, Phase, Stage


def follow(state: FederationState, _given: i.Tick, now: float) -> tuple[e.Event, ...]:
    """Return the next consequence; empty when nothing follows until something comes in or time goes on."""
    if state.stage is Stage.ENROLLING:
        return _end_enrolment(state, now)
    if state.stage is not Stage.LEARNING:
        return ()
    for name, group in state.groups.items():
        found = _group_consequence(state, name, group, now)
        if found:
            return found
    if all(group.phase is Phase.FINISHED for group in state.groups.values()):
        return (_end(state),)
    return ()


def stirs(state: FederationState, event: e.Event) -> bool:
    """Tell whether something may follow from an event that was just applied, or be outstanding that was not before.

    Most events are contributions that others are still waited for after. From them nothing follows, and nothing has to
    be looked for: that would cost more than they do.
    """
    match event:
        case e.UpdateAccepted() | e.EvaluationAccepted():
            name = state.group_of_cohort(event.cohort)
            cohort = None if name is None else state.groups[name].cohort
            return cohort is None or not cohort.waiting
        case e.DeviceEnrolled():
            return False  # it cannot be grouped yet
        case e.HardwareReported() if state.stage is Stage.ENROLLING:
            enough = state.opened.enrolment.min_devices
            return enough is not None and len(state.ready) >= enough
    return True


def _end(state: FederationState) -> e.Event:
    if any(group.model is not None for group in state.groups.values()):
        return e.FederationFinished()
    reasons = "; ".join(f"{name}: {group.ending}" for name, group in state.groups.items())
    return e.FederationFailed(reason=f"no group has a target model: {reasons}")


def due_at(state: FederationState) -> float | None:
    """Return the next federation time (seconds) at which something follows by itself; None for never."""
    if state.stage is Stage.ENROLLING:
        window_s = state.opened.enrolment.window_s
        return None if window_s is None else state.opened_at + window_s
    dues: list[float] = []
    for name, group in state.groups.items():
        grace_until = grace_ends_at(state, name, group)
        if grace_until is not None:
            dues.append(grace_until)
        if group.phase is Phase.COLLECTING and group.cohort is not None:
            dues.append(group.cohort.opened.deadline_at)
    return min(dues, default=None)


def _end_enrolment(state: FederationState, now: float) -> tuple[e.Event, ...]:
    settings = state.opened.enrolment
    ready = len(state.ready)
    window_over = settings.window_s is not None and now >= state.opened_at + settings.window_s
    if settings.min_devices is None or ready < settings.min_devices:
        if not window_over:
            return ()
        if ready < MINIMUM:
            return (e.FederationFailed(reason=str(TooFewDevicesError(ready)), too_few_devices=ready),)
    return (e.GroupingOpened(devices=tuple(sorted(state.ready))),)


def _group_consequence(state: FederationState, name: GroupId, group: GroupState, now: float) -> tuple[e.Event, ...]:
    relief = relieve(state, name, group, now)
    if relief:
        return relief
    if group.phase is Phase.COLLECTING and group.cohort is not None:
        if group.cohort.waiting and now < group.cohort.opened.deadline_at:
            return ()
        if group.cohort.closing:
            return _close_evaluation(name, group, group.cohort)
        return _close_cohort(name, group, group.cohort, state.opened.rounds.deadline_s)
    limit = state.opened.rounds.abandoned_limit
    if group.phase in (Phase.OPENING, Phase.SELECTING) and group.abandoned_in_a_row >= limit:
        several = f"{group.abandoned_in_a_row} rounds in a row were abandoned, the last because"
        reason = f"{'a round was abandoned, because' if limit == 1 else several} {group.abandoned_because}"
        return (finish_group(name, group, reason, failed=True),)
    if group.phase is Phase.OPENING:
        return _open_description(state, name, group, now)
    if group.phase is Phase.CLOSING:
        return _open_evaluation(state, name, group, now)
    return ()


def _close_cohort(name: GroupId, group: GroupState, cohort: CohortState, deadline_s: float) -> tuple[e.Event, ...]:
    survivors = tuple(sorted(cohort.accepted))
    if len(survivors) >= MINIMUM:
        return (e.CohortClosed(group=name, cohort=cohort.opened.cohort, survivors=survivors),)
    invited = len(cohort.opened.participants)
    what = "updates" if cohort.fits else "descriptions"
    reason = f"{len(survivors)} of {invited} {what} came in time, at least {MINIMUM} are needed"
    if cohort.declined:
        reason += f"; {_declined(list(cohort.declined.values()))}"
    elif cohort.waiting:
        reason += f": raise rounds.deadline_s (now {deadline_s:g})"
    return abandon_round(name, group, reason)


def _declined(reasons: list[str]) -> str:
    """Tell why devices declined, without their names: what many say alike is then the same for every group."""
    commonest = min(reasons, key=lambda reason: (-reasons.count(reason), reason))
    alike = reasons.count(commonest)
    return f"{len(reasons)} declined{'' if alike == len(reasons) else f', {alike} of them'}: {commonest}"


def _open_description(state: FederationState, name: GroupId, group: GroupState, now: float) -> tuple[e.Event, ...]:
    reachable = tuple(sorted(state.reachable(group)))
    if len(reachable) < MINIMUM:
        return ()
    return (open_round(state, name, e.Purpose.DESCRIBE, reachable, now + state.opened.rounds.deadline_s),)


def _open_evaluation(state: FederationState, name: GroupId, group: GroupState, now: float) -> tuple[e.Event, ...]:
    reachable = tuple(sorted(state.reachable(group)))
    if len(reachable) < MINIMUM:
        return (finish_group(name, group, group.ending or ""),)
    rounds = state.opened.rounds
    deadline_at = now + (rounds.evaluation_deadline_s or rounds.deadline_s)
    return (open_round(state, name, e.Purpose.EVALUATE, reachable, deadline_at),)


def _close_evaluation(name: GroupId, group: GroupState, cohort: CohortState) -> tuple[e.Event, ...]:
    enough = len(cohort.accepted) >= MINIMUM  # fewer would show a single device's figures
    devices = sorted(cohort.accepted) if enough else []
    metrics = add_metrics(cohort.accepted[device].metrics for device in devices)
    return (finish_group(name, group, group.ending or "", metrics),)
