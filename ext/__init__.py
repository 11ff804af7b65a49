"""Kernels over contiguous arrays: compiled if they were built, else their NumPy twins.

This is the only file that knows which. ``TIERWISE_KERNELS`` in the environment decides at import: ``numpy``
takes the twins, ``cython`` insists on the compiled kernels, and unset takes those if they are there. Results
are the same.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tierwise.ext import _checks, _fallback

__all__ = ["KERNELS", "KernelsMissingWarning", "weighted_sum"]

_Floats: TypeAlias = NDArray[np.float32]
_WeightedSum: TypeAlias = Callable[[tuple[_Floats, ...], _Floats, _Floats], None]

_REMEDY: Final = (
    "To mend it, install a C compiler and run "
    "`pip install --force-reinstall --no-binary tierwise tierwise`; "
    "to use NumPy on purpose, set TIERWISE_KERNELS=numpy."
)


class KernelsMissingWarning(RuntimeWarning):
    """The compiled kernels cannot be loaded, so their NumPy twins do the work."""


def _choose() -> tuple[Literal["cython", "numpy"], _WeightedSum, ImportError | None]:
    """Return which kernels are in use, and what kept the compiled ones out if nobody asked for that."""
    wanted = os.environ.get("TIERWISE_KERNELS")
    if wanted not in {None, "cython", "numpy"}:
        raise ValueError(f"TIERWISE_KERNELS is {wanted!r}, expected 'cython' or 'numpy', or no such variable")
    if wanted == "numpy":
        return "numpy", _fallback.weighted_sum, None
    try:
        from tierwise.ext._average import weighted_sum as compiled
    except ImportError as error:
        if wanted == "cython":
            raise ImportError(
                f"TIERWISE_KERNELS is 'cython', but the compiled kernels cannot be loaded: {error}. {_REMEDY}"
            ) from error
        return "numpy", _fallback.weighted_sum, error
    return "cython", compiled, None


_chosen, _weighted_sum, _not_loaded = _choose()

KERNELS: Final = _chosen
"""Which kernels are in use in this process, ``"cython"`` or ``"numpy"``."""


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
    left to right (a panel), the panels pairwise; `tierwise.ext._fallback` has the law in full. So the same
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
    if _not_loaded is not None:
        _warn_once()
    _weighted_sum(held, coefficients, out)


def _warn_once() -> None:
    global _not_loaded
    error, _not_loaded = _not_loaded, None
    if error is None:  # another thread was first
        return
    # How much longer is what benchmarks/average.py measures.
    warnings.warn(
        f"The compiled kernels cannot be loaded ({error}), so NumPy does their work: the results are the "
        f"same, but summing updates takes two to four times as long. {_REMEDY}",
        KernelsMissingWarning,
        stacklevel=3,
    )
