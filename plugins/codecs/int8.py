"""Updates of 8-bit integers, rounded at random."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.coding import GRAIN, ArrayForm, Arrays, Dtype, Form
from tierwise.core.weights import Buffer
from tierwise.ext import INT8_BLOCK, decode_int8, encode_int8, weighted_sum_int8
from tierwise.plugins.codecs._limits import LARGEST_BFLOAT16, limited

SCALES: Final = "scales"
VALUES: Final = "values"
_STEPS: Final = 127
_BLOCK: Final = 32 * GRAIN
"""Values that are looked at together."""
assert GRAIN == INT8_BLOCK, "a block of values begins with a scale"


class Int8Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `Int8Codec`.

    Attributes
    ----------
    error_feedback
        Whether a device adds what rounding took from one update to its next one.
    """

    error_feedback: bool = True


class Int8Codec:
    """Sends each value as one of 255 steps: 1 byte, and 4 more for every 1,024 values.

    Of every 1,024 values the largest magnitude is 127 steps. Each value goes to one of the two steps beside it, with
    chances that leave its expectation where it was, so that errors of many devices cancel each other out. Alistarh et
    al. 2017, "QSGD: Communication-Efficient SGD via Gradient Quantization and Encoding",
    https://arxiv.org/abs/1610.02132, section 3.1, with the maximum in place of the norm.
    """

    def __init__(self, options: Int8Options) -> None:
        self._options = options

    @property
    def feedback(self) -> bool:
        """As the options say."""
        return self._options.error_feedback

    def form(self, size: int) -> Form:
        """Return the form of the steps, and of the scale of each 1,024 values."""
        return {
            SCALES: ArrayForm(dtype=Dtype.F32, length=-(-size // GRAIN)),
            VALUES: ArrayForm(dtype=Dtype.I8, length=size),
        }

    def encode(self, update: Buffer, seed: int) -> Arrays:
        """Round each value at random."""
        values, scales = encode_int8(limited(update, LARGEST_BFLOAT16), seed=seed)
        return {SCALES: scales, VALUES: values}

    def fault(self, arrays: Arrays, size: int) -> str | None:
        """Return whether a scale cannot be one, or a step is none of the 255."""
        scales = arrays[SCALES]
        bad = scales.size - int(np.count_nonzero(np.isfinite(scales) & (scales >= 0)))
        if bad:
            return f"{bad} of its {scales.size} scales are no finite numbers of at least 0"
        for start in range(0, size, _BLOCK):
            if (arrays[VALUES][start : start + _BLOCK] < -_STEPS).any():
                return f"a value is -128 steps, they go from -{_STEPS} to {_STEPS}"
        return None

    def decode(self, arrays: Arrays, block: slice, out: Buffer) -> None:
        """Multiply the steps of a block with their scales."""
        decode_int8(arrays[VALUES][block], arrays[SCALES][_scales(block)], out)

    def weighted_sum(
        self, updates: Sequence[Arrays], weights: NDArray[np.int64], block: slice, out: Buffer, *, divisor: int
    ) -> None:
        """Sum the steps of a block times their scales, by the law of `tierwise.ext.weighted_sum`."""
        values = [arrays[VALUES][block] for arrays in updates]
        scales = [arrays[SCALES][_scales(block)] for arrays in updates]
        weighted_sum_int8(values, scales, weights, out, divisor=divisor)


def _scales(block: slice) -> slice:
    return slice(block.start // GRAIN, -(-block.stop // GRAIN))
