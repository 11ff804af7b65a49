"""Reads a fleet table for the policies: the devices that can be compared, and why the others cannot.

Nothing here goes over devices one by one: a fleet may have a million.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.grouping import MINIMUM, Grouping, Told
from tierwise.core.ids import DeviceId

if TYPE_CHECKING:
    import polars as pl


def by_id(fleet: "pl.DataFrame", *columns: str) -> "pl.DataFrame":
    """Return a fleet's rows in the order of ids: all its columns, or ``device`` and those that are named."""
    table = fleet.select("device", *columns) if columns else fleet
    return table if table.get_column("device").is_sorted() else table.sort("device")


def named(devices: "pl.Series", rows: NDArray[np.intp]) -> tuple[DeviceId, ...]:
    """Return the devices of some rows."""
    return tuple(devices.gather(rows).to_list())


@dataclass(frozen=True, slots=True)
class Comparable:
    """The devices of a fleet that have every quantity that a policy goes by.

    Attributes
    ----------
    devices
        A column of names, sorted.
    values
        Shape ``(n_devices, n_quantities)``, float64, finite.
    unplaced
        Why each of the others cannot be compared.
    """

    devices: "pl.Series"
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
        rows = by_id(fleet, *quantities)
        devices = rows.get_column("device")
        values = np.column_stack([rows.get_column(name).to_numpy() for name in quantities]).astype(np.float64)
        there = np.isfinite(values)
        complete = np.asarray(there.all(axis=1))
        if complete.all():
            return cls(devices, values, {})
        unplaced: dict[DeviceId, str] = {}
        for known_of_some in np.unique(there[~complete], axis=0):
            alike = np.flatnonzero((there == known_of_some).all(axis=1))
            reason = "does not report " + ", ".join(np.array(quantities)[~known_of_some])
            unplaced |= dict.fromkeys(named(devices, alike), reason)
        return cls(devices.gather(np.flatnonzero(complete)), values[complete], unplaced)

    def too_few(self) -> Grouping:
        """Return the answer for a fleet in which not even one group can be formed."""
        reason = f"only {len(self.devices)} of the fleet's devices can be compared, a group needs at least {MINIMUM}"
        return Grouping(groups=(), unplaced={**self.unplaced, **dict.fromkeys(self.devices.to_list(), reason)})

    def grouped(self, groups: Sequence[NDArray[np.intp]], tell: Callable[[int, int], str]) -> Grouping:
        """Return the answer.

        Parameters
        ----------
        groups
            Of row numbers, from the weakest to the strongest; together they are all rows.
        tell
            Says why a device is where it is, by the numbers of its row and of its group.
        """
        group_of = np.empty(len(self.devices), np.intp)
        for number, rows in enumerate(groups):
            group_of[rows] = number
        return Grouping(
            groups=tuple(named(self.devices, np.flatnonzero(group_of == number)) for number in range(len(groups))),
            unplaced=self.unplaced,
            reasons=Told(self.devices, lambda row: tell(row, int(group_of[row]))),
        )
