"""A ladder of any learners."""

import functools
import tomllib

import msgspec
import numpy as np
import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.core.hardware import HardwareEnvelope, HardwareProfile
from tierwise.core.tiers import RoundLimits, Tier
from tierwise.plugins import Plugins
from tierwise.plugins.testing import REGRESSION_TASK, TASK, check_tier_provider
from tierwise.runtime.config import parse_config

LIMITS = RoundLimits(deadline_s=10.0, samples=1000)
RUNGS = [
    {"learner": "sklearn-linear"},
    {"learner": "sklearn-mlp", "options": {"hidden": [16]}},
    {"learner": "mlp", "options": {"hidden": [64, 64]}, "name": "deep"},
]


@functools.cache
def plugins() -> Plugins:
    return Plugins.discover()


def ladder(*rungs: object, where: str = "tiers"):
    return plugins().tier_provider("ladder", {"rungs": list(rungs)}, where=where)


@pytest.mark.parametrize("task", [TASK, REGRESSION_TASK], ids=["classes", "numbers"])
def test_conformance(task) -> None:
    check_tier_provider(ladder(*RUNGS), task, plugins())


def test_conformance_of_models_that_cost_the_same() -> None:
    same = [{"learner": "mlp", "options": {"learning_rate": rate}, "name": f"rate-{rate}"} for rate in (0.1, 0.01)]
    check_tier_provider(ladder(*same), TASK, plugins())


def test_a_tier_is_what_its_learner_says_and_has_all_of_its_options() -> None:
    offers = ladder(*RUNGS).offers(TASK)
    assert [(tier.name, tier.learner) for tier in offers] == [
        ("sklearn-linear", "sklearn-linear"),
        ("sklearn-mlp", "sklearn-mlp"),
        ("deep", "mlp"),
    ]
    assert offers[2].options["hidden"] == [64, 64]
    assert offers[2].options["learning_rate"] == 0.1  # a device with other defaults computes the same
    for tier in offers:
        learner = plugins().learner(tier.learner, tier.options, TASK)
        assert (tier.layout, tier.cost) == (learner.layout, learner.cost)
        assert np.array_equal(ladder(*RUNGS).initial(TASK, tier, 7).buffer, learner.initial(7).buffer)
        assert msgspec.json.decode(msgspec.json.encode(tier), type=Tier) == tier


def test_the_last_that_the_weakest_device_carries_is_chosen() -> None:
    provider = ladder(*RUNGS)

    def chosen(flops: float) -> str:
        profile = HardwareProfile.declared(
            cpu_flops=flops, memory_bytes=1e12, uplink_bytes_per_s=1e9, downlink_bytes_per_s=1e9
        )
        return provider.choose(TASK, HardwareEnvelope.of([profile] * 3), LIMITS).name

    assert [chosen(flops) for flops in (1.0, 2e4, 4e5, 4e6)] == [
        "sklearn-linear",
        "sklearn-linear",
        "sklearn-mlp",
        "deep",
    ]


def fault(text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        parse_config(tomllib.loads(f"[tiers]\nprovider = 'ladder'\n{text}"), "run.toml", plugins())
    return caught.value


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        (
            "rungs = [{learner = 'mlp'}, {learner = 'mlp', name = 'big', options = {hidden = [0]}}]",
            "tiers.rungs.1.options.hidden",
            "option 'hidden' of learner 'mlp' is [0]",
        ),
        (
            "[[tiers.rungs]]\nlearner = 'sklearn-mpl'",
            "tiers.rungs.0.learner",
            "there is no learner named 'sklearn-mpl' (did you mean 'sklearn-mlp'?)",
        ),
        ("rungs = []", "tiers.rungs", "option 'rungs' of tier provider 'ladder' is []"),
        ("", "tiers.rungs", "tier provider 'ladder' needs the option 'rungs'"),
        ("rungs = [{learner = 'mlp', nam = 'x'}]", "tiers.rungs", "option 'rungs' of tier provider 'ladder' is"),
        (
            "rungs = [{learner = 'mlp'}, {learner = 'mlp'}]",
            "tiers",
            "tier provider 'ladder' does not accept",
        ),
    ],
)
def test_a_fault_names_the_key(text: str, key: str, message: str) -> None:
    error = fault(text)
    assert error.key == key
    assert str(error).startswith(f"run.toml: {key}: {message}")


def test_two_rungs_of_one_name() -> None:
    assert "two rungs are called 'mlp'; give each a name of its own" in str(
        fault("rungs = [{learner = 'mlp'}, {learner = 'mlp', options = {hidden = [9]}}]")
    )


def test_rungs_in_the_wrong_order_are_refused() -> None:
    provider = ladder(RUNGS[2], RUNGS[0])
    with pytest.raises(ConfigurationError, match=r"tiers\.rungs\.0: tier 'deep' .* stands before 'sklearn-linear'"):
        provider.offers(TASK)
