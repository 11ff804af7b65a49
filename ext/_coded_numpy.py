"""Sums of coded updates, and coding, in NumPy: the specification of the compiled kernels, and their stand-in.

A sum of 16-bit floats or of 8-bit integers follows the law of summation in `tierwise.ext._average_numpy`. There a
*product* is ``float32(c_k * x_k)`` with the float32 ``x_k`` that a 16-bit float stands for, exactly; and for 8-bit
integers ``float32(float32(c_k * s) * q)``, with the scale s of the value's block and its integer q.

A sum of sparse updates is, for each coordinate, the running sum in float64 of ``float64(c_k) * float64(x_k)`` over
those updates that have the coordinate, in their order, from 0 on, and is rounded to float32 at its end. The products
are exact, so what is lost is less than ``2**-24 + K * 2**-53`` of the sum of magnitudes, and the rounding of c_k.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tierwise.ext._average_numpy import BLOCK, Floats, sum_products

Halves: TypeAlias = NDArray[np.float16]
Bits: TypeAlias = NDArray[np.uint16]
Steps: TypeAlias = NDArray[np.int8]
Indices: TypeAlias = NDArray[np.uint32]

INT8_BLOCK = 1024
STEPS = 127
"""Of a block's largest magnitude."""
SMALLEST = np.float32(2.0**-100)
"""The largest magnitude of a block at the least; below that all of the block is 0, and no quotient overflows."""

_FRACTION = 15
"""Bits after the point in the fixed-point numbers that `encode_int8` rounds at random."""
_ROUND = np.float32(1.5 * 2**23)
"""A float32 of this size has no fraction; adding it rounds, to even, what is less than 2**22."""


def weighted_sum_float16(values: tuple[Halves, ...], coefficients: Floats, out: Floats) -> None:
    """Set `out` to ``sum_k coefficients[k] * values[k]`` by the law of this module."""
    sum_products(lambda k, block: values[k][block].astype(np.float32) * coefficients[k], len(values), out)


def weighted_sum_bfloat16(values: tuple[Bits, ...], coefficients: Floats, out: Floats) -> None:
    """Set `out` to ``sum_k coefficients[k] * values[k]`` by the law of this module."""
    sum_products(lambda k, block: _widened(values[k][block]) * coefficients[k], len(values), out)


def weighted_sum_int8(values: tuple[Steps, ...], scales: tuple[Floats, ...], coefficients: Floats, out: Floats) -> None:
    """Set `out` to ``sum_k coefficients[k] * scales[k] * values[k]`` by the law of this module."""

    def product(k: int, block: slice) -> Floats:
        factors: Floats = _each(scales[k], block) * coefficients[k]
        return factors * values[k][block].astype(np.float32)

    sum_products(product, len(values), out)


def weighted_sum_sparse(
    indices: tuple[Indices, ...], values: tuple[Floats, ...], coefficients: Floats, out: Floats, start: int
) -> int:
    """Set `out` to coordinates `start` to ``start + n`` of the sum by the law of this module.

    Return -1, or the first k whose indices do not increase where they must; then `out` is not written.
    """
    total = np.zeros(out.size)
    with np.errstate(all="ignore"):
        for k, (where, what, coefficient) in enumerate(zip(indices, values, coefficients, strict=True)):
            first, last = np.searchsorted(where, np.array([start, start + out.size], np.uint32))
            here = where[first:last]
            if here.size and not (
                bool(np.all(here[1:] > here[:-1])) and here[0] >= start and here[-1] < start + out.size
            ):
                return k
            total[here - np.uint32(start)] += np.float64(coefficient) * what[first:last]
        out[:] = total
    return -1


def encode_int8(values: Floats, key: tuple[int, int], steps: Steps, scales: Floats) -> int:
    """Round a block's values at random to 127 steps of its largest magnitude, either way.

    With m that magnitude, a value x is ``t = round(x * float32(127 * 2**15 / m))`` in steps with 15 bits of fraction,
    to even and by a float32 product; it becomes ``floor((t + r) / 2**15)``, between -127 and 127, where r is 15
    random bits, and the scale is ``float32(m / 127)``. The random bits of value i are the upper ones of
    ``mix(mix(i ^ key[0]) ^ key[1])``, where mix is the finaliser of MurmurHash3, a bijection of 32 bits.

    Return -1, or the first block that has a value which is not finite; from there on nothing is written.
    """
    for start in range(0, values.size, BLOCK):
        x = values[start : start + BLOCK]
        first = start // INT8_BLOCK
        peaks = np.maximum.reduceat(np.abs(x), np.arange(0, x.size, INT8_BLOCK))
        if not np.isfinite(peaks).all():
            bad = int(np.argmin(np.isfinite(peaks)))
            _encode_finite(x[: bad * INT8_BLOCK], peaks[:bad], start, key, steps, scales)
            return first + bad
        _encode_finite(x, peaks, start, key, steps, scales)
    return -1


def _encode_finite(x: Floats, peaks: Floats, start: int, key: tuple[int, int], steps: Steps, scales: Floats) -> None:
    tiny = peaks < SMALLEST
    first = start // INT8_BLOCK
    scales[first : first + peaks.size] = np.where(tiny, np.float32(0), peaks / np.float32(STEPS))
    factors = np.divide(np.float32(STEPS << _FRACTION), peaks, out=np.zeros_like(peaks), where=~tiny)
    rounded = (x * _each(factors, slice(0, x.size)) + _ROUND).view(np.int32) - _ROUND.view(np.int32)
    rounded += _random(start, x.size, key)
    rounded >>= _FRACTION
    steps[start : start + x.size] = np.clip(rounded, -STEPS, STEPS)


def _random(start: int, size: int, key: tuple[int, int]) -> NDArray[np.int32]:
    """Return 15 random bits for each of some values."""
    counters = np.arange(start, start + size, dtype=np.uint32)
    mixed = _mix(_mix(counters ^ np.uint32(key[0])) ^ np.uint32(key[1]))
    return (mixed >> np.uint32(32 - _FRACTION)).astype(np.int32)


def _mix(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return `fmix32` of MurmurHash3 (Appleby, https://github.com/aappleby/smhasher)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def decode_int8(steps: Steps, scales: Floats, out: Floats) -> None:
    """Set `out` to ``float32(scale * step)``."""
    with np.errstate(all="ignore"):
        for start in range(0, out.size, BLOCK):
            block = slice(start, min(start + BLOCK, out.size))
            out[block] = _each(scales, block) * steps[block].astype(np.float32)


def encode_bfloat16(values: Floats, out: Bits) -> None:
    """Round to the nearest of those float32 that have 16 bits of zeros below, to even; a NaN remains one."""
    for start in range(0, values.size, BLOCK):
        block = slice(start, start + BLOCK)
        bits = values[block].view(np.uint32)
        half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
        out[block] = np.where(np.isnan(values[block]), quiet, (bits + half) >> np.uint32(16))


def decode_bfloat16(values: Bits, out: Floats) -> None:
    """Set `out` to the float32 that the values are the upper halves of."""
    for start in range(0, values.size, BLOCK):
        block = slice(start, start + BLOCK)
        out[block] = _widened(values[block])


def _widened(bits: Bits) -> Floats:
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _each(blocks: Floats, which: slice) -> Floats:
    """Return what belongs to the block of each of some values, of which the first begins a block."""
    first = which.start // INT8_BLOCK
    last = -(-which.stop // INT8_BLOCK)
    return np.repeat(blocks[first:last], INT8_BLOCK)[: which.stop - which.start]
