"""Fleets of many small devices, for benchmarks of simulations: two short learners, and hardware for each device.

`copying` hands its weights back: what a simulation takes beyond that is its own. `plain-sgd` is a perceptron with one
hidden layer, written down as one would without any framework, so that the same functions can be called in a bare loop.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierwise.core.hardware import HardwareEnvelope, HardwareProfile
from tierwise.core.ids import DeviceId, TierName
from tierwise.core.learning import Dataset, Fit, FitBudget, LocalData, StopToken
from tierwise.core.metrics import Metric, Metrics
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.task import Task
from tierwise.core.tiers import Cost, RoundLimits, Tier
from tierwise.core.weights import Layout, Weights
from tierwise.plugins import Kind, PluginDescriptor, Plugins, hookimpl
from tierwise.runtime.policies import Choice, Policies
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import Simulation, simulate

VALUES = 10_000
"""Of the model that is copied."""
UNITS = 32
RATE, EPOCHS, BATCH = np.float32(0.2), 2, 5
DIGITS = Task(name="digits", features=64, classes=tuple("0123456789"), metrics=("accuracy",))
Arrays = list[NDArray[np.float32]]


class Pack:
    """Announces the two learners, and a tier of each."""

    @hookimpl
    def tierwise_learners(self) -> list[PluginDescriptor]:
        """Announce the learners."""
        return [_descriptor(Kind.LEARNER, cls) for cls in (Copying, PlainSgd)]

    @hookimpl
    def tierwise_tier_providers(self) -> list[PluginDescriptor]:
        """Announce a provider for each."""
        return [_descriptor(Kind.TIER_PROVIDER, cls) for cls in (CopyingTiers, PlainSgdTiers)]


def _descriptor(kind: Kind, cls: type) -> PluginDescriptor:
    target = f"{cls.__module__}:{cls.__qualname__}"
    return PluginDescriptor(kind=kind, name=cls.name, target=target, summary="For benchmarks.")


def _cost(layout: Layout) -> Cost:
    size = layout.size
    return Cost(
        parameters=size,
        fit_flops_per_sample=6.0 * size,
        evaluate_flops_per_sample=2.0 * size,
        bytes=4 * size,
        memory_bytes=16 * size,
    )


class Copying:
    """Gives each device a copy of what it was sent, with one value that is this device's in this round."""

    name = "copying"
    layout = Layout.of({"values": (VALUES,)})
    cost = _cost(layout)

    def __init__(self, task: Task) -> None:
        self._unmeasured = {name: Metric(sum=0.0, count=0) for name in task.sums}

    def initial(self, _seed: int) -> Weights:
        """Return zeros."""
        return Weights.zeros(self.layout)

    def fit(self, weights: Weights, _data: Dataset, *, seed: int, budget: FitBudget, stop: StopToken) -> Fit:  # noqa: ARG002
        """Copy."""
        stop.check()
        return Fit(copied(weights, seed), 1)

    def evaluate(self, _weights: Weights, _data: Dataset) -> Metrics:
        """Measure nothing."""
        return self._unmeasured


def copied(weights: Weights, seed: int) -> Weights:
    """Return a copy that differs from all others, as what was trained would."""
    after = weights.copy()
    after.buffer[0] = seed % 65_521
    return after


class PlainSgd:
    """64 features, one hidden layer of rectified linear units, a softmax; plain minibatch gradient descent."""

    name = "plain-sgd"

    def __init__(self, task: Task) -> None:
        self.layout = self.initial(0).layout
        self.cost = _cost(self.layout)
        self._task = task

    def initial(self, seed: int) -> Weights:
        """Draw weights."""
        return Weights.of(dict(zip("abcd", drawn(seed), strict=True)))

    def fit(self, weights: Weights, data: Dataset, *, seed: int, budget: FitBudget, stop: StopToken) -> Fit:  # noqa: ARG002
        """Train on all samples, twice."""
        stop.check()
        after = weights.copy()
        trained([after[name] for name in "abcd"], data.features, data.labels)
        return Fit(after, len(data))

    def evaluate(self, weights: Weights, data: Dataset) -> Metrics:
        """Count the hits."""
        hits = float(accuracy([weights[name] for name in "abcd"], data) * len(data)) if len(data) else 0.0
        return {"accuracy": Metric(sum=hits, count=len(data))}


def drawn(seed: int) -> Arrays:
    """Return initial weights."""
    random = np.random.default_rng(seed)
    shapes = ((DIGITS.features, UNITS), (UNITS,), (UNITS, len(DIGITS.classes)), (len(DIGITS.classes),))
    scales = (0.15, 0.0, 0.2, 0.0)
    return [
        (random.standard_normal(shape) * scale).astype(np.float32) for shape, scale in zip(shapes, scales, strict=True)
    ]


def forward(p: Arrays, features: NDArray[np.float32]) -> Arrays:
    """Return the hidden layer's outputs, and the classes' probabilities."""
    hidden = np.maximum(features @ p[0] + p[1], 0)
    scores = hidden @ p[2] + p[3]
    scores -= scores.max(1, keepdims=True)
    exponentials = np.exp(scores)
    return [hidden, exponentials / exponentials.sum(1, keepdims=True)]


def trained(p: Arrays, features: NDArray[np.float32], labels: NDArray[np.int64]) -> Arrays:
    """Train in place."""
    for _ in range(EPOCHS):
        for start in range(0, len(features), BATCH):
            x, t = features[start : start + BATCH], labels[start : start + BATCH]
            hidden, s = forward(p, x)
            s[np.arange(len(t)), t] -= 1
            s /= len(t)
            back = (s @ p[2].T) * (hidden > 0)
            for array, gradient in zip(p, [x.T @ back, back.sum(0), hidden.T @ s, s.sum(0)], strict=True):
                array -= RATE * gradient
    return p


def accuracy(p: Arrays, data: Dataset) -> float:
    """Return the share of hits."""
    return float((forward(p, data.features)[1].argmax(1) == data.labels).mean())


class _OneTier:
    learner: type[Copying] | type[PlainSgd]

    def offers(self, task: Task) -> Sequence[Tier]:
        """Offer one tier."""
        made = self.learner(task)
        name = self.learner.name
        return [Tier(name=TierName(name), learner=name, options={}, layout=made.layout, cost=made.cost)]

    def choose(self, task: Task, _envelope: HardwareEnvelope, _limits: RoundLimits) -> Tier:
        """Give it to everybody."""
        return self.offers(task)[0]

    def initial(self, task: Task, _tier: Tier, seed: int) -> Weights:
        """Return the learner's."""
        return self.learner(task).initial(seed)


class CopyingTiers(_OneTier):
    """Of `Copying`."""

    name, learner = Copying.name, Copying


class PlainSgdTiers(_OneTier):
    """Of `PlainSgd`."""

    name, learner = PlainSgd.name, PlainSgd


def plugins() -> Plugins:
    """Return all that is installed, and the pack."""
    found = Plugins.discover()
    found.register(Pack())
    return found


def alike(_number: int) -> HardwareProfile:
    """Return hardware that all devices have alike: what they do falls on the same moments."""
    return _ALIKE


def unlike(number: int) -> HardwareProfile:
    """Return hardware that no other device has: each thing that a device does falls on a moment of its own."""
    return HardwareProfile.declared(
        cpu_flops=1e9 * (1 + number / 1009),
        memory_bytes=1e9,
        uplink_bytes_per_s=1e6 * (1 + number / 1013),
        downlink_bytes_per_s=1e7 * (1 + number / 1019),
    )


_ALIKE = unlike(0)


def part_of(data: Dataset, number: int, parts: int) -> LocalData:
    """Return a device's part of a data set, all of it for training."""
    rows = slice(number * len(data) // parts, (number + 1) * len(data) // parts)
    mine = Dataset(data.features[rows], data.labels[rows])
    return LocalData(mine, Dataset(mine.features[:0], mine.labels[:0]))


def run(
    learner: type[Copying] | type[PlainSgd],
    devices: dict[DeviceId, DeviceSpec],
    rounds: int,
    *,
    selection: Choice | None = None,
    known: Plugins | None = None,
) -> Simulation:
    """Run one group's federation in this process, from the first hello to the last goodbye."""
    settings = FederationSettings(
        name="crowd",
        task=DIGITS,
        enrolment=EnrolmentSettings(min_devices=len(devices)),
        rounds=RoundSettings(deadline_s=3600.0),
    )
    policies = Policies(
        grouping=Choice(name="quantile", options={"groups": 1}),
        tiers=Choice(name=learner.name),
        selection=selection or Choice(name="all"),
        stop=Choice(name="rounds", options={"rounds": rounds}),
    )
    return simulate(settings, devices, policies=policies, plugins=known or plugins())
