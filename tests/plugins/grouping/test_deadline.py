"""Groups of devices that finish the same tier in time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareEnvelope, HardwareProfile, fleet_table
from tierwise.core.ids import DeviceId
from tierwise.core.task import Task
from tierwise.core.tiers import RoundLimits, Tier, fits
from tierwise.plugins.grouping.deadline import DeadlineOptions, DeadlinePolicy
from tierwise.plugins.testing import check_grouping_policy
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider

Fleet = dict[DeviceId, HardwareProfile]

TASK = Task(name="digits", features=64, classes=tuple("0123456789"), scale=16.0)
LADDER = MlpTierProvider(MlpLadderOptions(hidden=((8,), (64,), (512,))))
OFFERS = LADDER.offers(TASK)
LIMITS = RoundLimits(deadline_s=1.0, samples=100)
QUICK = {"downlink_bytes_per_s": 1e9, "uplink_bytes_per_s": 1e9, "memory_bytes": 1e12}
FLOPS = tuple(1.5 * 100 * (o.cost.fit_flops_per_sample + o.cost.evaluate_flops_per_sample) for o in OFFERS)
"""A processor that carries each tier with a third to spare, and not the next one."""


def fleet_of(**tiers: int) -> Fleet:
    """Make devices by the number of the largest tier that each carries; -1 is none."""
    return {
        DeviceId(name): HardwareProfile.declared(cpu_flops=FLOPS[tier] if tier >= 0 else FLOPS[0] / 3, **QUICK)
        for name, tier in tiers.items()
    }


def divide(fleet: Fleet, limits: RoundLimits = LIMITS, **options: str) -> Grouping:
    return DeadlinePolicy(DeadlineOptions(**options)).group(fleet_table(fleet), OFFERS, limits)  # type: ignore[arg-type]


def chosen(fleet: Fleet, devices: tuple[DeviceId, ...], limits: RoundLimits = LIMITS) -> Tier:
    """Return the tier that the group gets, asked for as the coordinator does."""
    profiles = [fleet[device] for device in devices]
    return LADDER.choose(TASK, HardwareEnvelope.of(profiles).detailed(profiles), limits)


@pytest.mark.parametrize("misfits", ["leave-out", "smallest"])
def test_conformance(misfits) -> None:
    check_grouping_policy(DeadlinePolicy(DeadlineOptions(misfits=misfits)))


def test_each_device_is_under_the_largest_tier_that_it_finishes() -> None:
    fleet = fleet_of(a=2, b=0, c=1, d=0, e=1, f=2, g=1, h=2, i=0)
    grouping = divide(fleet)
    assert grouping.groups == (("b", "d", "i"), ("c", "e", "g"), ("a", "f", "h"))
    assert [chosen(fleet, group) for group in grouping.groups] == list(OFFERS)
    assert grouping.reasons[DeviceId("b")] == (
        "carries mlp-8: a round takes 0.667 s of 1 s; with mlp-64, a round takes 5.33 s, 1 s are allowed: "
        "5.33 times as much"
    )
    assert grouping.reasons[DeviceId("a")] == "carries mlp-512: a round takes 0.667 s of 1 s; none is larger"


def test_who_finishes_none_is_left_out_with_the_limit_and_by_how_much() -> None:
    grouping = divide(fleet_of(a=0, b=0, c=0, x=-1))
    assert grouping.groups == (("a", "b", "c"),)
    assert grouping.unplaced == {
        "x": "carries no tier on offer: with mlp-8, a round takes 2 s, 1 s are allowed: 2 times as much"
    }


def test_or_is_taken_in_with_the_smallest() -> None:
    fleet = fleet_of(a=0, b=0, c=0, x=-1, d=1, e=1, f=1)
    grouping = divide(fleet, misfits="smallest")
    assert grouping.groups == (("a", "b", "c", "x"), ("d", "e", "f"))
    assert grouping.unplaced == {}
    assert grouping.reasons[DeviceId("x")] == (
        "carries no tier on offer: with mlp-8, a round takes 2 s, 1 s are allowed: 2 times as much; taken in with the "
        "smallest"
    )
    assert chosen(fleet, grouping.groups[0]) == OFFERS[0]


def test_a_fleet_that_finishes_nothing_is_in_no_group() -> None:
    assert divide(fleet_of(a=-1, b=-1, c=-1)).groups == ()
    assert divide(fleet_of(a=-1, b=-1, c=-1), misfits="smallest").groups == (("a", "b", "c"),)


def test_too_few_for_a_group_go_down_and_say_so() -> None:
    grouping = divide(fleet_of(a=0, b=0, c=0, x=2, y=2))
    assert grouping.groups == (("a", "b", "c", "x", "y"),)
    assert grouping.reasons[DeviceId("x")] == "carries mlp-512, but too few devices do to be a group, and mlp-8 is next"


def test_the_slowest_come_down_to_the_weakest_who_are_too_few() -> None:
    fleet = fleet_of(a=0, b=0, **{f"s{n}": 2 for n in range(5)})
    fleet[DeviceId("s3")] = HardwareProfile.declared(cpu_flops=0.9 * FLOPS[2], **QUICK)
    grouping = divide(fleet)
    assert grouping.groups == (("a", "b", "s3"), ("s0", "s1", "s2", "s4"))
    assert grouping.reasons[DeviceId("s3")] == ("carries mlp-512, and is here to bring the group of mlp-8 to 3 devices")


def test_two_devices_are_no_group() -> None:
    grouping = divide(fleet_of(a=0, b=1, x=-1))
    assert grouping.groups == ()
    assert grouping.unplaced[DeviceId("b")] == (
        "carries mlp-64, but too few devices go with a tier that it carries: a group needs 3"
    )


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"traffic_bytes": 10_000}, "a round moves 39,120 bytes, 10,000 are allowed: 3.91 times as much"),
        ({"energy_j": 2.0}, "a round takes 3.33 J, 2 J are allowed: 66.7 % too much"),
    ],
)
def test_traffic_and_energy_bound_the_tier_as_the_deadline_does(limits, told) -> None:
    power = HardwareProfile.declared(power_w=5.0)
    fleet = {device: profile.merged(power) for device, profile in fleet_of(a=1, b=1, c=1).items()}
    assert chosen(fleet, divide(fleet).groups[0]) == OFFERS[1]
    strict = RoundLimits(deadline_s=1.0, samples=100, **limits)
    grouping = divide(fleet, strict)
    assert chosen(fleet, grouping.groups[0], strict) == OFFERS[0]
    assert told in grouping.reasons[DeviceId("a")]


def test_memory_bounds_it_too() -> None:
    short = HardwareProfile.declared(memory_bytes=OFFERS[0].cost.memory_bytes)
    fleet = {device: profile.merged(short) for device, profile in fleet_of(a=2, b=2, c=2).items()}
    grouping = divide(fleet)
    assert chosen(fleet, grouping.groups[0]) == OFFERS[0]
    assert "with mlp-64, training takes" in grouping.reasons[DeviceId("a")]


# Rates around those at which a tier begins to fit: about 1e5 to 1e8 FLOP/s, and 1e4 to 1e7 bytes/s.
rates = st.floats(min_value=3, max_value=9).map(lambda exponent: 10.0**exponent)
devices = st.builds(
    lambda power, **values: HardwareProfile.declared(**values, **({} if power is None else {"power_w": power})),
    cpu_flops=rates,
    memory_bytes=rates,
    downlink_bytes_per_s=rates,
    uplink_bytes_per_s=rates,
    power=st.none() | st.floats(min_value=0, max_value=100),
)
fleets = st.lists(devices, min_size=3, max_size=20).map(
    lambda profiles: {DeviceId(f"d{n:02}"): profile for n, profile in enumerate(profiles)}
)
bounds = st.builds(
    RoundLimits,
    deadline_s=st.floats(min_value=0.1, max_value=100),
    samples=st.just(100),
    traffic_bytes=st.none() | st.integers(1000, 10**6),
    energy_j=st.none() | st.floats(min_value=0.1, max_value=1000),
)


@settings(deadline=None)
@given(fleets, bounds)
def test_a_group_gets_the_largest_tier_that_all_of_it_carry(fleet: Fleet, limits: RoundLimits) -> None:
    grouping = divide(fleet, limits)
    assert grouping.fault(list(fleet)) is None
    tiers = [chosen(fleet, group, limits) for group in grouping.groups]
    assert [tier.cost.parameters for tier in tiers] == sorted({tier.cost.parameters for tier in tiers})
    for group, tier in zip(grouping.groups, tiers, strict=True):
        assert all(fits(tier.cost, fleet[device], limits) for device in group)
        larger = OFFERS[OFFERS.index(tier) + 1 :]
        assert all(any(not fits(one.cost, fleet[device], limits) for device in group) for one in larger)


@settings(deadline=None)
@given(fleets, bounds)
def test_taking_misfits_in_leaves_nobody_out(fleet: Fleet, limits: RoundLimits) -> None:
    grouping = divide(fleet, limits, misfits="smallest")
    assert grouping.unplaced == {}
    assert grouping.fault(list(fleet)) is None
    assert grouping.reasons.keys() == fleet.keys()
    for group in grouping.groups[1:]:  # whoever carries nothing is with the weakest
        assert all(fits(chosen(fleet, group, limits).cost, fleet[device], limits) for device in group)
