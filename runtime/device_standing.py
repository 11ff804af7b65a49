"""Where each device of a federation stands, read from the log."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from tierwise.core import events as e
from tierwise.core.events import Record
from tierwise.core.ids import CohortId, DeviceId, GroupId
from tierwise.core.state import DeviceState, FederationState


class Whereabouts(StrEnum):
    """How a device stands."""

    HERE = "here"
    """It can take part, as far as the coordinator knows."""
    AWAY = "away"
    """It cannot be reached."""
    QUARANTINED = "quarantined"
    """It kept sending what could not be used."""
    UNPLACED = "unplaced"
    """It is here, and fits no group."""
    REMOVED = "removed"
    """It was taken out for good."""
    REVOKED = "revoked"
    """Its key is void."""
    NOT_SEEN = "not seen"
    """It is enrolled in the registry, and has never come."""


class DeviceStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A device, as it stands.

    Attributes
    ----------
    group
        Which one it is in; None for none.
    stands
        Whether it can take part, or why not.
    reason
        What is known about that; empty for a device that is here.
    last_accepted
        The latest cohort that took something of it; None if none did.
    """

    device: DeviceId
    group: GroupId | None
    stands: Whereabouts
    reason: str
    last_accepted: CohortId | None


def device_standings(records: Iterable[Record], state: FederationState) -> tuple[DeviceStanding, ...]:
    """Tell where each device stands that ever joined, sorted by id.

    Parameters
    ----------
    records
        The log from its beginning.
    state
        The federation's at its end.
    """
    lost = {
        record.event.device: record.event.reason for record in records if isinstance(record.event, e.DeviceLost)
    }  # the latest of each
    found = [_standing(name, one, lost.get(name, "")) for name, one in state.devices.items()]
    found += [
        DeviceStanding(device=name, group=None, stands=Whereabouts.REMOVED, reason=reason, last_accepted=None)
        for name, reason in state.removed.items()
    ]
    return tuple(sorted(found, key=lambda one: one.device))


def _standing(name: DeviceId, device: DeviceState, lost: str) -> DeviceStanding:
    if device.quarantined is not None:
        stands, reason = Whereabouts.QUARANTINED, device.quarantined
    elif device.lost:
        stands, reason = Whereabouts.AWAY, lost
    elif device.unplaced is not None:
        stands, reason = Whereabouts.UNPLACED, device.unplaced
    else:
        stands, reason = Whereabouts.HERE, ""
    return DeviceStanding(
        device=name, group=device.group, stands=stands, reason=reason, last_accepted=device.last_accepted
    )


def with_registered(
    standings: Iterable[DeviceStanding], registered: dict[DeviceId, bool]
) -> tuple[DeviceStanding, ...]:
    """Add what a registry knows: who was revoked, and who never came.

    Parameters
    ----------
    standings
        Of the devices that joined.
    registered
        For each device in the registry, whether it was revoked.
    """
    known = {one.device: one for one in standings}
    for name, revoked in registered.items():
        blank = DeviceStanding(device=name, group=None, stands=Whereabouts.NOT_SEEN, reason="", last_accepted=None)
        one = known.get(name, blank)
        known[name] = msgspec.structs.replace(one, stands=Whereabouts.REVOKED, reason="") if revoked else one
    return tuple(known[name] for name in sorted(known))
