"""Updates of 16-bit floats, rounded to the nearest, at a tie to the even one."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.coding import ArrayForm, Arrays, Dtype, Form
from tierwise.core.weights import Buffer
from tierwise.ext import decode_bfloat16, encode_bfloat16, weighted_sum_bfloat16, weighted_sum_float16
from tierwise.plugins.codecs._limits import LARGEST_BFLOAT16, LARGEST_FLOAT16, limited

VALUES: Final = "values"


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
        return {VALUES: limited(update, LARGEST_FLOAT16).astype(np.float16)}

    def fault(self, arrays: Arrays, size: int) -> str | None:  # noqa: ARG002  (it has what its form says)
        """Return None: whatever values are finite can be."""
        return None

    def decode(self, arrays: Arrays, block: slice, out: Buffer) -> None:
        """Widen a block."""
        out[:] = arrays[VALUES][block]

    def weighted_sum(
        self, updates: Sequence[Arrays], weights: NDArray[np.int64], block: slice, out: Buffer, *, divisor: int
    ) -> None:
        """Sum what the values of a block stand for, by the law of `tierwise.ext.weighted_sum`."""
        weighted_sum_float16([arrays[VALUES][block] for arrays in updates], weights, out, divisor=divisor)


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
        return {VALUES: encode_bfloat16(limited(update, LARGEST_BFLOAT16))}

    def fault(self, arrays: Arrays, size: int) -> str | None:  # noqa: ARG002  (it has what its form says)
        """Return None: whatever values are finite can be."""
        return None

    def decode(self, arrays: Arrays, block: slice, out: Buffer) -> None:
        """Widen a block."""
        decode_bfloat16(arrays[VALUES][block], out)

    def weighted_sum(
        self, updates: Sequence[Arrays], weights: NDArray[np.int64], block: slice, out: Buffer, *, divisor: int
    ) -> None:
        """Sum what the values of a block stand for, by the law of `tierwise.ext.weighted_sum`."""
        weighted_sum_bfloat16([arrays[VALUES][block] for arrays in updates], weights, out, divisor=divisor)
