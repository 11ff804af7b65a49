"""What a device's hardware can carry: quantities in SI units, profiles, and the envelope of a group."""

import math
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from tierwise.core.ids import DeviceId

if TYPE_CHECKING:
    import polars as pl


class Origin(StrEnum):
    """How a quantity is known."""

    MEASURED = "measured"
    DECLARED = "declared"
    DEFAULT = "default"


class Quantity(msgspec.Struct, frozen=True, kw_only=True):
    """One property of a device's hardware.

    Attributes
    ----------
    value
        In the SI unit that the quantity's name ends with: ``cpu_flops`` (FLOP/s), ``memory_bytes``,
        ``uplink_bytes_per_s``, ``power_w``. Finite and not negative.
    origin
        Measured by a probe, declared by the device's owner, or the default for want of both.
    """

    value: float
    origin: Origin = Origin.MEASURED

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.value < 0:
            raise ValueError(f"a quantity is a finite number of at least 0, got {self.value!r}")


DEFAULTS: Final[Mapping[str, float]] = {
    # The least of what a board sold in the last ten years offers, so that an unknown device is not overrated.
    "cpu_flops": 0.4e9,  # Raspberry Pi Zero 2 W under HPL
    "cpu_count": 1.0,
    "memory_bytes": 512e6,
    "downlink_bytes_per_s": 1e6,
    "uplink_bytes_per_s": 1e6,
}
"""What is assumed of a device whose probes do not tell."""
POWER: Final = "power_w"
"""Electrical power at full load. Nothing is assumed of it; of what costs are predicted from, it alone is a burden."""

QUANTITIES: Final = (
    "cpu_count",
    "cpu_frequency_hz",
    "cpu_flops",
    "sgd_step_s",
    "memory_bytes",
    "memory_available_bytes",
    "memory_usable_bytes",
    "storage_bytes",
    "accelerator_count",
    "accelerator_memory_bytes",
    "round_trip_s",
    "downlink_bytes_per_s",
    "uplink_bytes_per_s",
    "metered_bool",
    "power_w",
    "mains_bool",
    "battery_ratio",
    "temperature_k",
    "throttled_bool",
    "idle_ratio",
)
"""The quantities that the built-in probes measure, the transport learns, or tierwise reads; a pack may bring others."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


def fault_of(name: str, value: float) -> str | None:
    """Tell what is wrong with a quantity's value, by the unit that its name ends with; None for nothing."""
    if not math.isfinite(value) or value < 0:
        return f"a quantity is a finite number of at least 0, got {value!r}"
    if name.endswith("_ratio") and value > 1:
        return f"a ratio is from 0 to 1, got {value!r}"
    if name.endswith("_bool") and value not in (0, 1):
        return f"a bool is 0 or 1, got {value!r}"
    return None


class HardwareProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the probes of one device reported.

    Attributes
    ----------
    quantities
        By name: lower-case letters, digits and ``_``, and its SI unit at the end, or ``ratio`` (0 to 1) or ``bool``
        (0 or 1). Names that tierwise itself reads: those of `DEFAULTS`, and ``power_w`` (electrical power at full
        load).
    """

    quantities: dict[str, Quantity] = {}

    def __post_init__(self) -> None:
        for name, quantity in self.quantities.items():
            if _NAME.fullmatch(name) is None or name == "device":  # "device" is the fleet table's first column
                raise ValueError(
                    f"{name[:80]!r} cannot name a quantity: up to 64 of a-z 0-9 _ are allowed, and not 'device'"
                )
            if fault := fault_of(name, quantity.value):
                raise ValueError(f"{name}: {fault}")

    @classmethod
    def declared(cls, **values: float) -> "HardwareProfile":
        """Make a profile of declared quantities."""
        return cls(quantities={k: Quantity(value=v, origin=Origin.DECLARED) for k, v in values.items()})

    def value(self, name: str) -> float:
        """Return a quantity's value, or its default.

        Raises
        ------
        KeyError
            If the profile lacks ``name`` and `DEFAULTS` has none.
        """
        quantity = self.quantities.get(name)
        return DEFAULTS[name] if quantity is None else quantity.value

    def merged(self, other: "HardwareProfile") -> "HardwareProfile":
        """Return this profile with the quantities of ``other`` put over it."""
        return HardwareProfile(quantities={**self.quantities, **other.quantities})

    def completed(self) -> "HardwareProfile":
        """Return this profile with every quantity of `DEFAULTS` that it lacks."""
        missing = {
            name: Quantity(value=value, origin=Origin.DEFAULT)
            for name, value in DEFAULTS.items()
            if name not in self.quantities
        }
        return HardwareProfile(quantities={**missing, **self.quantities})


class Unmeasured(msgspec.Struct, frozen=True):
    """What a probe gives in place of a value that it cannot measure here.

    Attributes
    ----------
    reason
        Why, in a few words that the device's owner understands: ``"there is no battery"``.
    """

    reason: str


class Probe(Protocol):
    """Measures one aspect of the device that it runs on: a plugin, made as ``Class(options)`` or ``Class()``.

    Two attributes of the class say more about it, where it has them:

    - ``alone = True``: nothing else is measured meanwhile, because it would falsify this.
    - ``volatile = True``: what it measures changes while an agent runs, which asks it again now and then.
    """

    async def measure(self) -> Mapping[str, float | Unmeasured]:
        """Return quantities by name, each in the SI unit that the name ends with.

        What cannot be measured here is `Unmeasured`, with the reason, and the profile goes on without it; of a probe
        that raises, the error is the reason.

        It is called on an event loop and a thread of its own, and has a second or two. Who takes longer is left to
        itself, and not asked again by that agent. Work that blocks goes to a worker thread
        (``anyio.to_thread.run_sync(…, abandon_on_cancel=True)``) nevertheless, so that whoever calls it elsewhere can
        cancel it.
        """
        ...


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """The least and the greatest value of a quantity in a group, in its SI unit."""

    least: float
    greatest: float


class HardwareEnvelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a group's devices have in common: the range of every quantity that all of them have.

    The least of each quantity may be several devices': one has the slowest processor, another the slowest link. What
    carries a model with the least of everything is carried by all, but not the other way round. So who has to size a
    model for a group is given the profiles too.

    Attributes
    ----------
    devices
        How many devices it is over.
    ranges
        By quantity.
    profiles
        Of each device, completed with the defaults; empty where the ranges are all that is known, as in a log or on a
        model's card.
    """

    devices: int
    ranges: dict[str, Range]
    profiles: tuple[HardwareProfile, ...] = ()

    @classmethod
    def of(cls, profiles: Iterable[HardwareProfile]) -> "HardwareEnvelope":
        """Measure the envelope of some profiles (at least one), each completed with the defaults first."""
        completed = [profile.completed().quantities for profile in profiles]
        common = set(completed[0]).intersection(*completed[1:])
        return cls(
            devices=len(completed),
            ranges={
                name: Range(
                    least=min(q[name].value for q in completed),
                    greatest=max(q[name].value for q in completed),
                )
                for name in sorted(common)
            },
        )

    def least(self, name: str) -> float:
        """Return what even the weakest device has of a quantity, or its default."""
        found = self.ranges.get(name)
        return DEFAULTS[name] if found is None else found.least

    def detailed(self, profiles: Iterable[HardwareProfile]) -> "HardwareEnvelope":
        """Return this envelope with the profiles of the devices that it is over."""
        return msgspec.structs.replace(self, profiles=tuple(profile.completed() for profile in profiles))

    def bearers(self) -> tuple[HardwareProfile, ...]:
        """Return who has to carry a model: the devices, or where only ranges are known, the worst that there could be.

        That one has the least of everything, and of ``power_w``, which is a burden, the most.
        """
        if self.profiles:
            return self.profiles
        worst = {name: found.greatest if name == POWER else found.least for name, found in self.ranges.items()}
        return (HardwareProfile(quantities={name: Quantity(value=value) for name, value in worst.items()}),)


def fleet_table(fleet: Mapping[DeviceId, HardwareProfile]) -> "pl.DataFrame":
    """Lay out a fleet as the table that grouping policies work on.

    Returns
    -------
    polars.DataFrame
        One row for each device, sorted by id; column ``device`` (String), then one Float64 column for each
        quantity that any device has, sorted by name, completed with `DEFAULTS`, null where neither knows it.
    """
    import polars as pl  # heavy, and an agent never needs it

    ids = sorted(fleet)
    rows = [fleet[device].completed().quantities for device in ids]
    names = sorted({name for row in rows for name in row})
    columns = {name: [row[name].value if name in row else None for row in rows] for name in names}
    schema = {"device": pl.String, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame({"device": ids, **columns}, schema=schema)
