"""Coded updates to bytes and back, in the safetensors format, without copying the arrays.

A frame is as `tierwise.core.framing` has it: a header and the arrays behind it. The arrays of the widest items come
first, and of those the first by name, so that each is aligned, and its metadata name the codec. A form and a name give
one header, so who knows which codec a group has knows it to the byte, and reads no other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.coding import Arrays, Codec, Form, is_plain
from tierwise.core.errors import LayoutError, ProtocolError
from tierwise.core.framing import Entry, frame, frame_bytes, header, header_of, read_metadata, unframe
from tierwise.core.weights import Buffer, Layout, Weights

_UNCODED: Final = "float32"


@dataclass(frozen=True)
class CodedUpdates:
    """How a tier's updates are framed.

    Attributes
    ----------
    codec, name
        The codec, and its plugin's name.
    layout
        Of the updates: the aggregated part of the model's.
    """

    codec: Codec
    name: str
    layout: Layout

    @cached_property
    def form(self) -> Form:
        """What an update's arrays look like."""
        return self.codec.form(self.layout.size)

    @cached_property
    def plain(self) -> bool:
        """Whether that is `plain <tierwise.core.coding.is_plain>`."""
        return is_plain(self.form, self.layout.size)

    @cached_property
    def update_bytes(self) -> int:
        """What each update takes."""
        if self.plain:
            return frame_bytes(self.layout)
        return len(self._header) + sum(array.bytes for array in self.form.values())

    @cached_property
    def _header(self) -> bytes:
        return _header(self.form, self.name)

    def frame(self, arrays: Arrays) -> bytes:
        """Return what the codec made of an update as a whole frame, which copies each array once.

        Raises
        ------
        LayoutError
            If the arrays are not of the codec's form.
        """
        _require(self.form, arrays, self.name)
        if self.plain:
            (values,) = arrays.values()
            return b"".join(frame(Weights(self.layout, values)))
        parts = (np.ascontiguousarray(arrays[one]).view(np.uint8).data for one in _order(self.form))
        return b"".join((self._header, *parts))

    def read(self, body: bytes | memoryview, subject: str) -> Arrays:
        """Read a frame.

        Parameters
        ----------
        body
            The frame.
        subject
            What it is, to begin an error's sentence with.

        Returns
        -------
        Arrays
            Read-only views of ``body``; copies where that stands so in memory that their items are not aligned.

        Raises
        ------
        ProtocolError
            If ``body`` is cut short, too long, or has another header than an update of this codec and size.
        LayoutError
            If it is a frame of weights, which the codec leaves as they are, of another layout.
        """
        form = self.form
        view = memoryview(body).toreadonly().cast("B")
        if self.plain:
            return {next(iter(form)): self._read_plain(view, subject)}
        if bytes(view[: len(self._header)]) != self._header:
            raise ProtocolError(_another(view, self.name))
        if len(view) != self.update_bytes:
            raise ProtocolError(f"it has {len(view)} bytes, an update in codec {self.name!r} has {self.update_bytes}")
        arrays, start = {}, len(self._header)
        for one in _order(form):
            stop = start + form[one].bytes
            arrays[one] = _aligned(np.frombuffer(view[start:stop], form[one].dtype.numpy))
            start = stop
        return arrays

    def _read_plain(self, view: memoryview, subject: str) -> Buffer:
        header = header_of(self.layout)
        if len(view) == self.update_bytes and bytes(view[: len(header)]) == header:
            return _aligned(np.frombuffer(view, np.float32, offset=len(header)))
        weights = unframe(view)
        self.layout.require(weights.layout, subject)
        return weights.buffer

    def blocks(self, arrays: Arrays, length: int) -> Iterator[tuple[slice, Buffer]]:
        """Yield where each block of an update is, and its values: valid until the next one is asked for, read-only.

        Parameters
        ----------
        arrays
            The update, without fault.
        length
            Values of a block; a multiple of `tierwise.core.coding.GRAIN`.
        """
        size = self.layout.size
        plain = next(iter(arrays.values())) if self.plain else None
        room = np.empty(min(length, size) if plain is None else 0, np.float32)
        for start in range(0, size, length):
            block = slice(start, min(start + length, size))
            if plain is None:
                values = room[: block.stop - start]
                self.codec.decode(arrays, block, values)
            else:
                values = plain[block]
            yield block, values


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    if array.flags.aligned:
        return array
    array = array.copy()
    array.flags.writeable = False
    return array


def _order(form: Form) -> list[str]:
    return sorted(form, key=lambda name: (-form[name].dtype.numpy.itemsize, name))


def _header(form: Form, codec: str) -> bytes:
    entries, start = {}, 0
    for name in _order(form):
        stop = start + form[name].bytes
        entries[name] = Entry(dtype=form[name].dtype.value, shape=(form[name].length,), data_offsets=(start, stop))
        start = stop
    return header(entries, {"codec": codec})


def _require(form: Form, arrays: Arrays, codec: str) -> None:
    if arrays.keys() != form.keys():
        raise LayoutError(f"codec {codec!r} gave the arrays {sorted(arrays)}, its form has {sorted(form)}")
    for name, one in form.items():
        found = arrays[name]
        if found.shape != (one.length,) or found.dtype != one.dtype.numpy:
            raise LayoutError(
                f"codec {codec!r} gave an array {name!r} of shape {found.shape} and dtype {found.dtype}, its form has "
                f"({one.length},) and {one.dtype.numpy}"
            )


def _another(view: memoryview, codec: str) -> str:
    """Say what a frame has instead of the header of an update in a codec."""
    try:
        metadata = read_metadata(view)
    except ProtocolError as error:
        return str(error)
    found = metadata.get("codec", _UNCODED)
    if found == codec:
        return f"it is in codec {codec!r}, but not of this size or with these options"
    older = "; a device of an older tierwise knows no codecs: upgrade it" if found == _UNCODED else ""
    return f"it is in codec {found!r}, the group's updates are in {codec!r}{older}"
