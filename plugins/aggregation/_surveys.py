"""What surveys measure of whole updates, and what they make of it: a mean with other weights."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import Need
from tierwise.core.weights import Buffer
from tierwise.ext import add_pairwise_sq_distances, add_sq_norms, weighted_sum

ONE: Final = 1 << 40
"""What a factor of 1 is in the integers that a weighted sum takes."""


def sq_distances(blocks: Iterable[Sequence[Buffer]], count: int) -> NDArray[np.float64]:
    """Return the squared distances between all of ``count`` updates, shape ``(count, count)``."""
    found = np.zeros((count, count))
    for block in blocks:
        add_pairwise_sq_distances(block, found)
    return found


def norms(blocks: Iterable[Sequence[Buffer]], count: int) -> NDArray[np.float64]:
    """Return the Euclidean norms of ``count`` updates, shape ``(count,)``."""
    found = np.zeros(count)
    for block in blocks:
        add_sq_norms(block, found)
    return np.sqrt(found)


class Combination:
    """A reducer whose result is ``sum over k of factors[k] * updates[k]``, whatever the samples.

    Parameters
    ----------
    factors
        Between 0 and 1, shape ``(count,)``.
    """

    def __init__(self, factors: NDArray[np.float64]) -> None:
        kept = np.flatnonzero(factors)
        self._kept: list[int] = kept.tolist()
        self._factors = np.rint(factors[kept] * ONE).astype(np.int64)

    @property
    def need(self) -> Need:
        """Every update: `Need.INDIVIDUAL`."""
        return Need.INDIVIDUAL

    def reduce(self, updates: Sequence[Buffer], samples: NDArray[np.int64], out: Buffer) -> None:
        """Combine one block."""
        del samples
        weighted_sum([updates[k] for k in self._kept], self._factors, out, divisor=ONE)


def mean_of(chosen: Sequence[int] | NDArray[np.intp], count: int) -> Combination:
    """Return the reducer that averages some of ``count`` updates."""
    factors = np.zeros(count)
    factors[np.asarray(chosen)] = 1 / len(chosen)
    return Combination(factors)
