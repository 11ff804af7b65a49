"""What must hold before a kernel runs. The kernels themselves check nothing."""

import operator
from typing import Final

import numpy as np
from numpy.typing import NDArray

FLOAT32: Final = np.dtype(np.float32)
FLOAT64: Final = np.dtype(np.float64)
INT64: Final = np.dtype(np.int64)


def coefficients(
    buffers: tuple[NDArray[np.float32], ...],
    weights: NDArray[np.int64],
    out: NDArray[np.float32],
    divisor: int,
) -> NDArray[np.float32]:
    """Check the arguments of `tierwise.ext.weighted_sum` and return ``float32(weights / divisor)``.

    The quotient is taken in float64, so no weight is too large and each coefficient is within 2**-24 of its
    own size.
    """
    divisor = operator.index(divisor)
    if divisor < 1:
        raise ValueError(f"divisor is {divisor}, expected a positive integer")
    require_some(buffers)
    if fault := _fault("weights", weights, INT64):
        raise fault
    if len(weights) != len(buffers):
        raise ValueError(f"weights has {len(weights)} items, expected {len(buffers)}, one for each buffer")
    alike(buffers, out)
    return (weights.astype(np.float64) / float(divisor)).astype(np.float32)


def alike(buffers: tuple[NDArray[np.float32], ...], out: NDArray[np.float32]) -> None:
    """Check that there are buffers to reduce, and somewhere of the same shape to write the result to."""
    require_some(buffers)
    if fault := _fault("out", out, FLOAT32):
        raise fault
    if not out.flags.writeable:
        raise ValueError("out is read-only, expected an array that the sum can be written to")
    for k, buffer in enumerate(buffers):
        # One condition, and the text only on failure: with many small buffers this loop costs as much as the
        # sum.
        if not (
            isinstance(buffer, np.ndarray)
            and buffer.dtype == FLOAT32
            and buffer.shape == out.shape
            and buffer.flags.c_contiguous
            and buffer.flags.aligned
        ):
            name = f"buffers[{k}]"
            raise _fault(name, buffer, FLOAT32) or ValueError(
                f"{name} has {buffer.size} items, expected {out.size}, as many as out"
            )
        # Comparing the bounds, as this does, is exact for contiguous arrays.
        if np.may_share_memory(buffer, out):
            raise ValueError(
                f"buffers[{k}] shares memory with out, expected a separate array: "
                "out is written before all buffers are read"
            )


def sums_of(buffers: tuple[NDArray[np.float32], ...], out: NDArray[np.float64], *, ndim: int) -> None:
    """Check that there are buffers of one shape, and `out` has a float64 for each of them, or for each pair."""
    require_some(buffers)
    for k, buffer in enumerate(buffers):
        if fault := _fault(f"buffers[{k}]", buffer, FLOAT32):
            raise fault
        if buffer.size != buffers[0].size:
            raise ValueError(f"buffers[{k}] has {buffer.size} items, expected {buffers[0].size}, as many as buffers[0]")
    if fault := _fault("out", out, FLOAT64, shape=(len(buffers),) * ndim):
        raise fault
    if not out.flags.writeable:
        raise ValueError("out is read-only, expected an array that the sums can be added to")


def require_some(buffers: tuple[object, ...]) -> None:
    """Check that there are buffers."""
    if len(buffers) == 0:
        raise ValueError("buffers is empty, expected at least one buffer")


def within(name: str, value: int, least: int, most: int) -> int:
    """Check an integer against its bounds, and return it."""
    value = operator.index(value)
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}, expected {least} to {most}")
    return value


def _fault(
    name: str, array: object, dtype: np.dtype[np.generic], shape: tuple[int, ...] | None = None
) -> TypeError | ValueError | None:
    """Return what is wrong with one array, if anything is: of any length, or of a shape."""
    if not isinstance(array, np.ndarray):
        return TypeError(f"{name} is of type {type(array).__name__}, expected a NumPy array of {dtype}")
    if array.dtype != dtype:
        # `str` of a swapped dtype is its byte order and kind: '>f4'
        return TypeError(f"{name} has dtype {array.dtype}, expected {dtype}")
    if shape is not None and array.shape != shape:
        return ValueError(f"{name} has shape {array.shape}, expected {shape}")
    if shape is None and array.ndim != 1:
        return ValueError(f"{name} has shape {array.shape}, expected one dimension")
    if not array.flags.c_contiguous:
        return ValueError(f"{name} has strides {array.strides}, expected contiguous items: {dtype.itemsize} bytes")
    if not array.flags.aligned:
        return ValueError(f"{name} does not start at a multiple of {dtype.itemsize} bytes, expected a copy that does")
    return None
