"""The contracts are checked by tierwise; the rest of this file tests what is the pack's own."""

import numpy as np
from tierwise_policy_pack.bands import MemoryBandsOptions, MemoryBandsPolicy
from tierwise_policy_pack.winsorized import WinsorizedMeanOptions, WinsorizedMeanReducer

from tierwise.core.hardware import HardwareProfile, fleet_table
from tierwise.core.tiers import RoundLimits
from tierwise.plugins.testing import check_grouping_policy, check_reducer


def test_the_grouping_policy_keeps_its_contract():
    check_grouping_policy(MemoryBandsPolicy(MemoryBandsOptions()))


def test_the_reducer_keeps_its_contract():
    check_reducer(WinsorizedMeanReducer(WinsorizedMeanOptions()))


def test_a_band_of_two_joins_the_weaker_one():
    gigabytes = {"a": 2, "b": 2, "c": 2, "d": 8, "e": 8, "f": 32, "g": 32, "h": 32}
    fleet = fleet_table({name: HardwareProfile.declared(memory_bytes=1e9 * size) for name, size in gigabytes.items()})
    found = MemoryBandsPolicy(MemoryBandsOptions()).group(fleet, [], RoundLimits(deadline_s=60, samples=100))
    assert found.groups == (("a", "b", "c", "d", "e"), ("f", "g", "h"))


def test_one_wrong_device_in_five_does_no_harm():
    updates = [np.full(4, value, np.float32) for value in (1, 2, 3, 4, -1e30)]
    out = np.empty(4, np.float32)
    WinsorizedMeanReducer(WinsorizedMeanOptions(share=0.2)).reduce(updates, np.array([1, 1, 1, 1, 10**9]), out)
    assert out.tolist() == [2, 2, 2, 2]
