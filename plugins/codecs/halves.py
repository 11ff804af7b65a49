"""Updates of 16-bit floats, rounded to the nearest, at a tie to the even one."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.coding import ArrayForm, Arrays, Dtype, Form
from tierwise.core.weights import Buffer

VALUES: Final = "values"
_LARGEST_HALF: Final = np.float32(65504)
_LARGEST_BFLOAT: Final = 0x7F7F
"""The bits of the largest finite bfloat16."""
_BLOCK: Final = 1 << 15
"""Values that are worked on at a time, which stay in a core's cache."""


class HalfOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `Float16Codec` and `Bfloat16Codec`.

    Attributes
    ----------
    error_feedback
        Whether a device adds what rounding took from one update to its next one.
    """

    error_feedback: bool = True


class Float16Codec:
    """Sends each value as an IEEE float16: 2 bytes, 11 significant bits.

    Values of more than 65,504 are cut off there, and values below 6e-8 vanish.
    """

    def __init__(self, options: HalfOptions) -> None:
        self._options = options

    @property
    def feedback(self) -> bool:
        """As the options say."""
        return self._options.error_feedback

    def form(self, size: int) -> Form:
        """Return the form of one array."""
        return {VALUES: ArrayForm(dtype=Dtype.F16, length=size)}

    def encode(self, update: Buffer, seed: int) -> Arrays:  # noqa: ARG002  (nothing is drawn)
        """Round each value."""
        halves = np.empty(update.size, np.float16)
        for start in range(0, update.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            halves[block] = np.clip(update[block], -_LARGEST_HALF, _LARGEST_HALF)
        return {VALUES: halves}

    def fault(self, arrays: Arrays, size: int) -> str | None:  # noqa: ARG002  (it has what its form says)
        """Return None: whatever values are finite can be."""
        return None

    def decode(self, arrays: Arrays, block: slice, out: Buffer) -> None:
        """Widen a block."""
        out[:] = arrays[VALUES][block]


class Bfloat16Codec:
    """Sends each value as a bfloat16: 2 bytes, 8 significant bits, and the range of a float32."""

    def __init__(self, options: HalfOptions) -> None:
        self._options = options

    @property
    def feedback(self) -> bool:
        """As the options say."""
        return self._options.error_feedback

    def form(self, size: int) -> Form:
        """Return the form of one array."""
        return {VALUES: ArrayForm(dtype=Dtype.BF16, length=size)}

    def encode(self, update: Buffer, seed: int) -> Arrays:  # noqa: ARG002  (nothing is drawn)
        """Round each value; what would become infinite becomes the largest there is."""
        halves = np.empty(update.size, np.uint16)
        for start in range(0, update.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            halves[block] = _rounded(update[block].view(np.uint32))
        return {VALUES: halves}

    def fault(self, arrays: Arrays, size: int) -> str | None:  # noqa: ARG002  (it has what its form says)
        """Return None: whatever values are finite can be."""
        return None

    def decode(self, arrays: Arrays, block: slice, out: Buffer) -> None:
        """Widen a block."""
        bits = out.view(np.uint32)
        bits[:] = arrays[VALUES][block]
        bits <<= 16


def _rounded(bits: NDArray[np.uint32]) -> NDArray[np.uint16]:
    upper = (bits + (0x7FFF + (bits >> 16 & 1))) >> 16
    rounded: NDArray[np.uint16] = (upper & 0x8000 | np.minimum(upper & 0x7FFF, _LARGEST_BFLOAT)).astype(np.uint16)
    return rounded
