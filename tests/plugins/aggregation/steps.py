"""Steps of server optimizers, for comparing one with another."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import ServerOptimizer
from tierwise.core.weights import Buffer

STEPS, SIZE = 12, 40


class Step(NamedTuple):
    """What a step was given, and what it made of it."""

    state: Mapping[str, Buffer]
    model: Buffer
    reduced: Buffer
    next_state: Mapping[str, Buffer]
    following: Buffer


def walk(optimizer: ServerOptimizer, seed: int, size: int = SIZE) -> Iterator[Step]:
    """Take steps from one random model on, with updates that are large for some weights, small or 0 for others."""
    random = np.random.default_rng(seed)
    scale = 10.0 ** random.uniform(-6, 1, size) * (random.uniform(size=size) > 0.1)
    model = random.normal(size=size).astype(np.float32)
    state: Mapping[str, Buffer] = {}
    for _ in range(STEPS):
        reduced = (scale * random.normal(size=size)).astype(np.float32)
        following, next_state = optimizer.step(state, model, reduced)
        yield Step(state, model, reduced, next_state, following)
        model, state = following, next_state


def assert_rounded(found: Buffer, *terms: NDArray[np.float64]) -> None:
    """Assert that ``found`` is the sum of the terms, each of which may have been rounded some times on the way."""
    magnitude = sum(np.abs(term) for term in terms)
    off = np.abs(found - sum(terms))
    assert (off <= 6 * np.finfo(np.float32).eps * magnitude + np.finfo(np.float32).tiny).all(), off.max()
