"""Selectors, right and broken."""

import numpy as np

from tierwise.core.selection import Postponed


class Right:
    """Draws half of the candidates."""

    def order(self, candidates):
        return sorted(candidates)

    def select(self, candidates, *, seed):
        count = max(3, len(candidates) // 2)
        drawn = np.random.default_rng(seed).choice(len(candidates), count, replace=False)
        return [self.order(candidates)[number] for number in drawn]


class Everybody:
    def select(self, candidates, *, seed):
        return tuple(candidates)


class TakesOut(Right):
    def select(self, candidates, *, seed):
        chosen = super().select(candidates, seed=seed)
        for device in chosen:
            del candidates[device]
        return chosen


class Two(Right):
    def select(self, candidates, *, seed):
        return super().select(candidates, seed=seed)[:2]


class Silent:
    """Waits for a larger group, and does not say so."""

    def select(self, candidates, *, seed):
        return sorted(candidates) if len(candidates) > 5 else Postponed(reason=" ")


class AStranger(Right):
    def select(self, candidates, *, seed):
        return [*super().select(candidates, seed=seed), "somebody"]


class Twice(Right):
    def select(self, candidates, *, seed):
        chosen = super().select(candidates, seed=seed)
        return [*chosen, chosen[0]]


class GeneratorOfItsOwn(Right):
    def __init__(self):
        self.random = np.random.default_rng(0)

    def select(self, candidates, *, seed):
        return super().select(candidates, seed=int(self.random.integers(1000)))


class ByOrder(Right):
    def order(self, candidates):
        return list(candidates)


class Reasoned(Silent):
    def select(self, candidates, *, seed):
        return sorted(candidates) if len(candidates) > 5 else Postponed(reason="a group of six is needed")


RIGHT = {"half": Right(), "everybody": Everybody(), "postpones": Reasoned()}
BROKEN = {
    "the candidates are left as they are": TakesOut(),
    "at least three are chosen": Two(),
    "a postponement says why": Silent(),
    "only candidates are chosen": AStranger(),
    "each is chosen once": Twice(),
    "the same seed chooses the same": GeneratorOfItsOwn(),
    "the order of the candidates does not matter": ByOrder(),
}
