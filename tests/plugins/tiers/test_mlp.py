"""The ladder of multi-layer perceptrons."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.hardware import HardwareEnvelope, HardwareProfile
from tierwise.core.task import Task
from tierwise.core.tiers import RoundLimits, Tier, fits
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.plugins.testing import REGRESSION_TASK, check_tier_provider
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider

TASK = Task(name="digits", features=64, classes=tuple("0123456789"), scale=16.0)
LIMITS = RoundLimits(deadline_s=10.0, samples=1000)
PROVIDER = MlpTierProvider(MlpLadderOptions())


def envelope_of(**quantities: float) -> HardwareEnvelope:
    return HardwareEnvelope.of([HardwareProfile.declared(**quantities)] * 3)


def test_conformance() -> None:
    check_tier_provider(PROVIDER)


def test_conformance_for_numbers() -> None:
    check_tier_provider(PROVIDER, REGRESSION_TASK)


def test_conformance_of_a_ladder_of_depths() -> None:
    check_tier_provider(MlpTierProvider(MlpLadderOptions(hidden=((64, 64), (), (16,)))))


def test_offers_go_from_the_smallest_to_the_largest() -> None:
    options = msgspec.convert({"hidden": [[256, 256], [1024], [], [8]]}, MlpLadderOptions)  # as TOML gives it
    offers = MlpTierProvider(options).offers(TASK)
    assert [tier.name for tier in offers] == ["mlp-8", "mlp-linear", "mlp-1024", "mlp-256x256"]
    assert [tier.cost.parameters for tier in offers] == [610, 650, 76_810, 85_002]


def test_an_offer_is_what_the_learner_makes_of_its_options() -> None:
    shared = {"learning_rate": 0.25, "batch_size": 4, "proximal": 0.5, "target_centre": 0.0, "target_scale": 1.0}
    provider = MlpTierProvider(msgspec.convert({"hidden": [[16, 8]], **shared}, MlpLadderOptions))
    (tier,) = provider.offers(TASK)
    assert tier.learner == "mlp"
    assert tier.options == {"hidden": [16, 8], **shared}
    learner = MlpLearner(msgspec.convert(tier.options, MlpOptions), TASK)
    assert (tier.layout, tier.cost) == (learner.layout, learner.cost)
    assert provider.initial(TASK, tier, 7) == learner.initial(7)


def test_a_tier_survives_the_log() -> None:
    for tier in PROVIDER.offers(TASK):
        assert msgspec.json.decode(msgspec.json.encode(tier), type=Tier) == tier


def test_the_deadline_of_the_slowest_device_decides() -> None:
    links = {"downlink_bytes_per_s": 1e9, "uplink_bytes_per_s": 1e9, "memory_bytes": 1e12}
    names = [PROVIDER.choose(TASK, envelope_of(cpu_flops=f, **links), LIMITS).name for f in (1, 1e6, 4e6, 2e7, 4e8)]
    # 1,000 samples in 10 s take 0.47e6, 1.9e6, 7.6e6 and 31e6 FLOP/s; the smallest is given even to the slowest.
    assert names == ["mlp-8", "mlp-8", "mlp-32", "mlp-128", "mlp-512"]


def test_memory_decides() -> None:
    largest = PROVIDER.offers(TASK)[-1]
    quick = {"cpu_flops": 1e15, "downlink_bytes_per_s": 1e12, "uplink_bytes_per_s": 1e12}
    enough = envelope_of(memory_bytes=largest.cost.memory_bytes, **quick)
    short = envelope_of(memory_bytes=largest.cost.memory_bytes - 1, **quick)
    assert PROVIDER.choose(TASK, enough, LIMITS) == largest
    assert PROVIDER.choose(TASK, short, LIMITS) == PROVIDER.offers(TASK)[-2]


amounts = st.floats(min_value=1, max_value=1e13)


@given(amounts, amounts, amounts, st.floats(min_value=1, max_value=1000))
def test_the_largest_that_fits_and_never_less_for_more(flops: float, memory: float, link: float, factor: float) -> None:
    def chosen(times: float) -> int:
        envelope = envelope_of(
            cpu_flops=times * flops,
            memory_bytes=times * memory,
            downlink_bytes_per_s=times * link,
            uplink_bytes_per_s=times * link,
        )
        tier = PROVIDER.choose(TASK, envelope, LIMITS)
        fitting = [offer for offer in PROVIDER.offers(TASK) if fits(offer.cost, envelope, LIMITS)]
        assert tier == (fitting[-1] if fitting else PROVIDER.offers(TASK)[0])
        return tier.cost.parameters

    assert chosen(factor) >= chosen(1)


@pytest.mark.parametrize("hidden", [[], [[8], [8]], [[8, 0]]])
def test_a_ladder_without_rungs_or_with_one_twice_is_refused(hidden: list[list[int]]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"hidden": hidden}, MlpLadderOptions)
