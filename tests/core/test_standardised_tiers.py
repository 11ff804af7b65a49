"""Tiers with the static tensors: offered, chosen and begun with what they cost."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.errors import LayoutError
from tierwise.core.framing import to_bytes
from tierwise.core.hardware import HardwareEnvelope, HardwareProfile, Quantity
from tierwise.core.standardised_tiers import StandardisedTiers
from tierwise.core.standardising import DEVIATION, MEAN
from tierwise.core.task import Task
from tierwise.core.tiers import RoundLimits, fits
from tierwise.core.weights import Layout, Role, Weights
from tierwise.plugins.testing import check_tier_provider
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider

TASK = Task(name="wide", features=30, classes=("a", "b"), standardise=True)
PLAIN = msgspec.structs.replace(TASK, standardise=False)
OWN = MlpTierProvider(MlpLadderOptions(hidden=((4,), (8,), (32,))))
TIERS = StandardisedTiers(OWN)
QUICK = HardwareProfile(
    quantities={
        name: Quantity(value=1e12)
        for name in ("cpu_flops", "memory_bytes", "downlink_bytes_per_s", "uplink_bytes_per_s")
    }
)


def test_an_offers_bytes_are_those_of_its_model_on_the_wire() -> None:
    for tier in TIERS.offers(TASK):
        model = TIERS.initial(TASK, tier, 1)
        assert model.layout == tier.layout
        assert [spec.name for spec in tier.layout.part(Role.STATIC).tensors] == [DEVIATION, MEAN]
        assert 0 <= tier.cost.bytes - len(to_bytes(model)) < 16  # padding


def test_a_tasks_own_tiers_stay_as_they_are_without_standardise() -> None:
    assert list(TIERS.offers(PLAIN)) == list(OWN.offers(PLAIN))
    assert TIERS.initial(PLAIN, OWN.offers(PLAIN)[0], 1) == OWN.initial(PLAIN, OWN.offers(PLAIN)[0], 1)


@given(st.integers(0, 12_000))
def test_the_choice_is_the_largest_that_fits_with_all_that_travels(traffic: int) -> None:
    limits, envelope = RoundLimits(deadline_s=60, samples=10, traffic_bytes=traffic), HardwareEnvelope.of([QUICK] * 3)
    offers = TIERS.offers(TASK)
    fitting = [tier for tier in offers if fits(tier.cost, envelope, limits)]
    assert TIERS.choose(TASK, envelope, limits) == (fitting or offers)[-1 if fitting else 0]


def test_it_is_a_tier_provider_like_any_other_for_a_plain_task() -> None:
    check_tier_provider(TIERS, PLAIN)


def test_weights_of_another_layout_are_refused() -> None:
    class Wrong(MlpTierProvider):
        def initial(self, task: Task, tier: object, seed: int) -> Weights:
            return Weights.zeros(Layout.of({"other": (1,)}))

    tiers = StandardisedTiers(Wrong(MlpLadderOptions(hidden=((4,),))))
    with pytest.raises(LayoutError, match="the initial model of tier 'mlp-4'"):
        tiers.initial(TASK, tiers.offers(TASK)[0], 1)
