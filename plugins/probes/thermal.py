"""How hot the device is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio

from tierwise.core.hardware import Unmeasured
from tierwise.plugins.probes._sysfs import SYS, read_number, read_text

_PROCESSOR: Final = re.compile(r"cpu|soc|core|package|pkg|k8temp|k10temp|zenpower", re.IGNORECASE)
_BOARD: Final = re.compile(r"acpitz|board|ambient|system|skin", re.IGNORECASE)
_PROCESSORS_COOLER: Final = re.compile(r"processor|(thermal-)?cpufreq", re.IGNORECASE)
_SENSIBLE_K: Final = (230.0, 420.0)
"""What a sensor that is there and connected can show of a device that runs; many that are not show 0 °C or -128 °C."""
_CAPPED: Final = 0b1110
"""The Raspberry Pi's flags of the present: frequency capped, throttled, soft temperature limit. Bit 0 is the voltage:
https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
"""
_GLANCE_S: Final = 0.1
"""Between two looks at the counters of a processor that throttles itself."""


class ThermalProbe:
    """Reads the sensors of processor and board.

    Quantities: ``temperature_k``, of the hottest sensor of the processor, or of the board where that has none, in
    kelvin to a tenth; ``throttled_bool``, 1 while the processor is held back (for its heat, by Linux's cooling
    devices or by an x86 processor itself; for its heat or a weak power supply, by the firmware of a Raspberry Pi), 0
    while it could be and is not.

    Only Linux tells them, below ``/sys`` (https://docs.kernel.org/driver-api/thermal/sysfs-api.html,
    https://docs.kernel.org/hwmon/sysfs-interface.html).

    Parameters
    ----------
    root
        Where the kernel's files are.
    """

    volatile = True

    def __init__(self, root: Path = SYS) -> None:
        self._root = root

    async def measure(self) -> dict[str, float | Unmeasured]:
        """Read in a worker thread: a sensor on a slow bus takes its time."""
        return {
            "temperature_k": await anyio.to_thread.run_sync(self._temperature, abandon_on_cancel=True),
            "throttled_bool": await self._throttled(),
        }

    def _temperature(self) -> float | Unmeasured:
        sensors = list(_sensors(self._root))
        for kind in (_PROCESSOR, _BOARD):
            of_kind = [kelvin for name, kelvin in sensors if kind.search(name)]
            if of_kind:
                return round(max(of_kind), 1)
        others = ", ".join(sorted({name for name, _ in sensors}))
        return Unmeasured(f"no sensor of processor or board{f', only of {others}' if others else ''}")

    async def _throttled(self) -> float | Unmeasured:
        told = list(_firmware(self._root)) + list(_coolers(self._root))
        before = _counts(self._root)
        if before and not any(told):
            await anyio.sleep(_GLANCE_S)
            told.append(_counts(self._root) != before)
        return float(any(told)) if told else Unmeasured("the system does not tell it")


def _sensors(root: Path) -> Iterator[tuple[str, float]]:
    """Yield name and temperature of each sensor that shows something sensible."""
    files = [(chip / "name", file) for chip in _all(root / "class/hwmon") for file in sorted(chip.glob("temp*_input"))]
    files += [(zone / "type", zone / "temp") for zone in _all(root / "class/thermal")]
    for name, file in files:
        thousandths = read_number(file)
        if not thousandths:  # also 0 °C to the last digit
            continue
        kelvin = 273.15 + thousandths / 1000
        if _SENSIBLE_K[0] <= kelvin <= _SENSIBLE_K[1]:
            yield read_text(name) or "?", kelvin


def _firmware(root: Path) -> Iterator[bool]:
    for file in root.glob("devices/platform/soc*/*firmware*/get_throttled"):
        try:
            yield int(read_text(file) or "", 16) & _CAPPED > 0
        except ValueError:
            continue


def _coolers(root: Path) -> Iterator[bool]:
    for place in _all(root / "class/thermal"):
        state = read_number(place / "cur_state")
        if state is not None and _PROCESSORS_COOLER.match(read_text(place / "type") or ""):
            yield state > 0


def _counts(root: Path) -> list[float | None]:
    """Return how often an x86 processor has throttled itself, for each core and package."""
    files = sorted(root.glob("devices/system/cpu/cpu*/thermal_throttle/*_throttle_count"))
    return [read_number(file) for file in files]


def _all(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []
