"""Updates of 8-bit integers, rounded at random."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.coding import GRAIN, ArrayForm, Arrays, Dtype, Form
from tierwise.core.weights import Buffer

SCALES: Final = "scales"
VALUES: Final = "values"
_STEPS: Final = 127
_LARGEST_SCALE: Final = np.nextafter(np.finfo(np.float32).max / np.float32(_STEPS), np.float32(0))
"""Of which 127 steps are finite."""
_BLOCK: Final = 32 * GRAIN
"""Values that are worked on at a time, which stay in a core's cache."""


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
        random = np.random.Generator(np.random.SFC64(seed))
        values = np.empty(update.size, np.int8)
        scales = np.empty(-(-update.size // GRAIN), np.float32)
        for start in range(0, update.size, _BLOCK):
            block = update[start : start + _BLOCK]
            first = start // GRAIN
            peaks = np.maximum.reduceat(np.abs(block), np.arange(0, block.size, GRAIN))
            scales[first : first + peaks.size] = np.minimum(peaks / np.float32(_STEPS), _LARGEST_SCALE)
            each = _each(scales[first : first + peaks.size], block.size)
            steps = np.divide(block, each, out=np.zeros_like(block), where=each > 0)
            steps += random.random(block.size, np.float32)
            np.floor(steps, out=steps)
            values[start : start + _BLOCK] = np.clip(steps, -_STEPS, _STEPS)
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
        scales = arrays[SCALES][block.start // GRAIN : -(-block.stop // GRAIN)]
        with np.errstate(over="ignore"):  # whoever decodes sees whether the values are finite
            np.multiply(arrays[VALUES][block], _each(scales, out.size), out=out)


def _each(scales: Buffer, size: int) -> NDArray[np.float32]:
    return np.repeat(scales, GRAIN)[:size]
