"""What must hold before a kernel runs. The kernels themselves check nothing."""

import operator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tierwise.ext._choice import kernels

_arrays = kernels("arrays")

FLOAT32: Final = np.dtype(np.float32)
FLOAT64: Final = np.dtype(np.float64)
INT64: Final = np.dtype(np.int64)

Arrays = tuple[NDArray[Any], ...]


def coefficients(
    buffers: Arrays,
    weights: NDArray[np.int64],
    out: NDArray[np.float32],
    divisor: int,
    *,
    name: str = "buffers",
    dtype: np.dtype[Any] = FLOAT32,
) -> NDArray[np.float32]:
    """Check the arguments of `tierwise.ext.weighted_sum` and its like, and return ``float32(weights / divisor)``.

    The quotient is taken in float64, so no weight is too large and each coefficient is within 2**-24 of its
    own size.
    """
    require_some(buffers, name)
    quotients = quotients_of(weights, divisor, len(buffers))
    alike(buffers, out, name=name, dtype=dtype)
    return quotients


def quotients_of(weights: NDArray[np.int64], divisor: int, count: int) -> NDArray[np.float32]:
    """Check the weights of so many buffers, and return ``float32(weights / divisor)``."""
    quotients: NDArray[np.float32] | None = _arrays.quotients(weights, float(positive("divisor", divisor)))
    if quotients is None:
        if fault := _fault("weights", weights, INT64):
            raise fault
        quotients = np.divide(weights, float(divisor)).astype(np.float32)
    if len(quotients) != count:
        raise ValueError(f"weights has {len(quotients)} items, expected {count}, one for each buffer")
    return quotients


def alike(
    buffers: Arrays,
    out: NDArray[Any],
    *,
    name: str = "buffers",
    dtype: np.dtype[Any] = FLOAT32,
    result: np.dtype[Any] = FLOAT32,
) -> None:
    """Check that there are buffers to reduce, and somewhere of the same shape to write the result to."""
    require_some(buffers, name)
    if not (_arrays.alike(buffers, dtype, out) and out.dtype is result):
        writable(out, result)
        each(name, buffers, dtype, out.size, "out")
        apart(name, buffers, out)


def require_some(buffers: tuple[object, ...], name: str = "buffers") -> None:
    """Check that there are buffers."""
    if len(buffers) == 0:
        raise ValueError(f"{name} is empty, expected at least one buffer")


def writable(out: NDArray[Any], dtype: np.dtype[Any] = FLOAT32) -> None:
    """Check what a result is written to."""
    if fault := _fault("out", out, dtype):
        raise fault
    if not out.flags.writeable:
        raise ValueError("out is read-only, expected an array that the sum can be written to")


def each(name: str, buffers: Arrays, dtype: np.dtype[Any], size: int, like: str) -> None:
    """Check that all buffers are of a dtype and size; `like` says what has this size too."""
    for k, buffer in enumerate(buffers):
        # One condition, and the text only on failure: with many small buffers this loop costs as much as the
        # sum.
        if not (
            isinstance(buffer, np.ndarray)
            and buffer.dtype == dtype
            and buffer.shape == (size,)
            and buffer.flags.c_contiguous
            and buffer.flags.aligned
        ):
            one(f"{name}[{k}]", buffer, dtype, size, like)


def one(name: str, array: NDArray[Any], dtype: np.dtype[Any], size: int | None = None, like: str = "") -> None:
    """Check a single array, and its size unless that is free; `like` says what has this size too."""
    if fault := _fault(name, array, dtype):
        raise fault
    if size is not None and array.size != size:
        raise ValueError(f"{name} has {array.size} items, expected {size}, as many as {like}")


def apart(name: str, buffers: Arrays, out: NDArray[Any]) -> None:
    """Check that no buffer shares memory with the result."""
    for k, buffer in enumerate(buffers):
        apart_from_out(f"{name}[{k}]", buffer, out)


def apart_from_out(name: str, array: NDArray[Any], out: NDArray[Any]) -> None:
    """Check that an array shares no memory with the result."""
    # Comparing the bounds, as this does, is exact for contiguous arrays.
    if np.may_share_memory(array, out):
        raise ValueError(
            f"{name} shares memory with out, expected a separate array: out is written before all buffers are read"
        )


def as_many(name: str, buffers: Arrays, count: int, of: str) -> None:
    """Check that there are so many buffers; `of` says what there is one for."""
    if len(buffers) != count:
        raise ValueError(f"{name} has {len(buffers)} items, expected {count}, one for each of {of}")


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


def positive(name: str, value: int) -> int:
    """Check that an integer is at least 1, and return it."""
    value = operator.index(value)
    if value < 1:
        raise ValueError(f"{name} is {value}, expected a positive integer")
    return value


def within(name: str, value: int, least: int, most: int) -> int:
    """Check an integer against its bounds, and return it."""
    value = operator.index(value)
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}, expected {least} to {most}")
    return value


def _fault(
    name: str, array: object, dtype: np.dtype[Any], shape: tuple[int, ...] | None = None
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
