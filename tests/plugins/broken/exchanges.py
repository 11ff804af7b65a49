"""Exchanges, right and broken."""

import numpy as np

from tierwise.core.weights import Layout, Weights


class Right:
    """Moves a model a little way towards its own answers' scale: it learns from nobody, and keeps all laws."""

    needs_public = True
    needs_predictors = False

    def exchange(self, group, models, public, *, seed):
        own = models[group].weights
        noise = np.random.default_rng(seed).normal(size=own.buffer.shape).astype(np.float32)
        return Weights(own.layout, own.buffer * np.float32(0.9) + np.float32(public.std()) * 0.01 * noise)


class Keeps:
    """Leaves everything as it is."""

    needs_public = False
    needs_predictors = False

    def exchange(self, group, models, public, *, seed):
        return models[group].weights


class GivesTheStrongest(Right):
    def exchange(self, group, models, public, *, seed):
        return list(models.values())[-1].weights


class Infinite(Right):
    def exchange(self, group, models, public, *, seed):
        own = models[group].weights
        return Weights(own.layout, np.full_like(own.buffer, np.inf))


class WantsThree(Right):
    def exchange(self, group, models, public, *, seed):
        if len(models) < 3:
            return Weights.zeros(Layout.of({"w": (1,)}))
        return super().exchange(group, models, public, seed=seed)


class InPlace(Right):
    def exchange(self, group, models, public, *, seed):
        own = models[group].weights
        if own.buffer.flags.writeable:
            own.buffer *= np.float32(0.5)
        return super().exchange(group, models, public, seed=seed)


class ScalesThePublicSet(Right):
    def exchange(self, group, models, public, *, seed):
        if public.flags.writeable:
            public /= np.float32(2)
        return super().exchange(group, models, public, seed=seed)


class Remembers(Right):
    def __init__(self):
        self.calls = 0

    def exchange(self, group, models, public, *, seed):
        self.calls += 1
        return super().exchange(group, models, public, seed=seed + self.calls)


class OneBuffer(Right):
    def __init__(self):
        self.buffers = {}

    def exchange(self, group, models, public, *, seed):
        made = super().exchange(group, models, public, seed=seed)
        buffer = self.buffers.setdefault(group, np.empty_like(made.buffer))
        buffer[:] = made.buffer
        return Weights(made.layout, buffer)


BROKEN = {
    "the answer has the layout of the groups model": GivesTheStrongest(),
    "the answer is finite": Infinite(),
    "two models are enough": WantsThree(),
    "the models stay as they are": InPlace(),
    "the public set stays as it is": ScalesThePublicSet(),
    "exchange is pure": Remembers(),
    "an answer stays as it was": OneBuffer(),
}
RIGHT = {"noise": Right(), "keeps": Keeps()}
