"""Tiers that ask too much: a group gets the smallest where it carries none, and somebody should be told."""

from collections.abc import Mapping, Sequence
from typing import Final

from tierwise.core import events as e
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.tiers import Excess, Limit, RoundLimits, Tier

_NAMED: Final = 2
"""Devices that are told with what is too much for each; of the rest, how many they are."""
_REMEDIES: Final = {
    Limit.MEMORY: (),
    Limit.DEADLINE: ("raise rounds.deadline_s", "lower rounds.max_samples"),
    Limit.TRAFFIC: ("raise rounds.traffic_bytes",),
    Limit.ENERGY: ("raise rounds.energy_j", "lower rounds.max_samples"),
}
"""What helps beside a smaller tier."""


def strained(
    tier: Tier, profiles: Mapping[DeviceId, HardwareProfile], limits: RoundLimits
) -> dict[DeviceId, tuple[Excess, ...]]:
    """Return the devices that do not carry a tier, and what it asks too much of."""
    found = {device: limits.excesses(tier.cost, profile) for device, profile in profiles.items()}
    return {device: excesses for device, excesses in found.items() if excesses}


def strain_sentence(group: GroupId, tier: Tier, strain: Mapping[DeviceId, Sequence[Excess]], whom: str) -> str:
    """Say that a group's tier asks too much of some devices, by how much, and what can be done.

    Parameters
    ----------
    group, tier
        Which.
    strain
        The devices, and what it asks too much of.
    whom
        How they are called together: ``"2 of its 8 devices"``.
    """
    named = "; ".join(f"{device}: {' and '.join(map(str, strain[device]))}" for device in list(strain)[:_NAMED])
    rest = len(strain) - _NAMED
    more = f"; and {rest:,} more" if rest > 0 else ""
    exceeded = [excess.limit for excesses in strain.values() for excess in excesses]
    remedies = dict.fromkeys(remedy for limit in exceeded for remedy in _REMEDIES[limit])
    mend = " or ".join(["offer a smaller tier", *remedies])
    return f"{group}: tier {tier.name} asks too much of {whom} ({named}{more}). To mend it, {mend}"


def some_of(strain: Mapping[DeviceId, Sequence[Excess]], devices: int) -> str:
    """Tell how many of a group's devices are strained."""
    return f"{len(strain):,} of its {devices:,} devices"


class StrainWatch:
    """Follows a federation's events, and says where a group's tier asks too much of its devices."""

    def __init__(self) -> None:
        self._limits: RoundLimits | None = None
        self._profiles: dict[DeviceId, HardwareProfile] = {}
        self._groups: dict[GroupId, tuple[DeviceId, ...]] = {}
        self._tiers: dict[GroupId, Tier] = {}

    def watch(self, event: e.Event | e.Notice) -> str | None:
        """Take note of an event; return a warning if it gives reason for one."""
        match event:
            case e.FederationOpened(settings=settings):
                self._limits = settings.rounds.limits
            case e.HardwareReported(device=device, profile=profile):
                self._profiles[device] = profile
            case e.GroupsFormed(groups=groups):
                self._groups = {formed.group: formed.devices for formed in groups}
            case e.TierAssigned(group=group, tier=tier):
                self._tiers[group] = tier
                return self._warning(group, self._groups[group])
            case e.DevicePlaced(group=group, device=device) if group in self._tiers:
                return self._warning(group, (device,), "one that came late")
            case _:
                pass
        return None

    def _warning(self, group: GroupId, devices: Sequence[DeviceId], whom: str = "") -> str | None:
        profiles = {device: self._profiles[device] for device in devices if device in self._profiles}
        if self._limits is None:
            return None
        tier = self._tiers[group]
        strain = strained(tier, profiles, self._limits)
        return strain_sentence(group, tier, strain, whom or some_of(strain, len(devices))) if strain else None
