"""Squared Euclidean distances and norms of float32 buffers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierwise.ext import _checks
from tierwise.ext._choice import kernels, warn_if_missing

_distance = kernels("distance")


def add_pairwise_sq_distances(buffers: Sequence[NDArray[np.float32]], out: NDArray[np.float64]) -> None:
    """Add to `out` the squared Euclidean distance of each buffer from each.

    It is added, so that buffers can be given block by block: `out` begins with zeros. Differences and their squares
    are float32, in stretches of 256 coordinates; stretches are added in float64. A sum is within 7e-7 of its own size,
    and that of equal buffers is 0, which products of the buffers would not give. Where every block but the last has a
    multiple of 256 coordinates, the bits do not depend on the blocks; they are the same compiled or not.

    A square that float32 cannot hold makes the sum infinite, a NaN makes it NaN.

    The compiled kernel releases the GIL, and needs room for 256 coordinates of each buffer.

    Parameters
    ----------
    buffers
        K >= 1 separate float32 arrays of shape (n,), C-contiguous and aligned to their items; n may be 0.
        They are only read, may be read-only or memory-mapped, and must not change during the call.
    out
        float64 of shape (K, K), C-contiguous, aligned, writable, symmetric: what is above the diagonal is added to, and
        copied below it.

    Raises
    ------
    TypeError
        An argument is not a NumPy array or not of the dtype above.
    ValueError
        There are no buffers, a shape, stride or alignment is not as above, or `out` is read-only.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum` does.
    """
    held = tuple(buffers)
    _checks.sums_of(held, out, ndim=2)
    warn_if_missing()
    _distance.add_pairwise_sq_distances(held, out)


def add_sq_norms(buffers: Sequence[NDArray[np.float32]], out: NDArray[np.float64]) -> None:
    """Add to `out` the squared Euclidean norm of each buffer; in all else it is as `add_pairwise_sq_distances`.

    Parameters
    ----------
    buffers
        As there.
    out
        float64 of shape (K,), C-contiguous, aligned, writable.

    Raises
    ------
    TypeError, ValueError
        As there.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum` does.
    """
    held = tuple(buffers)
    _checks.sums_of(held, out, ndim=1)
    warn_if_missing()
    _distance.add_sq_norms(held, out)
