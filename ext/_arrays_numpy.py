"""A look at many arrays before a kernel runs: the specification of the compiled one, and its stand-in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def alike(buffers: tuple[NDArray[Any], ...], dtype: np.dtype[Any], out: NDArray[Any]) -> bool:
    """Tell whether all are plain arrays: of one dimension and size, contiguous, aligned, the buffers apart from `out`.

    True only if they are, the buffers are of `dtype`, and `out` can be written to. False may also mean that somebody
    has to look closer: at a subclass, or at a dtype that is equal but another object.

    Parameters
    ----------
    buffers, out
        Anything.
    dtype
        Of the buffers.
    """
    return (
        _plain(out)
        and out.flags.writeable
        and all(
            _plain(buffer)
            and buffer.dtype is dtype
            and buffer.shape == out.shape
            and not np.may_share_memory(buffer, out)  # compares the bounds, which is exact for contiguous arrays
            for buffer in buffers
        )
    )


def quotients(weights: NDArray[np.int64], divisor: float) -> NDArray[np.float32] | None:
    """Return ``float32(weights / divisor)``, the quotient in float64, or None if somebody has to look closer.

    Parameters
    ----------
    weights
        Anything.
    divisor
        Positive.
    """
    if not _plain(weights) or weights.dtype is not np.dtype(np.int64):
        return None
    return np.divide(weights, divisor).astype(np.float32)


def _plain(array: object) -> bool:
    return type(array) is np.ndarray and array.ndim == 1 and array.flags.c_contiguous and array.flags.aligned
