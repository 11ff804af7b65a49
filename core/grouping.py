"""Grouping: a fleet in, groups of like hardware out."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, final

import msgspec

from tierwise.core.ids import DeviceId
from tierwise.core.tiers import RoundLimits, Tier

if TYPE_CHECKING:
    import polars as pl

MINIMUM: Final = 3
"""Devices in a group, and in a cohort at its close. With two, each could subtract its own update from the sum."""


@final
class Told(Mapping[DeviceId, str]):
    """Reasons that are put into words when they are read: a million sentences take longer than a million places.

    Parameters
    ----------
    devices
        Of whom something can be told: a column ``device``, or a part of it.
    tell
        Tells it of a device, by its row in ``devices``; a pure function.
    """

    def __init__(self, devices: "pl.Series", tell: Callable[[int], str]) -> None:
        self._devices = devices
        self._tell = tell

    def __getitem__(self, device: DeviceId) -> str:
        return self._tell(self._rows[device])

    def __iter__(self) -> Iterator[DeviceId]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._devices)

    def __contains__(self, device: object) -> bool:
        return device in self._rows

    def __repr__(self) -> str:
        return repr(dict(self))

    @cached_property
    def _rows(self) -> dict[DeviceId, int]:
        return {device: row for row, device in enumerate(self._devices.to_list())}


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
        Where fleets are large, `Told` says it of those alone of whom somebody asks; that goes for ``unplaced``, too.
    """

    groups: tuple[tuple[DeviceId, ...], ...]
    unplaced: Mapping[DeviceId, str] = {}
    reasons: Mapping[DeviceId, str] = {}

    def fault(self, fleet: Sequence[DeviceId]) -> str | None:
        """Say what is wrong with this as an answer for ``fleet``, or None."""
        answered = [device for group in self.groups for device in group]
        answered.extend(self.unplaced)
        there, asked = set(answered), set(fleet)
        if len(answered) != len(there) or there != asked:
            twice = sorted(device for device, times in Counter(answered).items() if times > 1)
            return (
                f"devices answered twice: {twice}, forgotten: {sorted(asked - there)}, unknown: {sorted(there - asked)}"
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
