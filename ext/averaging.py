"""The weighted sum of float32 buffers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierwise.ext import _checks
from tierwise.ext._choice import kernels, warn_if_missing

_average = kernels("average")


def weighted_sum(
    buffers: Sequence[NDArray[np.float32]],
    weights: NDArray[np.int64],
    out: NDArray[np.float32],
    *,
    divisor: int = 1,
) -> None:
    """Set `out` to ``sum_k (weights[k] / divisor) * buffers[k]``.

    With ``divisor=sum(weights)`` it is the weighted mean. Each quotient is taken in float64 and rounded to a
    float32 coefficient, so weights of any size are safe. Products and sums are float32, in an order fixed by
    the order of the buffers and by nothing else: the products of eight buffers pairwise, eight such sums from
    left to right (a panel), the panels pairwise; `tierwise.ext._average_numpy` has the law in full. So the same
    arguments give the same bits on every machine with IEEE arithmetic, compiled or not, and any stretch of
    coordinates can be summed by itself. Another order of the buffers gives other roundings.

    The error against exact arithmetic is at most 2e-6 of ``sum_k |weights[k] / divisor * buffers[k]|`` for up
    to 100,000 buffers, as long as nothing overflows, and 2**-150 more per buffer where products underflow.
    Infinities, denormals and signed zeros behave as in any IEEE sum, and NaN as well, except that which NaN
    comes out is not promised.

    The compiled kernel releases the GIL during the arithmetic.

    Parameters
    ----------
    buffers
        K >= 1 separate float32 arrays of shape (n,), C-contiguous and aligned to their items; n may be 0.
        They are only read, may be read-only or memory-mapped, and must not change during the call.
    weights
        int64 of shape (K,), of any sign.
    out
        float32 of shape (n,), C-contiguous, aligned, writable, sharing no memory with a buffer. All of it is
        written; what it held before does not matter.
    divisor
        A positive integer, of any size up to the largest float64.

    Raises
    ------
    TypeError
        An argument is not a NumPy array or not of the dtype above, or `divisor` is not an integer.
    ValueError
        There are no buffers, a shape, stride or alignment is not as above, `out` is read-only or shares
        memory with a buffer, or `divisor` is not positive. `out` is unchanged after every error.

    Warns
    -----
    KernelsMissingWarning
        At the first call in a process, if the compiled kernels cannot be loaded and ``TIERWISE_KERNELS`` is
        not set.
    """
    held = tuple(buffers)  # what is checked is what is summed, whatever happens to a list meanwhile
    coefficients = _checks.coefficients(held, weights, out, divisor)
    warn_if_missing()
    _average.weighted_sum(held, coefficients, out)
