"""Steps of server optimizers, for comparing one with another."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tierwise.core.aggregation import ServerOptimizer

STEPS, SIZE = 12, 40
Step = Callable[[Any, Any, Any], tuple[Any, Any]]


def updates(seed: int, size: int = SIZE) -> list[np.ndarray]:
    """Return reduced updates of which some weights have large ones, some small ones, some none at all."""
    random = np.random.default_rng(seed)
    scale = 10.0 ** random.uniform(-6, 1, size) * (random.uniform(size=size) > 0.1)
    return [(scale * random.normal(size=size)).astype(np.float32) for _ in range(STEPS)]


def walk(optimizer: ServerOptimizer, seed: int, size: int = SIZE) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Take steps from one random model on; return each step's model and state."""
    return _walk(optimizer.step, seed, np.float32, size)


def reference_error(optimizer: ServerOptimizer, reference: Step, seed: int) -> float:
    """Compare steps with those of a function in float64.

    Returns
    -------
    float
        The greatest error of any step's model, in parts of the greatest value that its weight has had, or whose moves
        it is the sum of.
    """
    found, expected = walk(optimizer, seed), _walk(reference, seed, np.float64, SIZE)
    models = np.array([model for model, _ in expected])
    moved = np.abs(np.diff(models, axis=0, prepend=0)).sum(axis=0)
    off = np.abs(np.array([model for model, _ in found]) - models)
    return float((off / moved).max())


def _walk(step: Step, seed: int, dtype: Any, size: int) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    model = np.random.default_rng(seed + 1).normal(size=size).astype(np.float32).astype(dtype)
    state: Any = {}
    taken = []
    for reduced in updates(seed, size):
        model, state = step(state, model, reduced.astype(dtype))
        taken.append((model, state))
    return taken
