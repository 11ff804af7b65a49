"""How a group ends before its stop rule says so."""

from tierwise.core import events as e
from tierwise.core.ids import GroupId
from tierwise.core.metrics import Metrics
from tierwise.core.state import FederationState, GroupState


def finish_group(
    name: GroupId, group: GroupState, reason: str, metrics: Metrics | None = None, *, failed: bool = False
) -> e.GroupFinished:
    """Make the event that ends a group with its latest model."""
    return e.GroupFinished(
        group=name,
        reason=reason,
        version=group.version,
        model=group.model,
        metrics=metrics or {},
        failed=failed,
    )


def abandon_round(name: GroupId, group: GroupState, reason: str) -> tuple[e.Event, ...]:
    """Make the event that abandons a group's open round, if it has one."""
    if group.cohort is None:
        return ()
    opened = group.cohort.opened
    return (e.RoundAbandoned(group=name, round=opened.round, cohort=opened.cohort, reason=reason),)


def fail_group(state: FederationState, name: GroupId, reason: str) -> tuple[e.Event, ...]:
    """End a group because something of ours went wrong: its latest model is kept."""
    group = state.groups[name]
    return (*abandon_round(name, group, reason), finish_group(name, group, reason, failed=True))
