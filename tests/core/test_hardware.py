"""Quantities, profiles, the envelope of a group, and the table that grouping policies work on."""

import math

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.hardware import (
    DEFAULTS,
    HardwareEnvelope,
    HardwareProfile,
    Origin,
    Quantity,
    Range,
    fleet_table,
)
from tierwise.core.ids import DeviceId

quantities = st.builds(Quantity, value=st.floats(0, 1e15), origin=st.sampled_from(Origin))
profiles = st.builds(
    HardwareProfile,
    quantities=st.dictionaries(st.sampled_from(["cpu_flops", "memory_bytes", "power_w", "gpu_flops"]), quantities),
)
fleets = st.lists(profiles, min_size=1, max_size=6)


# -- quantities and profiles


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_a_quantity_is_finite_and_not_negative(value: float) -> None:
    with pytest.raises(ValueError, match=r"a finite number of at least 0, got"):
        Quantity(value=value)


def test_bad_quantities_are_refused_when_they_are_read_too() -> None:
    for text in (b'{"quantities":{"cpu_flops":{"value":-1}}}', b'{"quantities":{"device":{"value":1}}}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(text, type=HardwareProfile)


@pytest.mark.parametrize("name", ["", "device", "CPU", "a b", "ä", "x" * 65, "1st", "a-b"])
def test_a_name_that_cannot_be_a_column_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a quantity"):
        HardwareProfile(quantities={name: Quantity(value=1.0)})


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [("battery_ratio", 87.0, "a ratio is from 0 to 1, got 87.0"), ("mains_bool", 0.5, "a bool is 0 or 1, got 0.5")],
)
def test_a_value_that_does_not_suit_its_unit_is_refused(name: str, value: float, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: {fault}$"):
        HardwareProfile.declared(**{name: value})
    for allowed in (0.0, 1.0):
        assert HardwareProfile.declared(**{name: allowed}).value(name) == allowed


def test_a_declared_profile_says_so() -> None:
    profile = HardwareProfile.declared(power_w=5.0)
    assert profile.quantities == {"power_w": Quantity(value=5.0, origin=Origin.DECLARED)}


def test_what_is_not_known_has_its_default() -> None:
    profile = HardwareProfile.declared(cpu_flops=7e9)
    assert profile.value("cpu_flops") == 7e9
    assert profile.value("memory_bytes") == DEFAULTS["memory_bytes"]
    with pytest.raises(KeyError, match="power_w"):
        profile.value("power_w")


def test_the_other_profile_is_put_over_this_one() -> None:
    below = HardwareProfile.declared(cpu_flops=1.0, memory_bytes=2.0)
    above = HardwareProfile(quantities={"cpu_flops": Quantity(value=9.0)})
    assert below.merged(above).quantities == {**below.quantities, **above.quantities}
    assert below.merged(above).value("cpu_flops") == 9.0


@given(profiles)
@settings(deadline=None)
def test_a_completed_profile_keeps_what_it_knows_and_marks_what_is_assumed(profile: HardwareProfile) -> None:
    completed = profile.completed()
    assert completed.quantities.keys() == profile.quantities.keys() | DEFAULTS.keys()
    for name, quantity in completed.quantities.items():
        if name in profile.quantities:
            assert quantity == profile.quantities[name]
        else:
            assert quantity == Quantity(value=DEFAULTS[name], origin=Origin.DEFAULT)
    assert completed.completed() == completed


# -- envelopes


def test_an_envelope_is_what_all_devices_have() -> None:
    envelope = HardwareEnvelope.of(
        [
            HardwareProfile.declared(cpu_flops=4e9, power_w=5.0, gpu_flops=1e12),
            HardwareProfile.declared(cpu_flops=2e9, power_w=9.0),
        ]
    )
    assert envelope.devices == 2
    assert envelope.ranges["cpu_flops"] == Range(least=2e9, greatest=4e9)
    assert envelope.ranges["power_w"] == Range(least=5.0, greatest=9.0)
    assert "gpu_flops" not in envelope.ranges
    assert envelope.least("cpu_flops") == 2e9
    assert envelope.least("memory_bytes") == DEFAULTS["memory_bytes"]


def test_an_envelope_without_a_quantity_falls_back_to_the_default() -> None:
    assert HardwareEnvelope(devices=3, ranges={}).least("cpu_flops") == DEFAULTS["cpu_flops"]
    with pytest.raises(KeyError, match="power_w"):
        HardwareEnvelope(devices=3, ranges={}).least("power_w")


@given(fleets)
@settings(deadline=None)
def test_every_device_is_within_the_envelope_and_some_device_is_at_each_end(fleet: list[HardwareProfile]) -> None:
    envelope = HardwareEnvelope.of(fleet)
    assert envelope.devices == len(fleet)
    assert DEFAULTS.keys() <= envelope.ranges.keys()
    for name, found in envelope.ranges.items():
        values = [profile.completed().quantities[name].value for profile in fleet]
        assert found == Range(least=min(values), greatest=max(values))


@given(fleets, st.randoms())
@settings(deadline=None)
def test_the_order_of_devices_does_not_matter(fleet: list[HardwareProfile], random) -> None:
    shuffled = fleet.copy()
    random.shuffle(shuffled)
    assert HardwareEnvelope.of(shuffled) == HardwareEnvelope.of(fleet)


@given(fleets, profiles)
@settings(deadline=None)
def test_one_more_device_widens_ranges_and_adds_none(fleet: list[HardwareProfile], more: HardwareProfile) -> None:
    narrow, wide = HardwareEnvelope.of(fleet), HardwareEnvelope.of([*fleet, more])
    assert wide.ranges.keys() <= narrow.ranges.keys()
    for name, found in wide.ranges.items():
        assert found.least <= narrow.ranges[name].least
        assert found.greatest >= narrow.ranges[name].greatest


@given(profiles)
@settings(deadline=None)
def test_the_envelope_of_one_device_is_that_device(profile: HardwareProfile) -> None:
    ranges = HardwareEnvelope.of([profile]).ranges
    assert {name: found.least for name, found in ranges.items()} == {
        name: quantity.value for name, quantity in profile.completed().quantities.items()
    }
    assert all(found.least == found.greatest for found in ranges.values())


# -- the fleet's table


def test_the_table_has_a_sorted_row_for_each_device_and_a_column_for_each_quantity() -> None:
    table = fleet_table(
        {
            DeviceId("b"): HardwareProfile.declared(cpu_flops=2e9, power_w=5),
            DeviceId("a"): HardwareProfile.declared(cpu_flops=1e9),
        }
    )
    assert table.columns == ["device", *sorted([*DEFAULTS, "power_w"])]
    assert table.schema == {"device": pl.String, **dict.fromkeys(table.columns[1:], pl.Float64)}
    assert table["device"].to_list() == ["a", "b"]
    assert table["cpu_flops"].to_list() == [1e9, 2e9]
    assert table["memory_bytes"].to_list() == [DEFAULTS["memory_bytes"]] * 2
    assert table["power_w"].to_list() == [None, 5.0]


@given(st.dictionaries(st.sampled_from([DeviceId(name) for name in "abcde"]), profiles), st.randoms())
@settings(deadline=None)
def test_the_table_does_not_depend_on_the_order_of_devices(fleet: dict[DeviceId, HardwareProfile], random) -> None:
    items = list(fleet.items())
    random.shuffle(items)
    assert fleet_table(dict(items)).equals(fleet_table(fleet))
    assert fleet_table(fleet)["device"].to_list() == sorted(fleet)
