"""What the device runs on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio.to_thread
import psutil

from tierwise.core.hardware import Unmeasured
from tierwise.plugins.probes._sysfs import SYS, read_number, read_text

_CHARGED: Final = ("charging", "full", "not charging")
"""What a battery says of itself while something else feeds the device; the last is one that is kept below full."""
_UNKNOWN: Final = Unmeasured("the system tells of no power supply: if it is on the mains, declare mains_bool=1")
_NO_BATTERY: Final = Unmeasured("there is no battery")


@dataclass(frozen=True, slots=True)
class Supply:
    """A battery, or something to plug in; None for what it does not tell."""

    battery: bool
    online: bool | None = None
    status: str | None = None
    level: float | None = None


class PowerProbe:
    """Asks what feeds the device.

    Quantities: ``mains_bool``, 1 on the mains or while the battery is charged by whatever, 0 on the battery;
    ``battery_ratio``, how full the battery is, from 0 to 1, the mean of several.

    Linux tells it below ``/sys/class/power_supply``
    (https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-class-power), other systems through psutil.

    Parameters
    ----------
    root
        Where the kernel's files are.
    """

    volatile = True

    def __init__(self, root: Path = SYS) -> None:
        self._supplies = root / "class" / "power_supply"

    async def measure(self) -> dict[str, float | Unmeasured]:
        """Ask in a worker thread: some batteries take their time."""
        return await anyio.to_thread.run_sync(self._measure, abandon_on_cancel=True)

    def _measure(self) -> dict[str, float | Unmeasured]:
        supplies = read_supplies(self._supplies) if self._supplies.is_dir() else _asked_by_psutil()
        return {"mains_bool": mains(supplies), "battery_ratio": battery(supplies)}


def read_supplies(directory: Path) -> list[Supply]:
    """Read what feeds the device itself; the battery of a mouse does not."""
    found = []
    for place in sorted(directory.iterdir()):
        kind = (read_text(place / "type") or "").casefold()
        present = read_number(place / "present")
        if (read_text(place / "scope") or "").casefold() == "device" or kind in ("", "ups") or present == 0:
            continue
        if kind == "battery":
            status = read_text(place / "status")
            found.append(Supply(True, status=None if status is None else status.casefold(), level=_level(place)))
        else:
            online = read_number(place / "online")
            found.append(Supply(False, online=None if online is None else online > 0))
    return found


def mains(supplies: Sequence[Supply]) -> float | Unmeasured:
    """Tell whether something else than a battery feeds the device."""
    if any(one.online for one in supplies) or any(one.status in _CHARGED for one in supplies):
        return 1.0
    batteries = [one for one in supplies if one.battery]
    unplugged = any(one.online is False for one in supplies)
    if batteries and (unplugged or any(one.status == "discharging" for one in batteries)):
        return 0.0
    # Without a battery something must feed it, but a board's plug may have no sensor.
    return Unmeasured("its batteries do not tell whether they are charged") if batteries else _UNKNOWN


def battery(supplies: Sequence[Supply]) -> float | Unmeasured:
    """Tell how full the batteries are, to two places."""
    if not any(one.battery for one in supplies):
        return _NO_BATTERY
    levels = [one.level for one in supplies if one.level is not None]
    return round(sum(levels) / len(levels), 2) if levels else Unmeasured("the battery does not tell how full it is")


def _level(place: Path) -> float | None:
    percent = read_number(place / "capacity")
    if percent is not None:
        return min(max(percent / 100, 0.0), 1.0)
    for unit in ("energy", "charge"):
        now, full = read_number(place / f"{unit}_now"), read_number(place / f"{unit}_full")
        if now is not None and full:
            return min(max(now / full, 0.0), 1.0)
    return None


def _asked_by_psutil() -> list[Supply]:
    try:
        found = psutil.sensors_battery()
    except (OSError, NotImplementedError, RuntimeError, AttributeError):  # as systems without the figure vary
        return []
    if found is None:
        return []
    level = None if found.percent is None else min(max(found.percent / 100, 0.0), 1.0)
    return [Supply(True, online=found.power_plugged, level=level)]
