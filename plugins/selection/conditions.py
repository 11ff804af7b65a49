"""Who takes part only when its hardware is free for it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated

import msgspec

from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.selection import Postponed
from tierwise.plugins.selection.random import RandomOptions, RandomSelector

_Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]


class ConditionsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `ConditionsSelector`: the conditions, all of which a device has to fulfil, and how many take part.

    Attributes
    ----------
    mains
        Only devices on the mains, or being charged: ``mains_bool`` is 1.
    battery_min
        Only devices whose battery is at least so full: ``battery_ratio``, from 0 to 1.
    idle_min
        Only devices whose processor has at least so much of its time free: ``idle_ratio``, from 0 to 1.
    unmetered
        Only devices whose link costs nothing by the byte: ``metered_bool`` is 0.
    max_temperature_k
        Only devices that are at most so warm: ``temperature_k``, in kelvin.
    unknown_fulfils
        Whether a device whose profile lacks the quantity fulfils the condition: a machine without a battery has no
        ``battery_ratio``.
    fraction
        The share that takes part of those who fulfil the conditions, rounded up; all of them when neither this nor
        ``count`` is given.
    count
        How many of them take part, or all when there are fewer.
    """

    mains: bool = False
    battery_min: _Ratio | None = None
    idle_min: _Ratio | None = None
    unmetered: bool = False
    max_temperature_k: Annotated[float, msgspec.Meta(gt=0)] | None = None
    unknown_fulfils: bool = True
    fraction: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    count: Annotated[int, msgspec.Meta(ge=MINIMUM)] | None = None

    def __post_init__(self) -> None:
        RandomOptions(fraction=self.fraction, count=self.count)  # says that one of the two is enough


class _Condition(msgspec.Struct, frozen=True):
    """One quantity that has to be right; ``wanted`` says how, for people."""

    quantity: str
    holds: Callable[[float], bool]
    wanted: str


class ConditionsSelector:
    """Draws participants among the devices that fulfil some conditions, all equally likely.

    It goes by the profiles, so it is as current as the devices' reports are. With fewer than three that fulfil them
    the round waits until a device of the group reports other hardware, comes or goes.
    """

    def __init__(self, options: ConditionsOptions) -> None:
        self._conditions = list(_conditions(options))
        self._unknown_fulfils = options.unknown_fulfils
        everybody = options.fraction is None and options.count is None
        drawn = RandomOptions(fraction=1.0 if everybody else options.fraction, count=options.count)
        self._random = RandomSelector(drawn)

    def select(self, candidates: Mapping[DeviceId, HardwareProfile], *, seed: int) -> Sequence[DeviceId] | Postponed:
        """Return the participants, sorted by id; or that the round waits, and what it is that devices lack."""
        failing = {device: self._failing(profile) for device, profile in candidates.items()}
        willing = {device: candidates[device] for device, failed in failing.items() if not failed}
        if len(willing) >= MINIMUM:
            return self._random.select(willing, seed=seed)
        return Postponed(
            reason=f"{len(willing)} of {len(candidates)} devices fulfil the conditions, at least {MINIMUM} are "
            f"needed: {self._lacking(failing)}"
        )

    def _failing(self, profile: HardwareProfile) -> list[_Condition]:
        return [condition for condition in self._conditions if not self._fulfils(profile, condition)]

    def _fulfils(self, profile: HardwareProfile, condition: _Condition) -> bool:
        quantity = profile.quantities.get(condition.quantity)
        return self._unknown_fulfils if quantity is None else condition.holds(quantity.value)

    def _lacking(self, failing: Mapping[DeviceId, list[_Condition]]) -> str:
        counts = ((sum(one in failed for failed in failing.values()), one.wanted) for one in self._conditions)
        return ", ".join(f"{count} {'is' if count == 1 else 'are'} not {wanted}" for count, wanted in counts if count)


def _conditions(options: ConditionsOptions) -> Iterator[_Condition]:
    if options.mains:
        yield _Condition("mains_bool", lambda value: value == 1, "on the mains")
    if options.battery_min is not None:
        least = options.battery_min
        yield _Condition("battery_ratio", lambda value: value >= least, f"charged to {least:.0%}")
    if options.idle_min is not None:
        free = options.idle_min
        yield _Condition("idle_ratio", lambda value: value >= free, f"idle by {free:.0%}")
    if options.unmetered:
        yield _Condition("metered_bool", lambda value: value == 0, "on an unmetered link")
    if options.max_temperature_k is not None:
        most = options.max_temperature_k
        yield _Condition("temperature_k", lambda value: value <= most, f"at {most:g} K or below")
