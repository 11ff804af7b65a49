"""Sums in an integer ring in NumPy: the specification of the compiled kernel, and its stand-in where there is none.

An item is an integer modulo 2**32 or 2**64, of an unsigned type. Sums are exact, so their order shows nowhere.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Items: TypeAlias = NDArray[np.uint32] | NDArray[np.uint64]

# 128 KiB of float64: within the second-level cache, and long enough for NumPy's cost per call not to matter.
BLOCK: Final = 16384
SIGNED: Final[dict[int, type[np.signedinteger[Any]]]] = {4: np.int32, 8: np.int64}


def ring_sum(buffers: tuple[Items, ...], out: Items) -> None:
    """Set `out` to the sum of the buffers."""
    for block in _blocks(out.size):
        total = out[block]
        total[:] = buffers[0][block]
        for buffer in buffers[1:]:
            np.add(total, buffer[block], out=total)


def encode(values: Floats, clip: float, per_step: float, weight: int, out: Items) -> bool:
    """Set `out` to `weight` times ``values * per_step`` rounded half to even, of values clipped to `clip`.

    Return False, and write nothing, where a value is not finite.
    """
    if not all(np.isfinite(values[block]).all() for block in _blocks(values.size)):
        return False
    for block in _blocks(values.size):
        clipped = np.clip(values[block].astype(np.float64), -clip, clip)
        steps = np.rint(clipped * per_step).astype(np.int64).astype(out.dtype)
        np.multiply(steps, out.dtype.type(weight), out=out[block])
    return True


def decode(sums: Items, step: float, divisor: float, out: Floats) -> None:
    """Set `out` to ``float32(float64(sum) * step / divisor)``, of sums in two's complement."""
    signed = sums.view(SIGNED[sums.itemsize])
    with np.errstate(all="ignore"):
        for block in _blocks(out.size):
            out[block] = signed[block].astype(np.float64) * step / divisor


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))
