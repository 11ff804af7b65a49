"""Classes of devices: for any fleet, and never so small that they show a single device."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.runtime.device_classes import device_classes


def fleet(*flops: float | None) -> dict[DeviceId, HardwareProfile]:
    return {
        DeviceId(f"d{number}"): HardwareProfile() if rate is None else HardwareProfile.declared(cpu_flops=rate)
        for number, rate in enumerate(flops)
    }


def shown(profiles, kinds=None) -> dict[str, str]:
    return {one.name: " ".join(one.devices) for one in device_classes(profiles, kinds)}


@pytest.mark.parametrize(
    ("flops", "classes"),
    [
        ([1e9, 9e9, 9.99e9, 1e10, 2e10, 9e10], {"1 to 10 GFLOP/s": "d0 d1 d2", "10 to 100 GFLOP/s": "d3 d4 d5"}),
        ([2e11] * 3, {"100 GFLOP/s to 1 TFLOP/s": "d0 d1 d2"}),
        ([1e5, 3e5, 9e5], {"100 kFLOP/s to 1 MFLOP/s": "d0 d1 d2"}),
        ([0, 0.5, 5], {"1 to 10 FLOP/s": "d0 d1 d2"}),
        ([3e17] * 3, {"100 to 1,000 PFLOP/s": "d0 d1 d2"}),
        ([None, None, 4e8], {"100 MFLOP/s to 1 GFLOP/s": "d0 d1 d2"}),  # the default
        ([1e9] * 3 + [1e10] * 2, {"1 to 100 GFLOP/s": "d0 d1 d2 d3 d4"}),  # joined with the weaker
        ([1e9] * 2 + [1e11] * 3, {"1 GFLOP/s to 1 TFLOP/s": "d0 d1 d2 d3 d4"}),  # there is no weaker one
        ([1e8, 1e9, 1e10, 2e10, 3e10, 4e10], {"100 MFLOP/s to 100 GFLOP/s": "d0 d1 d2 d3 d4 d5"}),
        ([1e9, 1e9], {}),
        ([], {}),
    ],
)  # fmt: skip
def test_a_class_is_a_decade_of_compute(flops, classes) -> None:
    assert shown(fleet(*flops)) == classes


def test_a_class_is_a_kind_where_all_kinds_are_known() -> None:
    profiles = fleet(1e9, 2e9, 3e9, 5e11, 6e11, 7e11, 5e10)
    kinds = dict(zip(profiles, ["board"] * 3 + ["desktop"] * 3 + ["laptop"], strict=True))
    assert shown(profiles, kinds) == {"board, laptop": "d0 d1 d2 d6", "desktop": "d3 d4 d5"}
    del kinds["d6"]
    assert shown(profiles, kinds) == {"1 to 100 GFLOP/s": "d0 d1 d2 d6", "100 GFLOP/s to 1 TFLOP/s": "d3 d4 d5"}


@given(
    st.lists(st.floats(0, 1e16), max_size=40),
    st.one_of(st.none(), st.lists(st.sampled_from(["board", "laptop", "desktop"]), min_size=40, max_size=40)),
)
def test_every_device_is_in_one_class_of_three_or_more(flops, kinds) -> None:
    profiles = fleet(*flops)
    classes = device_classes(profiles, None if kinds is None else dict(zip(profiles, kinds, strict=False)))
    assert all(len(one.devices) >= 3 for one in classes)
    listed = [device for one in classes for device in one.devices]
    assert sorted(listed) == (sorted(profiles) if len(profiles) >= 3 else [])
    assert len({one.name for one in classes}) == len(classes)
    if kinds is None:  # the classes do not overlap
        ends = [sorted(profiles[device].value("cpu_flops") for device in one.devices) for one in classes]
        assert all(weaker[-1] < stronger[0] for weaker, stronger in itertools.pairwise(ends))
