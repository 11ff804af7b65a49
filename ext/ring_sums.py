"""Sums of updates as integers modulo 2**32 or 2**64, such as protections with additive masks need.

Masks that are uniform in a ring hide what they are added to, and cancel out of a sum exactly (Bonawitz et al. 2017,
"Practical Secure Aggregation", https://eprint.iacr.org/2017/281, section 3); floating point has neither property. So
values are rounded to a fixed-point grid that every device of a cohort shares, and that is so coarse that no sum
within the cohort's limit of weights can leave the ring.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tierwise.ext import _checks
from tierwise.ext._choice import kernels, warn_if_missing

_ring = kernels("ring")

UINT32: Final = np.dtype(np.uint32)
UINT64: Final = np.dtype(np.uint64)
LEAST_STEPS: Final = 127
"""A clip bound is that many steps at the least, as fine as `tierwise.ext.encode_int8` is for a largest magnitude."""
SMALLEST_CLIP: Final = 2.0**-126
LARGEST_CLIP: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class RingGrid:
    """A fixed-point grid for the values of a cohort, whose sums stay within the integers of a size.

    A step is the smallest power of two with which ``weight_limit * round(clip / step) <= 2**(bits - 1) - 1``. A
    weighted sum of any updates whose weights add up to `weight_limit` or less is within these bounds, so it cannot
    overflow, and it is known from its remainder modulo ``2**bits``.

    Raises
    ------
    TypeError
        `clip` is not a number, or `weight_limit` not an integer.
    ValueError
        `clip`, `weight_limit` or `bits` is out of range, or `clip` would be less than 127 steps.
    """

    clip: float
    """The largest magnitude of a value, from 2**-126 to the largest float32. What is beyond it is clipped."""
    weight_limit: int
    """The largest sum of weights in a cohort, at least 1."""
    bits: int = 32
    """Of an integer: 32 or 64."""
    exponent: int = field(init=False)
    """A step is ``2**exponent``."""

    def __post_init__(self) -> None:
        clip = float(self.clip)
        if not SMALLEST_CLIP <= clip <= LARGEST_CLIP:
            raise ValueError(f"clip is {clip}, expected a number from 2**-126 to the largest float32, about 3.4e38")
        if self.bits not in {32, 64}:
            raise ValueError(f"bits is {self.bits!r}, expected 32 or 64")
        object.__setattr__(self, "clip", clip)
        object.__setattr__(self, "weight_limit", _checks.positive("weight_limit", self.weight_limit))
        largest = 2 ** (self.bits - 1) - 1
        exponent = _finest(clip, largest // self.weight_limit)
        if exponent is None:
            # Of twice as many steps and two more, the power of two below leaves no less than LEAST_STEPS.
            most = largest // (2 * LEAST_STEPS + 2)
            other = "bits=64 or " if self.bits == 32 else ""
            raise ValueError(
                f"weight_limit is {self.weight_limit}, which leaves less than {LEAST_STEPS} steps of {self.bits} bits "
                f"for a value of {clip}; take {other}a weight_limit of {most} or less, by dividing all weights"
            )
        object.__setattr__(self, "exponent", exponent)

    @property
    def step(self) -> float:
        """The distance between two values of the grid, exactly."""
        return math.ldexp(1.0, self.exponent)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The unsigned integers of this grid."""
        return UINT32 if self.bits == 32 else UINT64


def encode_ring(
    values: NDArray[np.float32],
    grid: RingGrid,
    weight: int = 1,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return `weight` times the values in steps of a grid, modulo ``2**bits``.

    Values beyond the clip bound become that bound, with their sign. Others are rounded to the nearest step, half to
    even, so they change by half a step at most. The compiled kernel releases the GIL.

    Parameters
    ----------
    values
        float32 of shape (n,), C-contiguous, aligned, finite.
    grid
        The same for all updates of a sum.
    weight
        From 1 to the grid's limit. That the weights of all updates together keep to the limit is for the caller to see
        to: each device knows its own only.
    out
        Of the grid's dtype and shape (n,), C-contiguous, aligned, writable, sharing no memory with `values`. A new
        array if None.

    Returns
    -------
    `out`.

    Raises
    ------
    TypeError
        An argument is not a NumPy array or not of the dtype above, or `weight` is not an integer.
    ValueError
        A value is not finite, `weight` is out of range, a shape, stride or alignment is not as above, or `out` is
        read-only or shares memory with `values`. `out` is unchanged after every error.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum`.
    """
    _checks.one("values", values, _checks.FLOAT32)
    weight = _checks.within("weight", weight, 1, grid.weight_limit)
    if out is None:
        out = np.empty(values.size, grid.dtype)
    _checks.writable(out, grid.dtype)
    _checks.one("values", values, _checks.FLOAT32, out.size, "out")
    _checks.apart_from_out("values", values, out)
    warn_if_missing()
    if not _ring.encode(values, grid.clip, math.ldexp(1.0, -grid.exponent), weight, out):
        at = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"values[{at}] is {values[at]}, expected finite values")
    return out


def ring_sum(buffers: Sequence[NDArray[Any]], out: NDArray[Any]) -> None:
    """Set `out` to the sum of buffers modulo ``2**32`` or ``2**64``, by its dtype; exact, whatever their order.

    The compiled kernel releases the GIL.

    Parameters
    ----------
    buffers
        K >= 1 arrays of the dtype of `out` and shape (n,), C-contiguous and aligned to their items; n may be 0. They
        are only read, may be read-only or memory-mapped, and must not change during the call.
    out
        uint32 or uint64 of shape (n,), C-contiguous, aligned, writable, sharing no memory with a buffer. All of it is
        written; what it held before does not matter.

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
        As `tierwise.ext.weighted_sum`.
    """
    held = tuple(buffers)  # what is checked is what is summed, whatever happens to a list meanwhile
    dtype = getattr(out, "dtype", UINT32)  # what is no array is refused below
    if dtype not in {UINT32, UINT64}:
        raise TypeError(f"out has dtype {dtype}, expected uint32 or uint64")
    _checks.alike(held, out, dtype=dtype, result=dtype)
    warn_if_missing()
    _ring.ring_sum(held, out)


def decode_ring(sums: NDArray[Any], grid: RingGrid, out: NDArray[np.float32], *, divisor: int) -> None:
    """Set `out` to the values that sums stand for, over a divisor: with the sum of weights it is the weighted mean.

    A sum is read in two's complement, which is what it was before the remainder was taken as long as the weights kept
    to the grid's limit. The quotient is taken in float64 and rounded to float32 once; one beyond the largest float32
    becomes infinite. The compiled kernel releases the GIL.

    Parameters
    ----------
    sums
        Of the grid's dtype and shape (n,), C-contiguous, aligned.
    grid
        With which the updates were encoded.
    out
        float32 of shape (n,), C-contiguous, aligned, writable, sharing no memory with `sums`.
    divisor
        A positive integer, of any size up to the largest float64.

    Raises
    ------
    TypeError
        An argument is not a NumPy array or not of the dtype above, or `divisor` is not an integer.
    ValueError
        A shape, stride or alignment is not as above, `out` is read-only or shares memory with `sums`, or `divisor` is
        not positive. `out` is unchanged after every error.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum`.
    """
    divisor = _checks.positive("divisor", divisor)
    _checks.writable(out)
    _checks.one("sums", sums, grid.dtype, out.size, "out")
    _checks.apart_from_out("sums", sums, out)
    warn_if_missing()
    _ring.decode(sums, grid.step, float(divisor), out)


def _finest(clip: float, most: int) -> int | None:
    """Return the exponent of the finest step of which `clip` is no more than `most`, or None if they are too few."""
    exponent = math.frexp(clip)[1] - most.bit_length() - 1  # too fine by one to three
    while (steps := round(Fraction(clip) / Fraction(2) ** exponent)) > most:
        exponent += 1
    return exponent if steps >= LEAST_STEPS else None
