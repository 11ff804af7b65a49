"""Coding: how an update becomes fewer bytes on its way from a device, and floats again.

A codec turns the values of an update into a few named arrays. Their names, types and lengths follow from the number of
values alone, so the size of an update is known before anybody trains, and what comes over the network is checked
against it before anything is decoded.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.weights import Buffer

GRAIN: Final = 1024
"""Values. A block that is decoded begins at a multiple of it."""

Arrays = Mapping[str, NDArray[Any]]
"""What a codec makes of an update, by name; each of one axis."""


class Dtype(StrEnum):
    """The types of arrays that an update can be coded in, as the safetensors format spells them."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    """The upper half of a float32; NumPy has no such type, so its arrays are of uint16."""
    I8 = "I8"
    U8 = "U8"
    U16 = "U16"
    U32 = "U32"

    @property
    def numpy(self) -> np.dtype[Any]:
        """NumPy's type, little-endian."""
        return _NUMPY[self]


_NUMPY: Final[dict[Dtype, np.dtype[Any]]] = {
    Dtype.F32: np.dtype("<f4"),
    Dtype.F16: np.dtype("<f2"),
    Dtype.BF16: np.dtype("<u2"),
    Dtype.I8: np.dtype("i1"),
    Dtype.U8: np.dtype("u1"),
    Dtype.U16: np.dtype("<u2"),
    Dtype.U32: np.dtype("<u4"),
}


class ArrayForm(msgspec.Struct, frozen=True, kw_only=True):
    """What an array of a coded update looks like.

    Attributes
    ----------
    dtype
        Of its items.
    length
        How many there are.
    """

    dtype: Dtype
    length: int

    @property
    def bytes(self) -> int:
        """What it takes."""
        return self.dtype.numpy.itemsize * self.length


Form = Mapping[str, ArrayForm]
"""What the arrays of a coded update look like, by name."""


def is_plain(form: Form, size: int) -> bool:
    """Tell whether a form is a single array of the ``size`` values themselves, as float32.

    Such an update is framed as weights are, with the names of its tensors: any program can read it that knows nothing
    of codecs.
    """
    return list(form.values()) == [ArrayForm(dtype=Dtype.F32, length=size)]


class Codec(Protocol):
    """Codes updates: a plugin, made as ``Class(options)`` or ``Class()``, the same on the device and the coordinator.

    Laws, which `tierwise.plugins.testing.check_codec` tests: all methods are pure; the arrays are of the form that was
    announced; what is decoded is finite, lies about where it was, and does not depend on how it is cut into blocks;
    arrays that no update can have given are told from others.
    """

    @property
    def feedback(self) -> bool:
        """Whether a device keeps what the coding loses of an update, and adds it to its next one.

        Seide et al. 2014, "1-Bit Stochastic Gradient Descent", https://doi.org/10.21437/Interspeech.2014-274;
        Karimireddy et al. 2019, "Error Feedback Fixes SignSGD", https://arxiv.org/abs/1901.09847, algorithm 1.
        """
        ...

    def form(self, size: int) -> Form:
        """Return what the arrays of an update of ``size`` values look like."""
        ...

    def encode(self, update: Buffer, seed: int) -> Arrays:
        """Return an update's arrays, of the `form` of its size.

        Parameters
        ----------
        update
            Shape ``(n,)``, float32, finite, read-only.
        seed
            Of whatever is drawn; another one for each update.
        """
        ...

    def fault(self, arrays: Arrays, size: int) -> str | None:
        """Return what is wrong with arrays that a device sent, or None.

        They are of the right form; that decoded values are finite is looked at by who decodes them. What else a
        decoder relies on must be looked at here: that indices are in range.
        """
        ...

    def decode(self, arrays: Arrays, block: slice, out: Buffer) -> None:
        """Write a block of the decoded update.

        Parameters
        ----------
        arrays
            Without `fault`, read-only.
        block
            Which values; its start is a multiple of `GRAIN`, its stop as well or the end of the update.
        out
            Where they go; shape ``(block.stop - block.start,)``, float32, its content undefined before.
        """
        ...


@runtime_checkable
class SumsCoded(Protocol):
    """What a `Codec` also has that sums updates without decoding each of them first."""

    def weighted_sum(
        self,
        updates: Sequence[Arrays],
        weights: NDArray[np.int64],
        block: slice,
        out: Buffer,
        *,
        divisor: int,
    ) -> None:
        """Set ``out`` to a block of ``sum over k of weights[k] / divisor * updates[k]``.

        It differs from the sum of what `decode` gives by roundings of the sum at the most.

        Parameters
        ----------
        updates
            At least one, each without fault.
        weights
            One for each update.
        block, out
            As for `Codec.decode`.
        divisor
            At least 1.
        """
        ...
