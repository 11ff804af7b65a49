"""Grouping: a fleet in, groups of like hardware out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from tierwise.core.ids import DeviceId
from tierwise.core.tiers import RoundLimits, Tier

if TYPE_CHECKING:
    import polars as pl

MINIMUM: Final = 3
"""Devices in a group, and in a cohort at its close. With two, each could subtract its own update from the sum."""


class Grouping(msgspec.Struct, frozen=True, kw_only=True):
    """A policy's answer.

    Attributes
    ----------
    groups
        From the weakest to the strongest, each of at least `MINIMUM` devices, sorted by id.
    unplaced
        Why a device is in none.
    reasons
        Why a device is where it is, for people: ``tierwise explain`` shows it. A policy may leave any device out.
    """

    groups: tuple[tuple[DeviceId, ...], ...]
    unplaced: dict[DeviceId, str] = {}
    reasons: dict[DeviceId, str] = {}

    def fault(self, fleet: Sequence[DeviceId]) -> str | None:
        """Say what is wrong with this as an answer for ``fleet``, or None."""
        placed = [device for group in self.groups for device in group]
        answered = [*placed, *self.unplaced]
        if sorted(answered) != sorted(fleet):
            twice = sorted({device for device in answered if answered.count(device) > 1})
            return (
                f"devices answered twice: {twice}, forgotten: {sorted(set(fleet) - set(answered))}, "
                f"unknown: {sorted(set(answered) - set(fleet))}"
            )
        for number, group in enumerate(self.groups):
            if len(group) < MINIMUM:
                return f"group {number} has {len(group)} devices {list(group)}, at least {MINIMUM} are needed"
        return None


class GroupingPolicy(Protocol):
    """Divides a fleet: a plugin, made as ``Class(options)`` or ``Class()``.

    A late joiner is placed by the same method: the policy groups the whole fleet anew, and the newcomer goes to
    the existing group that most of its new companions are in.
    """

    def group(self, fleet: "pl.DataFrame", offers: Sequence[Tier], limits: RoundLimits) -> Grouping:
        """Divide a fleet of at least `MINIMUM` devices.

        A pure function; the order of the rows does not matter.

        Parameters
        ----------
        fleet
            As `tierwise.core.hardware.fleet_table` makes it: a column ``device``, one Float64 column for each
            quantity, with nulls.
        offers
            The tiers on offer, from the smallest to the largest.
        limits
            What a round may cost a device.
        """
        ...
