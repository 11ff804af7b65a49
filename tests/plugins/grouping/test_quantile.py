"""Groups of equal size."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.errors import ConfigurationError
from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareProfile, fleet_table
from tierwise.core.ids import DeviceId
from tierwise.core.tiers import RoundLimits
from tierwise.plugins.grouping.quantile import QuantileOptions, QuantilePolicy
from tierwise.plugins.testing import check_grouping_policy

LIMITS = RoundLimits(deadline_s=60, samples=100)


def fleet_of(**flops: float) -> dict[DeviceId, HardwareProfile]:
    return {DeviceId(name): HardwareProfile.declared(cpu_flops=value) for name, value in flops.items()}


def divide(fleet: dict[DeviceId, HardwareProfile], groups: int = 3, by: str = "cpu_flops") -> Grouping:
    policy = QuantilePolicy(QuantileOptions(groups=groups, by=by))
    return policy.group(fleet_table(fleet), (), LIMITS)


def test_conformance() -> None:
    check_grouping_policy(QuantilePolicy(QuantileOptions()))


def test_from_the_weakest_to_the_strongest_each_sorted_by_id() -> None:
    grouping = divide(fleet_of(f=1, e=2, d=3, c=4, b=5, a=6), groups=2)
    assert grouping.groups == (("d", "e", "f"), ("a", "b", "c"))
    assert grouping.reasons[DeviceId("e")] == "number 2 of 6 by cpu_flops, 2, the least first"
    assert grouping.reasons.keys() == set("abcdef")


def test_equal_devices_are_cut_in_the_order_of_their_ids() -> None:
    names = [f"d{number:03}" for number in range(300)]  # enough for a sort that is not stable to show it
    grouping = divide(fleet_of(**{name: 1 + number % 2 for number, name in enumerate(reversed(names))}), groups=4)
    assert grouping.groups == (tuple(names[1:150:2]), tuple(names[151::2]), tuple(names[:150:2]), tuple(names[150::2]))


@given(st.lists(st.floats(min_value=0, max_value=1e15), min_size=3, max_size=60), st.integers(min_value=1, max_value=8))
def test_sizes_differ_by_one_and_order_is_kept(flops: list[float], groups: int) -> None:
    fleet = fleet_of(**{f"d{number:02}": value for number, value in enumerate(flops)})
    found = divide(fleet, groups).groups
    assert len(found) == min(groups, len(flops) // 3)
    sizes = [len(group) for group in found]
    assert sum(sizes) == len(flops)
    assert max(sizes) - min(sizes) <= 1
    bounds = [[fleet[device].value("cpu_flops") for device in group] for group in found]
    assert all(max(weaker) <= min(stronger) for weaker, stronger in pairwise(bounds))


def test_a_device_that_does_not_tell_is_unplaced() -> None:
    power = {DeviceId(name): HardwareProfile.declared(power_w=5) for name in "abc"}
    grouping = divide({**fleet_of(x=1), **power}, by="power_w")
    assert grouping.groups == (("a", "b", "c"),)
    assert grouping.unplaced == {"x": "does not report power_w"}


def test_fewer_than_three_that_can_be_compared_make_no_group() -> None:
    power = {DeviceId(name): HardwareProfile.declared(power_w=5) for name in "ab"}
    grouping = divide({**fleet_of(x=1, y=2), **power}, by="power_w")
    assert grouping.groups == ()
    assert grouping.unplaced[DeviceId("x")] == "does not report power_w"
    assert grouping.unplaced[DeviceId("a")].startswith("only 2 of the fleet's devices can be compared")
    assert grouping.fault([DeviceId(name) for name in "abxy"]) is None


def test_an_unknown_quantity_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError) as caught:
        divide(fleet_of(a=1, b=2, c=3), by="cpu_flop")
    assert str(caught.value) == (
        "grouping policy 'quantile' goes by 'cpu_flop', which no device of this fleet reports (did you mean "
        "'cpu_flops'?); they report cpu_count, cpu_flops, downlink_bytes_per_s, memory_bytes, uplink_bytes_per_s"
    )
