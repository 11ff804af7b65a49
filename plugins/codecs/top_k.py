"""Updates of their largest values alone."""

import math
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.coding import ArrayForm, Arrays, Dtype, Form
from tierwise.core.errors import ConfigurationError
from tierwise.core.weights import Buffer
from tierwise.ext import weighted_sum_sparse

INDICES: Final = "indices"
VALUES: Final = "values"
_MOST: Final = 2**32 - 1
"""Values that the places of 32 bits are enough for."""
_BLOCK: Final = 1 << 15
"""Indices that are looked at together."""


class TopKOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `TopKCodec`.

    Attributes
    ----------
    fraction
        How many of the values are sent, of all; each takes 8 bytes, so of half of them nothing is saved.
    error_feedback
        Whether a device adds the values that it did not send to its next update. Without it they are lost, and
        weights whose updates are small hardly learn.
    """

    fraction: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05
    error_feedback: bool = True


class TopKCodec:
    """Sends the values of largest magnitude, each with its place: 8 bytes each.

    Aji and Heafield 2017, "Sparse Communication for Distributed Gradient Descent", https://arxiv.org/abs/1704.05021;
    Stich et al. 2018, "Sparsified SGD with Memory", https://arxiv.org/abs/1809.07599, algorithm 1: with error feedback
    what is not sent waits until it has grown large enough.
    """

    def __init__(self, options: TopKOptions) -> None:
        self._options = options

    @property
    def feedback(self) -> bool:
        """As the options say."""
        return self._options.error_feedback

    def _count(self, size: int) -> int:
        if size > _MOST:
            raise ConfigurationError(
                f"codec 'top-k' gives places in 32 bits, for {_MOST:,} values at the most; the model has {size:,}: "
                "choose another codec",
                key="codec.name",
            )
        return math.ceil(self._options.fraction * size)

    def form(self, size: int) -> Form:
        """Return the form of the places and the values."""
        count = self._count(size)
        return {
            INDICES: ArrayForm(dtype=Dtype.U32, length=count),
            VALUES: ArrayForm(dtype=Dtype.F32, length=count),
        }

    def encode(self, update: Buffer, seed: int) -> Arrays:  # noqa: ARG002  (nothing is drawn)
        """Choose the values of largest magnitude; of equal ones those that come first."""
        count = self._count(update.size)
        magnitudes = np.abs(update)
        least = np.partition(magnitudes, update.size - count)[update.size - count] if count else 0
        larger = np.flatnonzero(magnitudes > least)
        equal = np.flatnonzero(magnitudes == least)[: count - larger.size]
        indices = np.sort(np.concatenate([larger, equal]))
        return {INDICES: indices.astype(np.uint32), VALUES: update[indices]}

    def fault(self, arrays: Arrays, size: int) -> str | None:
        """Return whether an index is out of range, or not after the one before."""
        indices = arrays[INDICES]
        for start in range(0, indices.size, _BLOCK):
            some = indices[start : start + _BLOCK + 1]  # with the first of the next ones
            if (some[1:] <= some[:-1]).any():
                return "its indices do not increase"
        if indices.size and indices[-1] >= size:
            return f"it has a value at {indices[-1]}, of {size} values"
        return None

    def decode(self, arrays: Arrays, block: slice, out: Buffer) -> None:
        """Put the values of a block in their places, and 0 in all others."""
        indices, values = _within(arrays, block)
        out[:] = 0
        out[indices] = values

    def weighted_sum(
        self, updates: Sequence[Arrays], weights: NDArray[np.int64], block: slice, out: Buffer, *, divisor: int
    ) -> None:
        """Add the values of a block in their places, one update after the other."""
        indices = [arrays[INDICES] for arrays in updates]
        values = [arrays[VALUES] for arrays in updates]
        weighted_sum_sparse(indices, values, weights, out, divisor=divisor, start=block.start)


def _within(arrays: Arrays, block: slice) -> tuple[NDArray[np.intp], Buffer]:
    """Return the places of the values of a block, counted from its start, and the values."""
    indices = arrays[INDICES]
    first, end = indices.searchsorted(np.array([block.start, block.stop], np.uint32))  # else all would be converted
    return indices[first:end].astype(np.intp) - block.start, arrays[VALUES][first:end]
