"""Groups of the devices that finish a round of the same tier, and of none larger, within the limits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.grouping import MINIMUM, Grouping, Told
from tierwise.core.hardware import HardwareProfile
from tierwise.core.tiers import RoundLimits, Tier
from tierwise.plugins.grouping._carrying import Bearers
from tierwise.plugins.grouping._fleet import by_id, named
from tierwise.plugins.grouping._settling import largest, settle

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
        table = by_id(fleet)
        bearers, devices = Bearers.of(table), table.get_column("device")
        carried = np.column_stack([bearers.carry(tier.cost, limits) for tier in offers])
        misfits = np.asarray(~carried.any(axis=1))
        if self._options.misfits == "smallest":
            carried[misfits, 0] = True

        def load(rows: NDArray[np.intp], tier: int) -> NDArray[np.float64]:
            return bearers.round_s(offers[tier].cost, limits)[rows]

        groups = settle(carried, load)
        place = np.full(len(devices), -1)
        for tier, rows in groups.items():
            place[rows] = tier
        told = _Telling(bearers, offers, limits, largest(carried), misfits, place)
        placed, left_out = np.flatnonzero(place >= 0), np.flatnonzero(place < 0)
        return Grouping(
            groups=tuple(named(devices, rows) for rows in groups.values()),
            unplaced=Told(devices.gather(left_out), lambda number: told.why_not(int(left_out[number]))),
            reasons=Told(devices.gather(placed), lambda number: told.why(int(placed[number]))),
        )


class _Telling:
    """Says of a device, by its row, why it is where it is."""

    def __init__(
        self,
        bearers: Bearers,
        offers: Sequence[Tier],
        limits: RoundLimits,
        most: NDArray[np.intp],
        misfits: NDArray[np.bool_],
        place: NDArray[np.intp],
    ) -> None:
        self._bearers = bearers
        self._offers = offers
        self._limits = limits
        self._most = most
        self._misfits = misfits
        self._place = place
        self._formed = set(np.unique(place))

    def why(self, row: int) -> str:
        """Tell of a device that is in the group of a tier."""
        profile, tier = self._bearers.profile(row), int(self._place[row])
        if self._misfits[row]:
            return f"carries no tier on offer: {self._excess(profile, 0)}; taken in with the smallest"
        most, name = int(self._most[row]), self._offers[tier].name
        if most > tier and most in self._formed:
            return f"carries {self._offers[most].name}, and is here to bring the group of {name} to {MINIMUM} devices"
        if most > tier:
            return f"carries {self._offers[most].name}, but too few devices do to be a group, and {name} is next"
        predicted = self._limits.predict(self._offers[tier].cost, profile)
        carries = f"carries {name}: a round takes {predicted.round_s:.3g} s of {self._limits.deadline_s:.3g} s"
        larger = self._excess(profile, tier + 1) if tier + 1 < len(self._offers) else "none is larger"
        return f"{carries}; {larger}"

    def why_not(self, row: int) -> str:
        """Tell of a device that is in no group."""
        if self._misfits[row]:
            return f"carries no tier on offer: {self._excess(self._bearers.profile(row), 0)}"
        name = self._offers[int(self._most[row])].name
        return f"carries {name}, but too few devices go with a tier that it carries: a group needs {MINIMUM}"

    def _excess(self, profile: HardwareProfile, tier: int) -> str:
        offer = self._offers[tier]
        return f"with {offer.name}, {' and '.join(map(str, self._limits.excesses(offer.cost, profile)))}"
