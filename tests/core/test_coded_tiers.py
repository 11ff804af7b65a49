"""Tiers whose updates are coded: what they cost, and which are chosen."""

import msgspec
import pytest

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.coded_tiers import CodedTiers
from tierwise.core.hardware import HardwareEnvelope, HardwareProfile
from tierwise.core.standardised_tiers import StandardisedTiers
from tierwise.core.task import Task
from tierwise.core.tiers import CodecChoice, RoundLimits, Tier
from tierwise.plugins.codecs.int8 import Int8Codec, Int8Options
from tierwise.plugins.codecs.plain import Float32Codec
from tierwise.plugins.testing import check_tier_provider
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider

TASK = Task(name="t", features=20, classes=("a", "b"))
STANDARDISED = msgspec.structs.replace(TASK, standardise=True)
PROVIDER = StandardisedTiers(MlpTierProvider(MlpLadderOptions(hidden=((8,), (64,), (512,)))))
INT8 = CodecChoice(name="int8", options={"error_feedback": True})


def coded(feedback=True):
    return CodedTiers(PROVIDER, Int8Codec(Int8Options(error_feedback=feedback)), INT8)


@pytest.mark.parametrize("task", [TASK, STANDARDISED])
def test_an_update_takes_what_its_frame_has(task):
    for plain, tier in zip(PROVIDER.offers(task), coded().offers(task), strict=True):
        layout = tier.layout.aggregated
        assert tier.codec == INT8
        assert tier.cost.update_bytes == CodedUpdates(Int8Codec(Int8Options()), "int8", layout).update_bytes
        assert tier.cost.update_bytes < plain.cost.update_bytes == plain.cost.bytes == tier.cost.bytes
        assert tier.cost.memory_bytes == plain.cost.memory_bytes + 4 * layout.size


def test_without_feedback_no_memory_is_taken():
    for plain, tier in zip(PROVIDER.offers(TASK), coded(feedback=False).offers(TASK), strict=True):
        assert tier.cost.memory_bytes == plain.cost.memory_bytes


def test_uncoded_tiers_are_the_providers_own():
    tiers = CodedTiers(PROVIDER, Float32Codec(), CodecChoice())
    assert tiers.offers(TASK) == PROVIDER.offers(TASK)


@pytest.mark.parametrize("task", [TASK, STANDARDISED])
def test_a_thin_uplink_carries_a_larger_tier(task):
    largest = PROVIDER.offers(task)[-1]
    slow = largest.cost.bytes / 10  # 10 s for a model, 3 s for an update in int8
    profile = HardwareProfile.declared(
        cpu_flops=1e15, memory_bytes=1e12, downlink_bytes_per_s=1e12, uplink_bytes_per_s=slow
    )
    limits = RoundLimits(deadline_s=4.0, samples=10)
    envelope = HardwareEnvelope.of([profile])
    chosen = coded().choose(task, envelope, limits)
    assert chosen.name == largest.name != PROVIDER.choose(task, envelope, limits).name
    assert chosen in coded().offers(task)


@pytest.mark.parametrize("task", [TASK, STANDARDISED])
def test_traffic_counts_what_is_sent(task):
    smallest = coded().offers(task)[0]
    profile = HardwareProfile.declared(cpu_flops=1e15, memory_bytes=1e12)
    enough = smallest.cost.bytes + smallest.cost.update_bytes
    for allowed, carried in ((enough, True), (enough - 1, False)):
        limits = RoundLimits(deadline_s=1e9, samples=1, traffic_bytes=allowed)
        assert (not limits.excesses(smallest.cost, profile)) == carried
        assert limits.predict(smallest.cost, profile).traffic_bytes == enough


def test_what_a_group_starts_from_is_the_providers():
    for plain, tier in zip(PROVIDER.offers(STANDARDISED), coded().offers(STANDARDISED), strict=True):
        assert coded().initial(STANDARDISED, tier, 3) == PROVIDER.initial(STANDARDISED, plain, 3)


def test_they_keep_the_contract_of_providers():
    check_tier_provider(coded(), TASK)


def test_a_tier_of_an_older_log_is_uncoded():
    tier = PROVIDER.offers(TASK)[0]
    plain = msgspec.to_builtins(tier)
    del plain["codec"], plain["cost"]["upload_bytes"]
    assert msgspec.convert(plain, Tier) == tier
