"""Cohorts of updates, and what a reducer makes of them."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import AnyReducer, Reducer, SurveyingReducer
from tierwise.core.weights import Buffer
from tierwise.plugins.testing._laws import frozen

SIZE: Final = 33
Samples = NDArray[np.int64]


def make_cohort(count: int, size: int = SIZE, seed: int = 0) -> tuple[list[Buffer], Samples]:
    """Make updates and their samples."""
    random = np.random.default_rng(seed)
    updates = [random.normal(scale=0.1, size=size).astype(np.float32) for _ in range(count)]
    return [frozen(update) for update in updates], frozen(random.integers(1, 1000, count))


def made_for(reducer: AnyReducer, updates: Sequence[Buffer], samples: Samples) -> Reducer:
    """Return what reduces a cohort: what a survey of it returns, or the reducer that was given."""
    return reducer.survey(iter([updates]), samples) if isinstance(reducer, SurveyingReducer) else reducer


def reduced(reducer: AnyReducer, updates: Sequence[Buffer], samples: Samples) -> Buffer:
    """Reduce updates as one block."""
    out = np.full(len(updates[0]), np.nan, np.float32)
    made_for(reducer, updates, samples).reduce(updates, samples, out)
    return out


def differ(first: Buffer, second: Buffer, updates: Sequence[Buffer]) -> str | None:
    """Tell how a result differs from another by more than roundings."""
    tolerance = 1e-5 * max(float(np.abs(update).max()) for update in updates)
    apart = np.abs(first.astype(np.float64) - second)
    if bool((apart <= tolerance).all()):  # false for NaN, too
        return None
    worst = int(np.argmax(np.where(np.isnan(apart), np.inf, apart)))
    return f"element {worst} is {first[worst]!s}, expected {second[worst]!s}"
