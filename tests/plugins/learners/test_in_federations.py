"""The learners in whole federations, by name."""

import numpy as np

from tests.runtime import helpers
from tierwise.core import events as e
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.policies import AggregatorChoice, Choice
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import Simulation, simulate

LADDER = Choice(
    name="ladder",
    options={
        "rungs": [
            {"learner": "sklearn-linear", "options": {"learning_rate": 0.2}},
            {"learner": "sklearn-mlp", "options": {"hidden": [8], "solver": "adam", "learning_rate": 0.05}},
            {"learner": "mlp", "options": {"hidden": [64], "batch_size": 4}},
        ]
    },
)


def devices() -> dict[DeviceId, DeviceSpec]:
    """Return three groups of three, whose processors carry a rung each."""
    rest = {"memory_bytes": 1e9, "uplink_bytes_per_s": 1e9, "downlink_bytes_per_s": 1e9}
    return {
        name: DeviceSpec(HardwareProfile.declared(cpu_flops=(2e5, 2e6, 1e8)[number // 3], **rest), spec.data)
        for number, (name, spec) in enumerate(helpers.specs().items())
    }


def run(tiers: Choice, *, rounds: int = 3, own: OwnData | None = None, **chosen: Choice) -> Simulation:
    policies = helpers.policies(rounds=rounds, tiers=tiers, aggregation=AggregatorChoice(), **chosen)
    settings = helpers.settings(9, deadline_s=0.015)
    return simulate(settings, devices(), policies=policies, plugins=helpers.plugins(), own=own)


def test_each_group_trains_the_largest_rung_that_it_carries() -> None:
    result = run(LADDER, rounds=10).result
    assert [group.tier.learner for group in result.groups] == ["sklearn-linear", "sklearn-mlp", "mlp"]
    assert min(group.metrics["accuracy"].mean for group in result.groups) > 0.6  # of three classes


def test_a_proximal_term_keeps_updates_near_the_model_they_started_from() -> None:
    def norms(proximal: float) -> list[float]:
        options = {"hidden": [[4]], "proximal": proximal, "learning_rate": 0.5, "batch_size": 2}
        simulation = run(Choice(name="mlp", options=options))
        return [float(np.linalg.norm(group.model.buffer)) for group in simulation.result.groups]

    plain, pulled = norms(0.0), norms(1.5)
    assert all(near < far for near, far in zip(pulled, plain, strict=True))


def test_groups_with_models_of_three_kinds_learn_from_each_other() -> None:
    public = np.concatenate([helpers.data(100 + number).train.features for number in range(4)])
    alone = run(LADDER, rounds=6)
    together = run(LADDER, rounds=6, own=OwnData(public=public), exchange=Choice(name="distill"))
    assert any(isinstance(record.event, e.ModelExchanged) for record in together.records)
    # The strongest has ended before the others have anything to teach.
    pairs = list(zip(alone.result.groups, together.result.groups, strict=True))
    assert [one.model == other.model for one, other in pairs] == [False, False, True]
    assert all(one.tier == other.tier for one, other in pairs)


def test_the_same_seed_gives_the_same_models() -> None:
    models = [[group.model for group in run(LADDER).result.groups] for _ in range(2)]
    assert models[0] == models[1]
