"""Guests: devices that also train the models of weaker groups, in time that they have left.

Groups that learn alone see their own devices' data only. With `tierwise.core.settings.RoundSettings.downward`, a device
of a stronger group also takes part in the rounds of weaker ones, whose models it carries all the more. It is a member
of its own group alone: a guest's update is in the weaker group's sum like any other, but nothing else there counts it.

Who can be a guest where follows from the prediction of what models cost. A device's own round comes first; then, from
the weakest group on, as many as are within a round's limits together, done one after the other. As the rounds of
different groups are not in step, this is what it may cost a device in one round of its own group, not how long it
takes: a guest that finds no time when a round is announced says so, and is not waited for.
"""

from collections.abc import Mapping

from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.state import DeviceState, FederationState


def served_groups(state: FederationState) -> Mapping[DeviceId, tuple[GroupId, ...]]:
    """Return the groups that each device may be a guest of, weakest first; devices without any are left out."""
    if state.settings is None or not state.settings.rounds.downward:
        return {}
    # Every step asks, and a fleet may have thousands; it is asked anew when the standing says so.
    standing, served = state.served
    if standing != state.standing:
        found = ((name, _served_by(state, device)) for name, device in sorted(state.devices.items()))
        served = {name: groups for name, groups in found if groups}
        state.served = state.standing, served
    return served


def guests_of(state: FederationState, group: GroupId) -> list[DeviceId]:
    """Return the devices that may be guests of a group, sorted by id."""
    return [device for device, groups in served_groups(state).items() if group in groups]


def _served_by(state: FederationState, device: DeviceState) -> tuple[GroupId, ...]:
    free = device.visits and device.available and not device.overdue
    if not free or device.group is None or device.profile is None:
        return ()
    own, limits = state.groups[device.group], state.opened.rounds.limits
    if own.tier is None:
        return ()
    total = limits.predict(own.tier.cost, device.profile) if own.active else None
    served: list[GroupId] = []
    for name in state.active_by_rank():
        group = state.groups[name]
        if group.rank >= own.rank or group.tier is None:
            break
        predicted = limits.predict(group.tier.cost, device.profile)
        total = predicted if total is None else total + predicted
        if limits.exceeded_by(total, device.profile):
            break
        served.append(name)
    return tuple(served)
