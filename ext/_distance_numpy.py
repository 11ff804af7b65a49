"""Squared distances in NumPy: the specification of the compiled kernels, and their stand-in where there are none.

The law of summation, from the first coordinate on:

1. 256 coordinates in a row are a *stretch*; the last one is filled up with zeros;
2. in a stretch the square of each difference is taken in float32, and the 16 squares whose coordinates have the same
   place modulo 16 are added pairwise, each with its neighbour;
3. of the 16 sums each of the first 8 gets that of the last 8 added, then each of the first 4 that of the other 4, then
   each of the first 2, then the first: still in float32;
4. stretches are added in float64, in their order, to what is in `out`.

A difference is rounded once and counts twice, its square is rounded once, and added 8 times: all is positive, so a sum
is within 11 * 2**-24, less than 7e-7, of its own size, whatever the number of coordinates. Of equal buffers it is 0.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Sums: TypeAlias = NDArray[np.float64]

STRETCH: Final = 256
PARTS: Final = 16
AT_ONCE: Final = 64
"""Stretches that are worked on together: 64 KiB of each buffer."""


def add_pairwise_sq_distances(buffers: tuple[Floats, ...], out: Sums) -> None:
    """Add to `out` the squared distance of each buffer from each; arguments are as `tierwise.ext` has checked them."""
    for rows in _stretches(buffers):
        for i, row in enumerate(rows[:-1]):
            _add(row, rows[i + 1 :], out[i, i + 1 :])
    upper = np.triu(out, 1)
    np.copyto(out, upper.T, where=np.tri(len(buffers), k=-1, dtype=bool))


def add_sq_norms(buffers: tuple[Floats, ...], out: Sums) -> None:
    """Add to `out` the squared norm of each buffer; arguments are as `tierwise.ext` has checked them."""
    for rows in _stretches(buffers):
        _add(np.zeros_like(rows[0]), rows, out)


def _stretches(buffers: tuple[Floats, ...]) -> Iterator[NDArray[np.float32]]:
    """Yield some stretches of all buffers, shape ``(K, stretches, 16, 16)``."""
    length = STRETCH * AT_ONCE
    for start in range(0, buffers[0].size, length):
        blocks = np.stack([buffer[start : start + length] for buffer in buffers])
        blocks = np.pad(blocks, ((0, 0), (0, -blocks.shape[1] % STRETCH)))
        yield blocks.reshape(len(buffers), -1, PARTS, PARTS)


def _add(row: NDArray[np.float32], others: NDArray[np.float32], out: Sums) -> None:
    """Add the squared distances of one buffer's stretches from others'."""
    with np.errstate(all="ignore"):
        for number, other in enumerate(others):
            sums = np.square(row - other)
            while sums.shape[1] > 1:
                sums = sums[:, ::2] + sums[:, 1::2]
            sums = sums[:, 0]
            while sums.shape[1] > 1:
                half = sums.shape[1] // 2
                sums = sums[:, :half] + sums[:, half:]
            for stretch in sums[:, 0]:
                out[number] += stretch
