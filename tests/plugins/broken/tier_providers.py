"""Tier providers, right and broken."""

import numpy as np

from tierwise.core.tiers import Cost, Tier, fits
from tierwise.core.weights import Layout, Weights
from tierwise.plugins import Kind, PluginDescriptor, hookimpl


def cost_of(layout, **other):
    costs = {
        "parameters": layout.size,
        "fit_flops_per_sample": 6.0 * layout.size,
        "evaluate_flops_per_sample": 2.0 * layout.size,
        "bytes": 4 * layout.size,
        "memory_bytes": 16 * layout.size,
    }
    return Cost(**(costs | other))


def tier_of(task, width, **other):
    layout = Layout.of({"weight": (task.features, width)})
    return Tier(name=f"wide-{width}", learner="another", options={}, layout=layout, cost=cost_of(layout, **other))


class Right:
    widths = (8, 512, 32768)

    def offers(self, task):
        return [tier_of(task, width) for width in self.widths]

    def fitting(self, task, envelope, limits):
        return [tier for tier in self.offers(task) if fits(tier.cost, envelope, limits)]

    def choose(self, task, envelope, limits):
        return (self.fitting(task, envelope, limits) or self.offers(task)[:1])[-1]

    def initial(self, task, tier, seed):
        random = np.random.default_rng(seed)
        return Weights(tier.layout, random.normal(size=tier.layout.size).astype(np.float32))


class OneSize(Right):
    widths = (64,)


class WithAnotherLearner:
    """A plugin whose learner computes with another model than the tiers have."""

    @hookimpl
    def tierwise_learners(self):
        return [
            PluginDescriptor(
                kind=Kind.LEARNER,
                name="another",
                target="tierwise.plugins.learners.mlp:MlpLearner",
                options="tierwise.plugins.learners.mlp:MlpOptions",
                summary="A perceptron.",
            )
        ]


class Nothing(Right):
    widths = ()


class Grows(Right):
    def choose(self, task, envelope, limits):
        self.widths = (*self.widths, self.widths[-1] * 2)
        return super().choose(task, envelope, limits)


class OneName(Right):
    def offers(self, task):
        first, second, third = super().offers(task)
        return [
            first,
            Tier(**{field: getattr(second, field) for field in second.__struct_fields__} | {"name": first.name}),
            third,
        ]


class LargeFirst(Right):
    widths = (32768, 512, 8)


class WrongBytes(Right):
    def offers(self, task):
        return [tier_of(task, width, bytes=8 * width * task.features + 5000) for width in self.widths]


class MadeToMeasure(Right):
    def choose(self, task, envelope, limits):
        return tier_of(task, 100 * (1 + int(envelope.least("memory_bytes") / 1e9)))


class Alternates(Right):
    """Gives a little less to whoever comes after somebody strong."""

    last = 0.0

    def choose(self, task, envelope, limits):
        memory = envelope.least("memory_bytes")
        came_down, self.last = memory < self.last, memory
        chosen = super().choose(task, envelope, limits)
        smaller = [tier for tier in self.offers(task) if tier.cost.bytes < chosen.cost.bytes]
        return smaller[-1] if came_down and smaller else chosen


class NeverTheSmallest(Right):
    def choose(self, task, envelope, limits):
        return (self.fitting(task, envelope, limits) or self.offers(task)[1:])[
            -1 if self.fitting(task, envelope, limits) else 0
        ]


class IgnoresTheLinks(Right):
    def choose(self, task, envelope, limits):
        memory = envelope.least("memory_bytes")
        fitting = [tier for tier in self.offers(task) if tier.cost.memory_bytes <= memory]
        return (fitting or self.offers(task))[-1 if fitting else 0]


class SavesPowerOnBigMachines(Right):
    def choose(self, task, envelope, limits):
        chosen = super().choose(task, envelope, limits)
        return self.offers(task)[0] if envelope.least("cpu_count") > 1000 else chosen


class WrongLayout(Right):
    def initial(self, task, tier, seed):
        return Weights.zeros(Layout.of({"bias": (task.features, 8)}))


class OneGenerator(Right):
    def __init__(self):
        self.random = np.random.default_rng(0)

    def initial(self, task, tier, seed):
        return super().initial(task, tier, int(self.random.integers(1000)))


RIGHT = {"ladder": Right(), "one size": OneSize()}
BROKEN = {
    "there is an offer": Nothing(),
    "the offers stay the same": Grows(),
    "offers have names of their own": OneName(),
    "offers go from small to large": LargeFirst(),
    "costs match the layouts": WrongBytes(),
    "a choice is on offer": MadeToMeasure(),
    "the same envelope gets the same tier": Alternates(),
    "the weakest get the smallest tier": NeverTheSmallest(),
    "a choice fits where an offer fits": IgnoresTheLinks(),
    "a stronger envelope never gets a smaller tier": SavesPowerOnBigMachines(),
    "initial weights have the layout of the tier": WrongLayout(),
    "initial is pure": OneGenerator(),
}
