"""Coding of float32 values in fewer bits, and decoding."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.ext import _checks
from tierwise.ext._choice import kernels, warn_if_missing
from tierwise.ext._coded_numpy import INT8_BLOCK

_coded = kernels("coded")

UINT16: Final = np.dtype(np.uint16)
INT8: Final = np.dtype(np.int8)


def encode_int8(values: NDArray[np.float32], *, seed: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return values rounded at random to 255 steps, and the size of a step in each block of 1,024 values.

    The largest magnitude of a block is 127 steps. A value goes to one of the two steps beside it, with chances that
    make its expectation the value, to within 2**-15 of a step; so errors of many updates cancel each other out
    (Alistarh et al. 2017, "QSGD", https://arxiv.org/abs/1610.02132, section 3.1, with the maximum for the norm). A
    block with no magnitude of at least 2**-100 becomes zeros. The result is a function of values and seed, the same on
    every machine.

    Parameters
    ----------
    values
        float32 of shape (n,), n less than 2**32, C-contiguous, aligned, finite.
    seed
        From 0 to 2**64 - 1. Two encodings whose errors should be independent need two seeds.

    Returns
    -------
    steps
        int8 of shape (n,), from -127 to 127.
    scales
        float32 of shape (ceil(n / 1024),), at least 0; the value is about ``scale * step``.

    Raises
    ------
    TypeError
        `values` is not a NumPy array of float32.
    ValueError
        Its shape, stride or alignment is not as above, a value is not finite, or `seed` is out of range.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum`.
    """
    _checks.one("values", values, _checks.FLOAT32)
    if values.size >= 1 << 32:
        raise ValueError(f"values has {values.size} items, expected less than 2**32")
    steps = np.empty(values.size, np.int8)
    scales = np.empty(-(-values.size // INT8_BLOCK), np.float32)
    warn_if_missing()
    bad = _coded.encode_int8(values, _key(seed), steps, scales)
    if bad >= 0:
        first = bad * INT8_BLOCK
        block = values[first : first + INT8_BLOCK]
        at = int(np.argmin(np.isfinite(block)))
        raise ValueError(f"values[{first + at}] is {block[at]}, expected finite values")
    return steps, scales


def decode_int8(steps: NDArray[np.int8], scales: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Set `out` to ``float32(scale * step)``, each scale for 1,024 steps.

    A slice that begins at a multiple of `INT8_BLOCK` can be decoded by itself, with its part of the scales.

    Parameters
    ----------
    steps
        int8 of shape (n,), C-contiguous.
    scales
        float32 of shape (ceil(n / 1024),), C-contiguous, aligned.
    out
        float32 of shape (n,), C-contiguous, aligned, writable, sharing no memory with the others.

    Raises
    ------
    TypeError
        An argument is not a NumPy array or not of the dtype above.
    ValueError
        A shape, stride or alignment is not as above, or `out` is read-only or shares memory with another.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum`.
    """
    _checks.writable(out)
    _checks.one("steps", steps, INT8, out.size, "out")
    _checks.one("scales", scales, _checks.FLOAT32, -(-out.size // INT8_BLOCK), "blocks of 1024 in out")
    _checks.apart_from_out("steps", steps, out)
    _checks.apart_from_out("scales", scales, out)
    warn_if_missing()
    _coded.decode_int8(steps, scales, out)


def encode_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return the upper halves of values' bits, rounded to nearest, to even.

    Magnitudes from 3.396e38 on become infinite; infinities stay what they are, and a NaN stays one.

    Parameters
    ----------
    values
        float32 of shape (n,), C-contiguous, aligned.

    Returns
    -------
    uint16 of shape (n,).

    Raises
    ------
    TypeError
        `values` is not a NumPy array of float32.
    ValueError
        Its shape, stride or alignment is not as above.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum`.
    """
    _checks.one("values", values, _checks.FLOAT32)
    out = np.empty(values.size, np.uint16)
    warn_if_missing()
    _coded.encode_bfloat16(values, out)
    return out


def decode_bfloat16(values: NDArray[np.uint16], out: NDArray[np.float32]) -> None:
    """Set `out` to the float32 that `values` are the upper halves of; exact.

    Parameters
    ----------
    values
        uint16 of shape (n,), C-contiguous, aligned.
    out
        float32 of shape (n,), C-contiguous, aligned, writable, sharing no memory with `values`.

    Raises
    ------
    TypeError, ValueError
        As `decode_int8`.

    Warns
    -----
    KernelsMissingWarning
        As `tierwise.ext.weighted_sum`.
    """
    _checks.writable(out)
    _checks.one("values", values, UINT16, out.size, "out")
    _checks.apart_from_out("values", values, out)
    warn_if_missing()
    _coded.decode_bfloat16(values, out)


def _key(seed: int) -> tuple[int, int]:
    """Return two words of 32 bits that differ in about half of their bits for seeds that differ at all.

    It is the finaliser of SplitMix64 (Steele et al. 2014, https://doi.org/10.1145/2660193.2660195), a bijection.
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed is {seed}, expected 0 to 2**64 - 1")
    mask = (1 << 64) - 1
    mixed = (seed + 0x9E3779B97F4A7C15) & mask
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & mask
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & mask
    mixed ^= mixed >> 31
    return mixed & 0xFFFFFFFF, mixed >> 32
