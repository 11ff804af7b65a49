"""Order statistics of float32 buffers, coordinate by coordinate."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierwise.ext import _checks
from tierwise.ext._choice import kernels, warn_if_missing

_order = kernels("order")


def coordinate_median(buffers: Sequence[NDArray[np.float32]], out: NDArray[np.float32]) -> None:
    """Set `out` to the median of each coordinate over the buffers.

    Of an even number of values it is halfway between the middle two, computed in float64 and rounded once. The order
    of the buffers does not matter, and any stretch of coordinates can be reduced by itself: the bits are the same,
    compiled or not.

    A coordinate with a NaN has any value afterwards; others do not suffer. Infinities have their place in the order,
    and two opposite ones have no middle: NaN. A zero that comes out is positive.

    The compiled kernel releases the GIL, and needs room for 128 coordinates of each buffer.

    Parameters
    ----------
    buffers
        K >= 1 separate float32 arrays of shape (n,), C-contiguous and aligned to their items; n may be 0.
        They are only read, may be read-only or memory-mapped, and must not change during the call.
    out
        float32 of shape (n,), C-contiguous, aligned, writable, sharing no memory with a buffer.

    Raises
    ------
    TypeError
        An argument is not a NumPy array or not of the dtype above.
    ValueError
        There are no buffers, a shape, stride or alignment is not as above, or `out` is read-only or shares memory with
        a buffer. `out` is unchanged after every error.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum` does.
    """
    held = tuple(buffers)
    _checks.alike(held, out)
    warn_if_missing()
    _order.median(held, out)


def trimmed_mean(buffers: Sequence[NDArray[np.float32]], out: NDArray[np.float32], *, trim: int) -> None:
    """Set `out` to the mean of each coordinate without its `trim` least and its `trim` greatest values.

    It is computed in float64 and rounded once. Every value is brought between the least and the greatest that are
    kept, the sum of that is taken in the order of the buffers, and what was brought in is subtracted again; so another
    order of the buffers may change the last bit of a result, and nothing else does. The error is at most 2**-23 of the
    greatest kept magnitude. Everything else is as for `coordinate_median`.

    Parameters
    ----------
    buffers, out
        As for `coordinate_median`.
    trim
        How many values are left out at each end: 0 (the mean) or more, and less than K / 2.

    Raises
    ------
    TypeError, ValueError
        As `coordinate_median` does; also if `trim` is no integer, or out of its bounds.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum` does.
    """
    held = tuple(buffers)
    _checks.alike(held, out)
    trim = _checks.within("trim", trim, 0, (len(held) - 1) // 2)
    warn_if_missing()
    _order.trimmed_mean(held, trim, out)


def mean_around_median(buffers: Sequence[NDArray[np.float32]], out: NDArray[np.float32], *, kept: int) -> None:
    """Set `out` to the mean of the `kept` values of each coordinate that are nearest to its median.

    How near is told by float32 differences. Where several values are equally far and not all of them are kept, each
    counts in part. Sums are float64, in the order of the buffers, and are rounded once. Everything else is as for
    `trimmed_mean`; the kernel needs twice the room.

    Parameters
    ----------
    buffers, out
        As for `coordinate_median`.
    kept
        How many values are averaged: 1 to K.

    Raises
    ------
    TypeError, ValueError
        As `coordinate_median` does; also if `kept` is no integer, or out of its bounds.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum` does.
    """
    held = tuple(buffers)
    _checks.alike(held, out)
    kept = _checks.within("kept", kept, 1, len(held))
    warn_if_missing()
    _order.mean_around_median(held, kept, out)
