"""Plugins in a file of their own, as a worker process has to import them: learners that do what tests need."""

import os
import time
import uuid
from pathlib import Path

import msgspec
import numpy as np

from tierwise.core.ids import TierName
from tierwise.core.learning import Dataset, Fit
from tierwise.core.metrics import Metric
from tierwise.core.tiers import Tier
from tierwise.core.weights import Layout, Role, TensorSpec, Weights
from tierwise.plugins import hookimpl
from tierwise.plugins.descriptors import Kind, PluginDescriptor
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions

MARKS = "TIERWISE_TEST_MARKS"
"""Names the directory where each fit that begins leaves a file."""


class LocalLearner:
    """Has many tensors that stay on the device, and what it learns depends on them."""

    def __init__(self, options: MlpOptions, task) -> None:
        self._inner = MlpLearner(options, task)
        own = [TensorSpec(name=f"norm.{number:03}", shape=(task.features,), role=Role.LOCAL) for number in range(100)]
        self.layout = Layout(tuple(sorted([*self._inner.layout.tensors, *own], key=lambda tensor: tensor.name)))
        self.cost = self._inner.cost

    def initial(self, seed):
        return Weights.zeros(self.layout).replaced(self._inner.initial(seed))

    def fit(self, weights, data, *, seed, budget, stop):
        fit = self._inner.fit(
            weights.part(Role.AGGREGATE), self._moved(weights, data), seed=seed, budget=budget, stop=stop
        )
        trained = weights.copy().replaced(fit.weights)
        for name, tensor in trained.items():
            if name.startswith("norm."):
                tensor += data.features.mean(axis=0)
        trained["norm.001"][:] = [np.float32(-0.0)] * 4
        return Fit(trained, fit.samples)

    def evaluate(self, weights, data):
        return self._inner.evaluate(weights.part(Role.AGGREGATE), self._moved(weights, data))

    def _moved(self, weights, data):
        return Dataset(data.features - weights["norm.000"], data.labels)


class FailingLearner(MlpLearner):
    """Cannot train where most of the data are of the first class."""

    def fit(self, weights, data, **more):
        if (data.labels == 0).mean() > 0.4:
            raise ValueError("too much of one kind")
        return super().fit(weights, data, **more)


class UnmadeLearner(MlpLearner):
    """Cannot be made."""

    def __init__(self, options: MlpOptions, task) -> None:
        raise RuntimeError("not today")


class SlowLearner(MlpLearner):
    """Never ends by itself."""

    def fit(self, weights, data, *, seed, budget, stop):
        mark()
        while True:
            stop.check()
            time.sleep(0.001)


class DeafLearner(MlpLearner):
    """Does not even look whether it shall stop."""

    def fit(self, weights, data, **more):
        mark()
        time.sleep(1000)


class StrangeLearner(MlpLearner):
    """Measures with numbers that no message can carry."""

    def evaluate(self, weights, data):
        return {
            name: Metric(sum=np.float32(one.sum), count=one.count)
            for name, one in super().evaluate(weights, data).items()
        }


def mark() -> None:
    if MARKS in os.environ:
        (Path(os.environ[MARKS]) / uuid.uuid4().hex).touch()


LEARNERS = {
    "local": LocalLearner,
    "failing": FailingLearner,
    "unmade": UnmadeLearner,
    "slow": SlowLearner,
    "deaf": DeafLearner,
    "strange": StrangeLearner,
}


class OneTierOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which learner."""

    learner: str = "local"


class OneTier:
    """Everybody gets the same."""

    def __init__(self, options: OneTierOptions) -> None:
        self._name = options.learner

    def offers(self, task):
        known = self._learner(task)
        return [Tier(name=TierName(self._name), learner=self._name, options={}, layout=known.layout, cost=known.cost)]

    def choose(self, task, envelope, limits):
        return self.offers(task)[0]

    def initial(self, task, tier, seed):
        return self._learner(task).initial(seed)

    def _learner(self, task):
        return (LocalLearner if self._name == "local" else MlpLearner)(MlpOptions(), task)


@hookimpl
def tierwise_learners():
    return [
        PluginDescriptor(
            kind=Kind.LEARNER,
            name=name,
            target=f"{__name__}:{cls.__name__}",
            options="tierwise.plugins.learners.mlp:MlpOptions",
            summary="For tests.",
        )
        for name, cls in LEARNERS.items()
    ]


@hookimpl
def tierwise_tier_providers():
    return [
        PluginDescriptor(
            kind=Kind.TIER_PROVIDER,
            name="one",
            target=f"{__name__}:OneTier",
            options=f"{__name__}:OneTierOptions",
            summary="For tests.",
        )
    ]
