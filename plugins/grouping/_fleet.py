"""Reads a fleet table for the policies: profiles, or the devices that can be compared, and why the others cannot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.grouping import MINIMUM, Grouping
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId

if TYPE_CHECKING:
    import polars as pl


def profiles_of(fleet: "pl.DataFrame") -> dict[DeviceId, HardwareProfile]:
    """Return the devices' profiles, sorted by id; how each quantity was known is not in a table."""
    return {
        DeviceId(row.pop("device")): HardwareProfile.declared(**{k: v for k, v in row.items() if v is not None})
        for row in fleet.sort("device").iter_rows(named=True)
    }


@dataclass(frozen=True, slots=True)
class Comparable:
    """The devices of a fleet that have every quantity that a policy goes by.

    Attributes
    ----------
    devices
        Sorted by id.
    values
        Shape ``(n_devices, n_quantities)``, float64, finite.
    unplaced
        Why each of the others cannot be compared.
    """

    devices: tuple[DeviceId, ...]
    values: NDArray[np.float64]
    unplaced: dict[DeviceId, str]

    @classmethod
    def of(cls, fleet: "pl.DataFrame", quantities: Sequence[str], policy: str) -> "Comparable":
        """Read a fleet table, whose rows may come in any order.

        Raises
        ------
        ConfigurationError
            If the table has no column for one of the quantities.
        """
        known = [name for name in fleet.columns if name != "device"]
        for name in quantities:
            if name not in known:
                raise ConfigurationError(
                    f"grouping policy {policy!r} goes by {name!r}, which no device of this fleet reports"
                    f"{nearest(name, known)}; they report {', '.join(known)}"
                )
        rows = fleet.sort("device")
        devices = [DeviceId(device) for device in rows.get_column("device").to_list()]
        values = np.column_stack([rows.get_column(name).to_numpy() for name in quantities]).astype(np.float64)
        there = np.isfinite(values)
        unplaced = {
            devices[row]: "does not report " + ", ".join(np.array(quantities)[~there[row]])
            for row in np.flatnonzero(~there.all(axis=1))
        }
        complete = np.flatnonzero(there.all(axis=1))
        return cls(tuple(devices[row] for row in complete), values[complete], unplaced)

    def too_few(self) -> Grouping:
        """Return the answer for a fleet in which not even one group can be formed."""
        reason = f"only {len(self.devices)} of the fleet's devices can be compared, a group needs at least {MINIMUM}"
        return Grouping(groups=(), unplaced={**self.unplaced, **dict.fromkeys(self.devices, reason)})

    def grouped(self, groups: Sequence[NDArray[np.intp]], tell: Callable[[int, int], str]) -> Grouping:
        """Return the answer.

        Parameters
        ----------
        groups
            Of row numbers, from the weakest to the strongest.
        tell
            Says why a device is where it is, by the numbers of its row and of its group.
        """
        return Grouping(
            groups=tuple(tuple(self.devices[row] for row in np.sort(group)) for group in groups),
            unplaced=self.unplaced,
            reasons={self.devices[row]: tell(row, number) for number, group in enumerate(groups) for row in group},
        )
