"""A device's hardware as it changes, and as the coordinator was told it.

A profile that is reported is a record in the coordinator's log, and has the group's selector asked again. So what
trembles is not reported: a quantity is told anew only when it differs materially from what was told, and all others
keep what was told.
"""

from collections.abc import Mapping
from typing import Final

from tierwise.core.hardware import HardwareProfile, Quantity
from tierwise.runtime.probing import Reading

FACTOR: Final = 4 / 3
"""One of two values is so many times the other: that is material."""
RATIO_STEP: Final = 0.1
"""For shares of a whole."""
KELVIN_STEP: Final = 10.0
"""For temperatures."""


def differs_materially(name: str, told: float, now: float) -> bool:
    """Tell whether a quantity has changed so much that it is worth a report."""
    if name.endswith("_bool"):
        return told != now
    if name.endswith("_ratio"):
        return abs(told - now) >= RATIO_STEP - 1e-9  # of decimals such as 0.3 and 0.2
    if name.endswith("_k"):
        return abs(told - now) >= KELVIN_STEP
    least, greatest = sorted((told, now))
    return greatest > least and greatest >= FACTOR * least


class OwnHardware:
    """What a device's coordinator knows of its hardware, and what it should know.

    Parameters
    ----------
    declared
        By the device's owner; wins over all else.
    """

    def __init__(self, declared: HardwareProfile) -> None:
        self._declared = declared
        self._told: dict[str, float] = {}

    @property
    def profile(self) -> HardwareProfile:
        """What is told."""
        measured = {name: Quantity(value=value) for name, value in self._told.items()}
        return HardwareProfile(quantities=measured).merged(self._declared)

    def take(self, reading: Reading, link: Mapping[str, float]) -> dict[str, float | None]:
        """Take what is known now into the profile, as far as it differs materially.

        Parameters
        ----------
        reading
            Of the probes.
        link
            What the transport has learnt, which wins over what a probe says.

        Returns
        -------
        dict
            The quantities that have changed, None for one that is not known any more; empty if there is nothing to
            report.
        """
        known = {name: now for name, now in {**reading.quantities, **link}.items() if not self._is_declared(name)}
        changed: dict[str, float | None] = {
            name: now
            for name, now in known.items()
            if name not in self._told or differs_materially(name, self._told[name], now)
        }
        changed |= dict.fromkeys(name for name in self._told if name not in known)
        for name, now in changed.items():
            if now is None:
                del self._told[name]
            else:
                self._told[name] = now
        return changed

    def _is_declared(self, name: str) -> bool:
        return name in self._declared.quantities
