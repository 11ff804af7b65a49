"""The laws of grouping policies."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tierwise.core.grouping import MINIMUM, Grouping, GroupingPolicy
from tierwise.core.hardware import HardwareProfile, Quantity, fleet_table
from tierwise.core.ids import DeviceId, TierName
from tierwise.core.tiers import Cost, RoundLimits, Tier
from tierwise.core.weights import Layout
from tierwise.plugins.testing._laws import devices, hold, mixed_fleet

if TYPE_CHECKING:
    import polars as pl

Fleet = Mapping[DeviceId, HardwareProfile]
_LIMITS: Final = RoundLimits(deadline_s=60.0, samples=1000)


def check_grouping_policy(policy: GroupingPolicy) -> None:
    """Check that a grouping policy keeps its contract.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    hold(policy, LAWS)


def _tier(width: int) -> Tier:
    layout = Layout.of({"weight": (64, width)})
    return Tier(
        name=TierName(f"width-{width}"),
        learner="mlp",
        options={},
        layout=layout,
        cost=Cost(
            parameters=layout.size,
            fit_flops_per_sample=6.0 * layout.size,
            evaluate_flops_per_sample=2.0 * layout.size,
            bytes=4 * layout.size,
            memory_bytes=16 * layout.size,
        ),
    )


_OFFERS: Final = tuple(_tier(width) for width in (16, 256, 4096))


def _divide(policy: GroupingPolicy, table: "pl.DataFrame") -> Grouping:
    return policy.group(table, _OFFERS, _LIMITS)


def _equal_fleet(count: int) -> Fleet:
    return dict.fromkeys(devices(count), HardwareProfile.declared(cpu_flops=5e9, memory_bytes=4e9))


def _partly_known_fleet() -> Fleet:
    fleet = mixed_fleet(24)
    power = HardwareProfile.declared(power_w=5.0)
    return {d: profile.merged(power) if n % 3 == 0 else profile for n, (d, profile) in enumerate(fleet.items())}


def _zero_fleet() -> Fleet:
    """Some devices measured zero: a link that is down is a finite number and not negative."""
    zero = HardwareProfile(quantities={name: Quantity(value=0.0) for name in ("uplink_bytes_per_s", "cpu_flops")})
    return {d: profile.merged(zero) if n < 4 else profile for n, (d, profile) in enumerate(mixed_fleet(24).items())}


def _classes_fleet() -> Fleet:
    """Make three classes of six devices; each class is ten times the one before in everything."""
    one = {"cpu_flops": 1e9, "cpu_count": 1.0, "memory_bytes": 1e9, "downlink_bytes_per_s": 1e6}
    return {
        device: HardwareProfile.declared(
            uplink_bytes_per_s=1e6 * 10 ** (n % 3),
            **{name: value * 10 ** (n % 3) * (1 + n / 100) for name, value in one.items()},
        )
        for n, device in enumerate(devices(18))
    }


def the_fleet_is_left_as_it_is(policy: GroupingPolicy) -> str | None:
    """A table can be changed in place, but not by a policy."""
    table = fleet_table(mixed_fleet(24))
    before = table.clone()
    _divide(policy, table)
    if table.columns != before.columns:
        return f"its columns were {before.columns}, now they are {table.columns}"
    return None if table.equals(before) else "its values have changed"


def every_device_is_answered_once(policy: GroupingPolicy) -> str | None:
    """It is in one group, or there is a reason why it is in none; and nobody else is."""
    for count in (MINIMUM, 4, 5, 7, 24):
        fleet = mixed_fleet(count)
        grouping = _divide(policy, fleet_table(fleet))
        answered = [device for group in grouping.groups for device in group] + list(grouping.unplaced)
        if sorted(answered) != sorted(fleet):
            return f"in a fleet of {count}: {grouping.fault(list(fleet))}"
    return None


def groups_hold_at_least_three(policy: GroupingPolicy) -> str | None:
    """With two, each device could subtract its own update from the sum."""
    for count in (MINIMUM, 4, 5, 7, 24):
        for group in _divide(policy, fleet_table(mixed_fleet(count))).groups:
            if len(group) < MINIMUM:
                return f"in a fleet of {count} there is the group {list(group)}"
    return None


def a_group_is_sorted_by_id(policy: GroupingPolicy) -> str | None:
    """So that equal groupings are equal values."""
    for group in _divide(policy, fleet_table(mixed_fleet(24))).groups:
        if list(group) != sorted(group):
            return f"there is the group {list(group)}"
    return None


def an_unplaced_device_has_a_reason(policy: GroupingPolicy) -> str | None:
    """A reason is a text that is not empty, since people read it."""
    for fleet in (mixed_fleet(24), _partly_known_fleet(), _zero_fleet()):
        for device, reason in _divide(policy, fleet_table(fleet)).unplaced.items():
            if not reason.strip():
                return f"the reason for {device!r} is {reason!r}"
    return None


def a_reason_tells_of_a_device_that_is_placed(policy: GroupingPolicy) -> str | None:
    """Reasons may be left out, but there are none for others, and none that are empty."""
    for fleet in (mixed_fleet(24), _partly_known_fleet()):
        grouping = _divide(policy, fleet_table(fleet))
        placed = {device for group in grouping.groups for device in group}
        for device, reason in grouping.reasons.items():
            if device not in placed:
                return f"there is a reason for {device!r}, which is in no group"
            if not reason.strip():
                return f"the reason for {device!r} is {reason!r}"
    return None


def groups_go_from_weak_to_strong(policy: GroupingPolicy) -> str | None:
    """No group may stand before one whose every device is weaker in everything."""
    fleet = _classes_fleet()
    rank = {device: n % 3 for n, device in enumerate(fleet)}
    groups = _divide(policy, fleet_table(fleet)).groups
    for before, after in ((one, two) for i, one in enumerate(groups) for two in groups[i + 1 :]):
        one, other = (sorted(rank[device] for device in group) for group in (before, after))
        if one[0] >= other[-1] and one[-1] > other[0]:
            return f"{list(before)} stand before {list(after)}, though they have more of everything"
    return None


def row_order_does_not_matter(policy: GroupingPolicy) -> str | None:
    """Devices report in any order."""
    table = fleet_table(mixed_fleet(30))
    return _differ(_divide(policy, table), _divide(policy, table.sample(fraction=1.0, shuffle=True, seed=3)))


def the_same_fleet_gives_the_same_groups(policy: GroupingPolicy) -> str | None:
    """``group`` is pure: what was divided before does not matter."""
    table = fleet_table(mixed_fleet(30))
    first = _divide(policy, table)
    _divide(policy, fleet_table(mixed_fleet(17, seed=1)))
    return _differ(first, _divide(policy, table))


def _differ(first: Grouping, second: Grouping) -> str | None:
    if first == second:
        return None
    return f"the groups are {_shown(first.groups)}, and then {_shown(second.groups)}"


def _shown(groups: Sequence[Sequence[DeviceId]]) -> str:
    return " | ".join(" ".join(group) for group in groups)


def unknown_quantities_are_survived(policy: GroupingPolicy) -> str | None:
    """A quantity that only some devices report is null for the others."""
    return _fault(policy, _partly_known_fleet())


def zeros_are_survived(policy: GroupingPolicy) -> str | None:
    """A quantity may be 0, which has no logarithm."""
    return _fault(policy, _zero_fleet())


def equal_devices_are_survived(policy: GroupingPolicy) -> str | None:
    """A fleet may be of one kind of device; nothing divides it."""
    return _fault(policy, _equal_fleet(12))


def three_devices_are_enough(policy: GroupingPolicy) -> str | None:
    """The smallest federation."""
    return _fault(policy, mixed_fleet(MINIMUM)) or _fault(policy, _equal_fleet(MINIMUM))


def a_thousand_devices_are_not_too_many(policy: GroupingPolicy) -> str | None:
    """An ordinary federation."""
    return _fault(policy, mixed_fleet(1000))


def _fault(policy: GroupingPolicy, fleet: Fleet) -> str | None:
    return _divide(policy, fleet_table(fleet)).fault(list(fleet))


LAWS: Final = (
    the_fleet_is_left_as_it_is,
    every_device_is_answered_once,
    groups_hold_at_least_three,
    a_group_is_sorted_by_id,
    groups_go_from_weak_to_strong,
    row_order_does_not_matter,
    the_same_fleet_gives_the_same_groups,
    unknown_quantities_are_survived,
    zeros_are_survived,
    an_unplaced_device_has_a_reason,
    a_reason_tells_of_a_device_that_is_placed,
    equal_devices_are_survived,
    three_devices_are_enough,
    a_thousand_devices_are_not_too_many,
)
