"""Weighted sums of coded updates, without decoding them first."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.ext import _checks
from tierwise.ext._choice import kernels, warn_if_missing
from tierwise.ext._coded_numpy import INT8_BLOCK

_coded = kernels("coded")

FLOAT16: Final = np.dtype(np.float16)
UINT16: Final = np.dtype(np.uint16)
INT8: Final = np.dtype(np.int8)
UINT32: Final = np.dtype(np.uint32)


def weighted_sum_float16(
    values: Sequence[NDArray[np.float16]],
    weights: NDArray[np.int64],
    out: NDArray[np.float32],
    *,
    divisor: int = 1,
) -> None:
    """Set `out` to ``sum_k (weights[k] / divisor) * values[k]``.

    It has the bits that `tierwise.ext.weighted_sum` has for the same values as float32, and its error, errors
    raised and warning; all that is said there of buffers holds for `values` here, but for their dtype.

    Parameters
    ----------
    values
        K >= 1 float16 arrays of shape (n,).
    weights, out, divisor
        As for `weighted_sum`.
    """
    held = tuple(values)
    coefficients = _checks.coefficients(held, weights, out, divisor, name="values", dtype=FLOAT16)
    warn_if_missing()
    _coded.weighted_sum_float16(held, coefficients, out)


def weighted_sum_bfloat16(
    values: Sequence[NDArray[np.uint16]],
    weights: NDArray[np.int64],
    out: NDArray[np.float32],
    *,
    divisor: int = 1,
) -> None:
    """Set `out` to ``sum_k (weights[k] / divisor) * values[k]``.

    As `weighted_sum_float16`, of values that are the upper halves of a float32's bits.

    Parameters
    ----------
    values
        K >= 1 uint16 arrays of shape (n,).
    weights, out, divisor
        As for `weighted_sum`.
    """
    held = tuple(values)
    coefficients = _checks.coefficients(held, weights, out, divisor, name="values", dtype=UINT16)
    warn_if_missing()
    _coded.weighted_sum_bfloat16(held, coefficients, out)


def weighted_sum_int8(
    values: Sequence[NDArray[np.int8]],
    scales: Sequence[NDArray[np.float32]],
    weights: NDArray[np.int64],
    out: NDArray[np.float32],
    *,
    divisor: int = 1,
) -> None:
    """Set `out` to ``sum_k (weights[k] / divisor) * scales[k] * values[k]``, each scale for 1,024 values.

    Products are ``float32(float32(coefficient * scale) * value)`` and are added by the law of `weighted_sum`; the
    error is within its bound, and so are the errors raised and the warning. A slice that begins at a multiple of
    `INT8_BLOCK` can be summed by itself, with its part of the scales.

    Parameters
    ----------
    values
        K >= 1 int8 arrays of shape (n,).
    scales
        K float32 arrays of shape (ceil(n / 1024),).
    weights, out, divisor
        As for `weighted_sum`.
    """
    held, of_blocks = tuple(values), tuple(scales)
    coefficients = _checks.coefficients(held, weights, out, divisor, name="values", dtype=INT8)
    _checks.as_many("scales", of_blocks, len(held), "values")
    _checks.each("scales", of_blocks, _checks.FLOAT32, -(-out.size // INT8_BLOCK), "blocks of 1024 in out")
    _checks.apart("scales", of_blocks, out)
    warn_if_missing()
    _coded.weighted_sum_int8(held, of_blocks, coefficients, out)


def weighted_sum_sparse(
    indices: Sequence[NDArray[np.uint32]],
    values: Sequence[NDArray[np.float32]],
    weights: NDArray[np.int64],
    out: NDArray[np.float32],
    *,
    divisor: int = 1,
    start: int = 0,
) -> None:
    """Set `out` to coordinates `start` to ``start + n`` of the weighted sum of sparse updates.

    A coordinate is the running sum over the updates that have it, in their order, in float64, rounded to float32 at
    the end. So the error is at most 2**-22 of the sum of magnitudes for up to 2**28 updates, and any stretch of
    coordinates can be summed by itself. The compiled kernel releases the GIL.

    Parameters
    ----------
    indices
        K >= 1 uint32 arrays of shape (m_k,), strictly increasing; those out of the stretch are passed over. What is
        out of order is found within the stretch only.
    values
        K float32 arrays of shape (m_k,).
    weights, divisor
        As for `weighted_sum`.
    out
        float32 of shape (n,), as for `weighted_sum`.
    start
        At least 0; ``start + n`` is less than 2**32.

    Raises
    ------
    TypeError, ValueError
        As `weighted_sum`; or indices do not increase, or `start` is not as above. `out` is unchanged.

    Warns
    -----
    KernelsMissingWarning
        As `weighted_sum`.
    """
    where, what = tuple(indices), tuple(values)
    _checks.writable(out)
    _checks.require_some(what, "values")
    _checks.as_many("indices", where, len(what), "values")
    for k, (index, value) in enumerate(zip(where, what, strict=True)):
        _checks.one(f"indices[{k}]", index, UINT32)
        _checks.one(f"values[{k}]", value, _checks.FLOAT32, index.size, f"indices[{k}]")
    _checks.apart("indices", where, out)
    _checks.apart("values", what, out)
    coefficients = _checks.quotients_of(weights, divisor, len(what))
    if start < 0 or start + out.size >= 1 << 32:
        raise ValueError(f"start is {start} and out has {out.size} items, expected coordinates from 0 to 2**32 - 1")
    warn_if_missing()
    bad = _coded.weighted_sum_sparse(where, what, coefficients, out, start)
    if bad >= 0:
        raise ValueError(f"indices[{bad}] does not increase strictly, expected each index once and in order")
