"""Devices that carry different tiers come together in groups of at least three."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.ids import DeviceId
from tierwise.plugins.grouping import _settling

TIERS = 5


def settle(carried: dict[DeviceId, tuple[int, ...]], load) -> dict[int, tuple[DeviceId, ...]]:
    """Settle devices by name, whose tiers are given as numbers."""
    devices = sorted(carried)
    table = np.zeros((len(devices), TIERS), np.bool_)
    for row, device in enumerate(devices):
        table[row, list(carried[device])] = True
    found = _settling.settle(table, lambda rows, tier: np.array([load(devices[row], tier) for row in rows]))
    return {tier: tuple(devices[row] for row in rows) for tier, rows in found.items()}


def fleet_of(*tiers: int) -> dict[DeviceId, tuple[int, ...]]:
    """Make devices a, b, c, … that carry the tiers from 0 up to the given one."""
    return {DeviceId(chr(97 + n)): tuple(range(most + 1)) for n, most in enumerate(tiers)}


def by_name(device: DeviceId, _tier: int) -> float:
    """Make the devices that come late in the alphabet the slow ones."""
    return float(ord(device[0]))


def shown(groups: dict[int, tuple[DeviceId, ...]]) -> str:
    return " ".join(f"{tier}:{''.join(devices)}" for tier, devices in groups.items())


@pytest.mark.parametrize(
    ("tiers", "groups"),
    [
        pytest.param((0, 0, 0, 1, 1, 1), "0:abc 1:def", id="each with its own"),
        pytest.param((0, 0, 0, 1, 1), "0:abcde", id="two too few go down"),
        pytest.param((0, 0, 0, 1, 1, 1, 3), "0:abc 1:defg", id="past a tier that nobody has"),
        pytest.param((0, 2, 2, 2, 2), "0:abcde", id="the next stronger group comes down as a whole"),
        pytest.param((0, 2, 2, 2, 2, 2), "0:aef 2:bcd", id="or as many of it as are wanted"),
        pytest.param((0, 1, 1, 1, 1, 2, 2, 2, 2), "0:aei 1:bcd 2:fgh", id="and of the one above it"),
        pytest.param((0, 1, 1, 1, 2, 2, 2, 2), "0:abcd 2:efgh", id="unless too few can be spared"),
        pytest.param((1, 1, 3, 3, 3, 3), "1:abf 3:cde", id="not under a tier smaller than all need"),
        pytest.param((2, 2), "", id="two are no group"),
        pytest.param((), "", id="nobody"),
    ],
)
def test_too_few_go_down_and_to_the_weakest_others_come(tiers, groups) -> None:
    assert shown(settle(fleet_of(*tiers), by_name)) == groups


def test_a_group_in_between_takes_in_who_goes_down() -> None:
    assert shown(settle(fleet_of(0, 0, 0, 1, 1, 2), by_name)) == "0:abc 1:def"


def test_who_carries_a_larger_tier_and_not_the_next_smaller_goes_further_down() -> None:
    """The larger one asks less memory, say."""
    carried = fleet_of(0, 0, 0, 1, 1, 1) | {DeviceId("x"): (0, 2)}
    assert shown(settle(carried, by_name)) == "0:abcx 1:def"


def test_who_carries_only_a_tier_that_too_few_carry_is_in_no_group() -> None:
    carried = fleet_of(0, 0, 0) | {DeviceId("x"): (2,)}
    assert shown(settle(carried, by_name)) == "0:abc"


ladders = st.lists(st.integers(0, 4), max_size=25).map(
    lambda tiers: {DeviceId(f"d{n:02}"): tuple(range(most + 1)) for n, most in enumerate(tiers)}
)
anything = st.lists(st.sets(st.integers(0, 4), min_size=1), max_size=25).map(
    lambda sets: {DeviceId(f"d{n:02}"): tuple(sorted(tiers)) for n, tiers in enumerate(sets)}
)


def last(device: DeviceId, _tier: int) -> float:
    return float(device[1:])


@given(ladders | anything)
@settings(deadline=None)
def test_groups_of_three_who_all_carry_their_tier_and_no_larger_one(carried) -> None:
    groups = settle(carried, last)
    placed = [device for group in groups.values() for device in group]
    assert len(placed) == len(set(placed))
    assert list(groups) == sorted(groups)
    for tier, devices in groups.items():
        assert len(devices) >= 3
        assert tier == max(set.intersection(*(set(carried[device]) for device in devices)))


@given(ladders)
@settings(deadline=None)
def test_on_a_ladder_everybody_has_a_place_where_three_are(carried) -> None:
    placed = sum(len(group) for group in settle(carried, last).values())
    assert placed == (len(carried) if len(carried) >= 3 else 0)


@given(ladders | anything)
@settings(deadline=None)
def test_a_tier_that_enough_carry_at_most_is_theirs(carried) -> None:
    """Where each tier has nobody or three of its own, nobody is moved."""
    counts = Counter(tiers[-1] for tiers in carried.values())
    enough = {device: tiers for device, tiers in carried.items() if counts[tiers[-1]] >= 3}
    assert {d: tier for tier, group in settle(enough, last).items() for d in group} == {
        device: tiers[-1] for device, tiers in enough.items()
    }


@given(ladders)
@settings(deadline=None)
def test_no_more_come_down_than_a_group_has_to_have(carried) -> None:
    """Two are the most, but where the groups above can spare too few of theirs."""
    groups = settle(carried, last)
    group_of = {device: tier for tier, group in groups.items() for device in group}
    fetched = [d for d, tiers in carried.items() if d in group_of and group_of[d] < tiers[-1] and tiers[-1] in groups]
    assert len(fetched) <= 2
