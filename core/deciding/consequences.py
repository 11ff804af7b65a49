"""What follows from the state and the time, without any input: the machine's own initiative.

One consequence at a time: each changes the state that the next is drawn from.
"""

from typing import Final

from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.deciding.answers import open_round
from tierwise.core.deciding.endings import abandon_round, fail_group, finish_group
from tierwise.core.errors import TooFewDevicesError
from tierwise.core.grouping import MINIMUM
from tierwise.core.ids import GroupId
from tierwise.core.metrics import add_metrics
from tierwise.core.state import CohortState, FederationState, GroupState, Phase, Stage

ABANDONED_LIMIT: Final = 3
"""Rounds abandoned in a row after which a group ends."""


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
        return (e.FederationFinished(),)
    return ()


def due_at(state: FederationState) -> float | None:
    """Return the next federation time (seconds) at which something follows by itself; None for never."""
    dues: list[float] = []
    if state.stage is Stage.ENROLLING and state.opened.enrolment.window_s is not None:
        dues.append(state.opened_at + state.opened.enrolment.window_s)
    for group in state.groups.values():
        if group.short_until is not None:
            dues.append(group.short_until)
        if group.phase is Phase.COLLECTING and group.cohort is not None:
            dues.append(group.cohort.opened.deadline_at)
    return min(dues, default=None)


def _end_enrolment(state: FederationState, now: float) -> tuple[e.Event, ...]:
    settings = state.opened.enrolment
    ready = sorted(name for name, one in state.devices.items() if one.profile is not None and not one.lost)
    window_over = settings.window_s is not None and now >= state.opened_at + settings.window_s
    if settings.min_devices is not None and len(ready) >= settings.min_devices:
        return (e.GroupingOpened(devices=tuple(ready)),)
    if not window_over:
        return ()
    if len(ready) < MINIMUM:
        error = TooFewDevicesError(len(ready))
        return (e.FederationFailed(reason=str(error), too_few_devices=len(ready)),)
    return (e.GroupingOpened(devices=tuple(ready)),)


def _group_consequence(state: FederationState, name: GroupId, group: GroupState, now: float) -> tuple[e.Event, ...]:
    shortage = _shortage(state, name, group, now)
    if shortage:
        return shortage
    if group.phase is Phase.COLLECTING and group.cohort is not None:
        if group.cohort.waiting and now < group.cohort.opened.deadline_at:
            return ()
        if group.cohort.fits:
            return _close_cohort(name, group, group.cohort)
        return _close_evaluation(name, group, group.cohort)
    if group.phase is Phase.SELECTING and group.abandoned_in_a_row >= ABANDONED_LIMIT:
        reason = f"{group.abandoned_in_a_row} rounds in a row were abandoned"
        return (finish_group(name, group, reason, failed=True),)
    if group.phase is Phase.CLOSING:
        return _open_evaluation(state, name, group, now)
    return ()


def _close_cohort(name: GroupId, group: GroupState, cohort: CohortState) -> tuple[e.Event, ...]:
    survivors = tuple(sorted(cohort.accepted))
    if len(survivors) >= MINIMUM:
        return (e.CohortClosed(group=name, cohort=cohort.opened.cohort, survivors=survivors),)
    invited = len(cohort.opened.participants)
    return abandon_round(
        name, group, f"{len(survivors)} of {invited} updates came in time, at least {MINIMUM} are needed"
    )


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


# -- groups under three


def _shortage(state: FederationState, name: GroupId, group: GroupState, now: float) -> tuple[e.Event, ...]:
    learning = group.phase is Phase.SELECTING or (
        group.phase is Phase.COLLECTING and group.cohort is not None and group.cohort.fits
    )
    if not learning:
        return ()
    reachable = state.reachable_count(group)
    if reachable >= MINIMUM:
        return () if group.short_until is None else (e.GroupRecovered(group=name),)
    if group.short_until is None:
        grace_until = now + state.opened.rounds.grace_s
        return (e.GroupShort(group=name, reachable=reachable, grace_until=grace_until),)
    return _merge(state, name, reachable) if now >= group.short_until else ()


def _merge(state: FederationState, name: GroupId, reachable: int) -> tuple[e.Event, ...]:
    """Move a short group's devices to the next weaker group; into the weakest one, the next stronger come down."""
    ranked = state.active_by_rank()
    place = ranked.index(name)
    if len(ranked) == 1:
        reason = f"{reachable} reachable devices are left, at least {MINIMUM} are needed, and no other group learns"
        return fail_group(state, name, reason)
    source, target = (ranked[place], ranked[place - 1]) if place > 0 else (ranked[1], ranked[0])
    group = state.groups[source]
    if group.phase in (Phase.REDUCING, Phase.CHECKING):
        return ()  # its round is being committed; the next tick finds it in another phase
    reason = f"its devices went to {target}, since {name} had {reachable} reachable devices left"
    return (
        *abandon_round(source, group, reason),
        e.GroupMerged(source=source, target=target, devices=tuple(sorted(group.members))),
        finish_group(source, group, reason),
    )
