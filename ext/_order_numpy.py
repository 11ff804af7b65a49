"""Order statistics in NumPy: the specification of the compiled kernels, and their stand-in where there are none.

For each coordinate alone, over K values without a NaN:

- the *median* is ``float32((low + high) * 0.5 + 0.0)`` in float64, of the values of the ranks ``(K - 1) // 2`` and
  ``K // 2`` (from 0);
- the *trimmed mean* is ``float32((sum - trim * (low + high)) / (K - 2 * trim))`` in float64, where ``low`` and ``high``
  are the values of the ranks ``trim`` and ``K - 1 - trim``, and ``sum`` is that of all values, each brought between
  those two, in the order of the buffers, beginning with 0. What is brought there has a bound's size, so what is
  subtracted is what the trimmed values have contributed;
- the *mean around the median* of ``kept`` values is ``float32((inner + outer * ((kept - m) / t)) / kept)`` in float64:
  the distance of a value is ``float32(abs(x - median))``, the bound is the distance of rank ``kept - 1``, ``inner`` is
  the sum of the m values that are less far than that, ``outer`` that of the t values exactly so far, each in the order
  of the buffers and beginning with 0.

A rank is exact, so results do not depend on how it is found. A zero that comes out is positive.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

BLOCK_BYTES: Final = 1 << 20
"""Of the copies that are sorted at a time."""


def median(buffers: tuple[Floats, ...], out: Floats) -> None:
    """Set `out` to the median of each coordinate; arguments are as `tierwise.ext.coordinate_median` checked them."""
    ranks = ((len(buffers) - 1) // 2, len(buffers) // 2)
    for block in _blocks(buffers, out):
        _, low, high = _ranked(buffers, block, *ranks)
        with np.errstate(all="ignore"):
            out[block] = (low.astype(np.float64) + high) * 0.5 + 0.0


def trimmed_mean(buffers: tuple[Floats, ...], trim: int, out: Floats) -> None:
    """Set `out` to the trimmed mean of each coordinate; arguments are as `tierwise.ext.trimmed_mean` checked them."""
    kept = len(buffers) - 2 * trim
    for block in _blocks(buffers, out):
        values, low, high = _ranked(buffers, block, trim, len(buffers) - 1 - trim)
        total = np.zeros(low.size)
        with np.errstate(all="ignore"):
            for row in values:
                total += np.minimum(np.maximum(row, low), high)
            out[block] = (total - trim * (low.astype(np.float64) + high)) / kept


def mean_around_median(buffers: tuple[Floats, ...], kept: int, out: Floats) -> None:
    """Set `out` to the mean of the values nearest to each coordinate's median.

    Arguments are as `tierwise.ext.mean_around_median` checked them.
    """
    middle = np.empty_like(out)
    median(buffers, middle)
    for block in _blocks(buffers, out):
        with np.errstate(all="ignore"):
            values = [buffer[block] for buffer in buffers]
            distances = np.stack([np.abs(row - middle[block]) for row in values])
            bound = np.partition(distances, kept - 1, axis=0)[kept - 1]
            inner, inners, outer, outers = np.zeros((4, bound.size))
            for row, distance in zip(values, distances, strict=True):
                inner += np.where(distance < bound, row, 0)
                inners += distance < bound
                outer += np.where(distance == bound, row, 0)
                outers += distance == bound
            out[block] = (inner + outer * ((kept - inners) / outers)) / kept


def _blocks(buffers: tuple[Floats, ...], out: Floats) -> Iterator[slice]:
    length = max(64, BLOCK_BYTES // (4 * len(buffers)))
    for start in range(0, out.size, length):
        yield slice(start, start + length)


def _ranked(
    buffers: tuple[Floats, ...], block: slice, low: int, high: int
) -> tuple[NDArray[np.float32], Floats, Floats]:
    """Return a block of all buffers, and of each coordinate the values of two ranks."""
    values = np.stack([buffer[block] for buffer in buffers])
    ordered = np.partition(values, sorted({low, high}), axis=0)
    return values, ordered[low], ordered[high]
