"""Classes of devices: which kind of hardware a model serves well, and which badly.

A class is a decade of compute: from 1 to 10 GFLOP/s, from 10 to 100. That is said of any device, whoever made it, and
means the same in every fleet. Where the kind of each device is known, as in a fleet that is drawn from the catalogue,
a class is a kind. A class of fewer than three devices would show a single one's figures, and so would what is left of
the whole without it: it is joined with the next weaker class, the weakest with the next stronger one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId

T = TypeVar("T")
COMPUTE: Final = "cpu_flops"
_PREFIXES: Final = ("", "k", "M", "G", "T", "P")


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """Devices of one kind of hardware.

    Attributes
    ----------
    name
        ``1 to 10 GFLOP/s``, or the kinds: ``board, mini-pc``.
    devices
        Three or more, sorted.
    """

    name: str
    devices: tuple[DeviceId, ...]


def device_classes(
    profiles: Mapping[DeviceId, HardwareProfile], kinds: Mapping[DeviceId, str] | None = None
) -> tuple[DeviceClass, ...]:
    """Divide devices into classes.

    Parameters
    ----------
    profiles
        Their hardware; what is not known of it has its default.
    kinds
        What each device is sold as. Unless that is known of all of them, it is not looked at.

    Returns
    -------
    tuple of DeviceClass
        From the weakest hardware to the strongest; empty for fewer than three devices.
    """
    if kinds and profiles.keys() <= kinds.keys():
        by_kind = _collected({device: kinds[device] for device in profiles})
        weakest = {kind: min(profiles[device].value(COMPUTE) for device in devices) for kind, devices in by_kind}
        ranked = sorted(by_kind, key=lambda one: (weakest[one[0]], one[0]))
        return tuple(DeviceClass(", ".join(names), devices) for names, devices in _joined(ranked))
    decades = _collected({device: _decade(profile.value(COMPUTE)) for device, profile in profiles.items()})
    return tuple(DeviceClass(_range(own[0], own[-1] + 1), devices) for own, devices in _joined(sorted(decades)))


def _collected(labels: Mapping[DeviceId, T]) -> list[tuple[T, list[DeviceId]]]:
    found: dict[T, list[DeviceId]] = {}
    for device, label in labels.items():
        found.setdefault(label, []).append(device)
    return list(found.items())


def _joined(ranked: Sequence[tuple[T, list[DeviceId]]]) -> list[tuple[list[T], tuple[DeviceId, ...]]]:
    """Join classes, the weakest first, until each has enough devices."""
    classes = [([label], devices) for label, devices in ranked]
    while (small := next((n for n, (_, devices) in enumerate(classes) if len(devices) < MINIMUM), None)) is not None:
        if len(classes) == 1:
            return []
        lower = max(small - 1, 0)
        (weaker, fewer), (stronger, more) = classes[lower : lower + 2]
        classes[lower : lower + 2] = [(weaker + stronger, fewer + more)]
    return [(labels, tuple(sorted(devices))) for labels, devices in classes]


def _decade(flops: float) -> int:
    """Return the power of ten at or below a compute rate in FLOP/s."""
    return math.floor(math.log10(max(flops, 1.0)))


def _range(least: int, greatest: int) -> str:
    """Write a range between two powers of ten: ``1 to 10 GFLOP/s``, ``100 MFLOP/s to 1 GFLOP/s``."""
    (low, unit), (high, other) = _power(least), _power(greatest)
    return f"{low} to {high} {other}" if unit == other else f"{low} {unit} to {high} {other}"


def _power(exponent: int) -> tuple[str, str]:
    thousands = min(exponent // 3, len(_PREFIXES) - 1)
    return f"{10 ** (exponent - 3 * thousands):,}", f"{_PREFIXES[thousands]}FLOP/s"
