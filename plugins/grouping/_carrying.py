"""What a round of a tier costs each device of a fleet: `RoundLimits.predict` and `RoundLimits.excesses`, by columns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.hardware import DEFAULTS, POWER, HardwareProfile
from tierwise.core.tiers import Cost, RoundLimits

if TYPE_CHECKING:
    import polars as pl

_RATES: Final = ("cpu_flops", "downlink_bytes_per_s", "uplink_bytes_per_s", "memory_bytes")
_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bearers:
    """The devices of a fleet as those who have to carry a tier, by rows in the order of their ids.

    Attributes
    ----------
    table
        The fleet.
    quantities
        What costs are predicted from, each of shape ``(n_devices,)``, with the default where a device does not tell.
    power_w
        The same of the power, for which there is no default: NaN.
    """

    table: "pl.DataFrame"
    quantities: dict[str, _Values]
    power_w: _Values

    @classmethod
    def of(cls, table: "pl.DataFrame") -> "Bearers":
        """Read a fleet's table."""
        found = {name: _column(table, name, DEFAULTS[name]) for name in _RATES}
        return cls(table, found, _column(table, POWER, np.nan))

    def profile(self, row: int) -> HardwareProfile:
        """Return one device's profile; how each quantity was known is not in a table."""
        values = self.table.row(row, named=True)
        return HardwareProfile.declared(**{k: v for k, v in values.items() if v is not None and k != "device"})

    def round_s(self, cost: Cost, limits: RoundLimits) -> _Values:
        """Return how long a round takes each device, in seconds: `Prediction.round_s`."""
        download_s = _duration_s(cost.bytes, self.quantities["downlink_bytes_per_s"])
        upload_s = _duration_s(cost.bytes, self.quantities["uplink_bytes_per_s"])
        return download_s + self._compute_s(cost, limits) + upload_s

    def carry(self, cost: Cost, limits: RoundLimits) -> NDArray[np.bool_]:
        """Tell which devices carry a tier: those for whom `RoundLimits.excesses` has nothing."""
        carried = (self.quantities["memory_bytes"] >= cost.memory_bytes) & (
            self.round_s(cost, limits) <= limits.deadline_s
        )
        if limits.traffic_bytes is not None and 2 * cost.bytes > limits.traffic_bytes:
            carried[:] = False
        if limits.energy_j is not None:
            compute_s = np.where(self.power_w == 0, 0.0, self._compute_s(cost, limits))  # 0 W for ever are 0 J
            with np.errstate(over="ignore"):
                energies_j = self.power_w * compute_s
            carried &= ~(energies_j > limits.energy_j)  # who does not tell its power is not judged by it
        return carried

    def _compute_s(self, cost: Cost, limits: RoundLimits) -> _Values:
        flops = cost.fit_flops_per_sample * limits.samples + cost.evaluate_flops_per_sample * limits.samples
        return _duration_s(flops, self.quantities["cpu_flops"])


def _column(table: "pl.DataFrame", name: str, missing: float) -> _Values:
    if name not in table.columns:
        return np.full(len(table), missing)
    return np.asarray(table.get_column(name).fill_null(missing).to_numpy(), np.float64)


def _duration_s(amount: float, per_s: _Values) -> _Values:
    """Return the seconds that something takes; for ever at a rate of 0."""
    if not amount:
        return np.zeros(len(per_s))
    with np.errstate(divide="ignore", over="ignore"):
        return amount / per_s
