"""Groups with fewer than three reachable devices: a grace period, then a merger.

A short group's devices go to the next weaker group, whose tier they can carry. Into the weakest one, the devices of
the next stronger group come down. A merger waits while that would disturb what is about to be known: a group that
has no tier yet, or a round of the group to be dissolved that is being committed.
"""

from tierwise.core import events as e
from tierwise.core.deciding.endings import abandon_round, fail_group, finish_group
from tierwise.core.grouping import MINIMUM
from tierwise.core.ids import GroupId
from tierwise.core.state import COMMITTING, FederationState, GroupState, Phase


def relieve(state: FederationState, name: GroupId, group: GroupState, now: float) -> tuple[e.Event, ...]:
    """Return what follows from how many devices of a group can be reached; empty if nothing does."""
    if not _needs_devices(group):
        return ()
    reachable = state.reachable_count(group)
    if reachable >= MINIMUM:
        return () if group.short_until is None else (e.GroupRecovered(group=name),)
    if group.short_until is None:
        grace_until = now + state.opened.rounds.grace_s
        return (e.GroupShort(group=name, reachable=reachable, grace_until=grace_until),)
    if now < group.short_until or _merger_waits(state, name):
        return ()
    return _merge(state, name, reachable)


def grace_ends_at(state: FederationState, name: GroupId, group: GroupState) -> float | None:
    """Return when (federation time, seconds) a group is to be merged; None while time alone does not bring that."""
    return group.short_until if _needs_devices(group) and not _merger_waits(state, name) else None


def _needs_devices(group: GroupState) -> bool:
    return group.phase in (Phase.OPENING, Phase.SELECTING) or (
        group.phase is Phase.COLLECTING and group.cohort is not None and not group.cohort.closing
    )


def _merger(state: FederationState, name: GroupId) -> tuple[GroupId, GroupId] | None:
    """Return the group to be dissolved and the one that takes its devices; None if no other group learns."""
    ranked = state.active_by_rank()
    if len(ranked) == 1:
        return None
    place = ranked.index(name)
    return (ranked[place], ranked[place - 1]) if place > 0 else (ranked[1], ranked[0])


def _merger_waits(state: FederationState, name: GroupId) -> bool:
    if any(group.phase is Phase.TIERING for group in state.groups.values()):
        return True
    merger = _merger(state, name)
    return merger is not None and state.groups[merger[0]].phase in COMMITTING


def _merge(state: FederationState, name: GroupId, reachable: int) -> tuple[e.Event, ...]:
    merger = _merger(state, name)
    if merger is None:
        reason = f"{reachable} reachable devices are left, at least {MINIMUM} are needed, and no other group learns"
        return fail_group(state, name, reason)
    source, target = merger
    group = state.groups[source]
    reason = f"its devices went to {target}, since {name} had {reachable} reachable devices left"
    return (
        *abandon_round(source, group, reason),
        e.GroupMerged(source=source, target=target, devices=tuple(sorted(group.members))),
        finish_group(source, group, reason),
    )
