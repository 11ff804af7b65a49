"""What of a device's hardware is worth a report."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.hardware import HardwareProfile, Origin
from tierwise.runtime.own_hardware import OwnHardware, differs_materially
from tierwise.runtime.probing import Reading

NAMES = ("battery_ratio", "mains_bool", "temperature_k", "memory_usable_bytes", "round_trip_s")
UNITS = {"ratio": st.floats(0, 1), "bool": st.sampled_from([0.0, 1.0])}
values = st.fixed_dictionaries(
    {}, optional={name: UNITS.get(name.rpartition("_")[2], st.floats(0, 1e12)) for name in NAMES}
)


def reading(**quantities):
    return Reading(quantities, {}, {})


@pytest.mark.parametrize(
    ("name", "told", "now", "material"),
    [
        ("mains_bool", 1.0, 0.0, True),
        ("mains_bool", 1.0, 1.0, False),
        ("battery_ratio", 0.3, 0.2, True),
        ("battery_ratio", 0.3, 0.21, False),
        ("idle_ratio", 0.0, 0.09, False),
        ("temperature_k", 310.0, 319.0, False),
        ("temperature_k", 320.0, 310.0, True),
        ("memory_usable_bytes", 3e9, 3.9e9, False),
        ("memory_usable_bytes", 3e9, 4e9, True),
        ("memory_usable_bytes", 4e9, 3e9, True),
        ("uplink_bytes_per_s", 0.0, 1.0, True),
        ("uplink_bytes_per_s", 0.0, 0.0, False),
    ],
)
def test_what_is_material(name, told, now, material):
    assert differs_materially(name, told, now) is material
    assert differs_materially(name, now, told) is material


def test_the_first_reading_is_all_news_and_a_trembling_one_is_none():
    own = OwnHardware(HardwareProfile.declared(cpu_flops=9.0))
    assert own.take(reading(cpu_flops=7.0, battery_ratio=0.5, mains_bool=1.0), {}) == {
        "battery_ratio": 0.5,
        "mains_bool": 1.0,
    }
    before = own.profile
    assert before.quantities["cpu_flops"].origin is Origin.DECLARED
    assert own.take(reading(cpu_flops=1.0, battery_ratio=0.45, mains_bool=1.0), {}) == {}
    assert own.profile == before


def test_what_changes_slowly_is_told_when_it_has_come_far_from_what_was_told():
    own = OwnHardware(HardwareProfile())
    own.take(reading(battery_ratio=0.5), {})
    told = [own.take(reading(battery_ratio=0.5 - step / 100), {}) for step in range(1, 21)]
    assert [changed["battery_ratio"] for changed in told if changed] == [0.4, 0.3]


def test_what_is_not_known_any_more_is_news_and_is_not_told_any_more():
    own = OwnHardware(HardwareProfile())
    own.take(reading(battery_ratio=0.5, mains_bool=0.0), {})
    assert own.take(reading(mains_bool=0.0), {}) == {"battery_ratio": None}
    assert list(own.profile.quantities) == ["mains_bool"]


def test_what_is_learnt_of_the_link_wins_over_a_probe_and_what_is_declared_over_both():
    own = OwnHardware(HardwareProfile.declared(uplink_bytes_per_s=5.0))
    learnt = {"uplink_bytes_per_s": 3.0, "downlink_bytes_per_s": 4.0}
    assert own.take(reading(downlink_bytes_per_s=1.0), learnt) == {"downlink_bytes_per_s": 4.0}
    assert own.profile.value("uplink_bytes_per_s") == 5.0
    assert own.profile.quantities["downlink_bytes_per_s"].origin is Origin.MEASURED


@given(st.lists(values, max_size=6))
def test_what_is_told_is_never_materially_false_and_the_same_again_is_no_news(readings):
    own = OwnHardware(HardwareProfile())
    for one in readings:
        own.take(reading(**one), {})
        told = {name: quantity.value for name, quantity in own.profile.quantities.items()}
        assert told.keys() == one.keys()
        assert not any(differs_materially(name, told[name], one[name]) for name in one)
        assert own.take(reading(**one), {}) == {}
