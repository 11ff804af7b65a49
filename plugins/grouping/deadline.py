"""Groups of the devices that finish a round of the same tier, and of none larger, within the limits."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from tierwise.core.grouping import MINIMUM, Grouping
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.tiers import RoundLimits, Tier
from tierwise.plugins.grouping._fleet import profiles_of
from tierwise.plugins.grouping._settling import settle

if TYPE_CHECKING:
    import polars as pl


class DeadlineOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `DeadlinePolicy`.

    Attributes
    ----------
    misfits
        What becomes of a device that finishes no tier within the limits: it is left out, with the reason, or taken in
        with the smallest tier, where it will miss rounds unless it is quicker than was predicted.
    """

    misfits: Literal["leave-out", "smallest"] = "leave-out"


class DeadlinePolicy:
    """Puts every device under the largest tier that it carries: its memory holds it, and a round is within the limits.

    Time, traffic and energy of a round are predicted from the hardware profile, see `tierwise.core.tiers.Prediction`.
    Where fewer than three devices would be under a tier, they go to the next weaker group; where there is none, as many
    devices as are wanted come down from the groups above, the slowest first. A tier provider that goes by
    `tierwise.core.tiers.fits` then gives each group the very tier that it was formed for.
    """

    def __init__(self, options: DeadlineOptions) -> None:
        self._options = options

    def group(self, fleet: "pl.DataFrame", offers: Sequence[Tier], limits: RoundLimits) -> Grouping:
        """Divide the fleet by what each device carries of what is on offer."""
        profiles = profiles_of(fleet)
        carried = {device: _carried(profile, offers, limits) for device, profile in profiles.items()}
        misfits = {device for device, tiers in carried.items() if not tiers}
        taken = {
            device: tiers or (0,) for device, tiers in carried.items() if tiers or self._options.misfits == "smallest"
        }

        def load(device: DeviceId, tier: int) -> float:
            return limits.predict(offers[tier].cost, profiles[device]).round_s

        groups = settle(taken, load)
        told = _Told(profiles, offers, limits, taken, misfits, groups)
        return Grouping(
            groups=tuple(groups.values()),
            unplaced={d: told.why_not(d) for d in profiles if not any(d in group for group in groups.values())},
            reasons={device: told.why(device, tier) for tier, group in groups.items() for device in group},
        )


def _carried(profile: HardwareProfile, offers: Sequence[Tier], limits: RoundLimits) -> tuple[int, ...]:
    return tuple(number for number, tier in enumerate(offers) if not limits.excesses(tier.cost, profile))


class _Told:
    """Says of each device why it is where it is."""

    def __init__(
        self,
        profiles: Mapping[DeviceId, HardwareProfile],
        offers: Sequence[Tier],
        limits: RoundLimits,
        taken: Mapping[DeviceId, tuple[int, ...]],
        misfits: set[DeviceId],
        groups: Mapping[int, Sequence[DeviceId]],
    ) -> None:
        self._profiles = profiles
        self._offers = offers
        self._limits = limits
        self._taken = taken
        self._misfits = misfits
        self._groups = groups

    def why(self, device: DeviceId, tier: int) -> str:
        """Tell of a device that is in the group of a tier."""
        if device in self._misfits:
            return f"carries no tier on offer: {self._excess(device, 0)}; taken in with the smallest"
        most, name = self._taken[device][-1], self._offers[tier].name
        if most > tier and most in self._groups:
            return f"carries {self._offers[most].name}, and is here to bring the group of {name} to {MINIMUM} devices"
        if most > tier:
            return f"carries {self._offers[most].name}, but too few devices do to be a group, and {name} is next"
        predicted = self._limits.predict(self._offers[tier].cost, self._profiles[device])
        carries = f"carries {name}: a round takes {predicted.round_s:.3g} s of {self._limits.deadline_s:.3g} s"
        larger = self._excess(device, tier + 1) if tier + 1 < len(self._offers) else "none is larger"
        return f"{carries}; {larger}"

    def why_not(self, device: DeviceId) -> str:
        """Tell of a device that is in no group."""
        if device in self._misfits:
            return f"carries no tier on offer: {self._excess(device, 0)}"
        name = self._offers[self._taken[device][-1]].name
        return f"carries {name}, but too few devices go with a tier that it carries: a group needs {MINIMUM}"

    def _excess(self, device: DeviceId, tier: int) -> str:
        offer = self._offers[tier]
        excesses = self._limits.excesses(offer.cost, self._profiles[device])
        return f"with {offer.name}, {' and '.join(map(str, excesses))}"
