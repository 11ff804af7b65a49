"""Weights to bytes and back, in the safetensors format, without copying the buffer.

A frame is the 8-byte length of the header, the header (JSON, padded with spaces to a multiple of 8) and the
buffer. Any safetensors reader opens it. It is *canonical*: one layout gives one header, byte for byte (the
library's own encoder leaves the order of the metadata open), so the hash of the frame identifies the weights.
Format: https://github.com/huggingface/safetensors#format
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np

from tierwise.core.errors import LayoutError, ProtocolError
from tierwise.core.weights import Buffer, Layout, Role, TensorSpec, Weights

HEADER_LIMIT: Final = 16 * 1024 * 1024
"""Bytes; a longer header is refused before it is parsed."""
_LENGTH: Final = struct.Struct("<Q")
_METADATA: Final = "__metadata__"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An array's place behind the header, as the format has it; offsets are in bytes from the header's end."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def frame(weights: Weights) -> tuple[bytes, memoryview]:
    """Return the header and a view of the buffer: write one after the other.

    The view stays valid, and the frame unchanged, as long as nobody writes to the buffer.
    """
    return header_of(weights.layout), weights.buffer.view(np.uint8).data


def to_bytes(weights: Weights) -> bytes:
    """Return the whole frame, which copies the buffer once."""
    return b"".join(frame(weights))


def blank(layout: Layout) -> tuple[memoryview, Buffer]:
    """Return a frame, and its values, shape ``(layout.size,)``: undefined, and what is written there needs no copy."""
    header = header_of(layout)
    data = np.empty(len(header) + 4 * layout.size, np.uint8)
    frame = data.data
    frame[: len(header)] = header
    return frame, data[len(header) :].view(np.float32)


def arrays_to_bytes(arrays: Mapping[str, Buffer]) -> bytes:
    """Return named arrays of shape ``(n,)`` and float32 as a whole frame, which copies each once."""
    layout = Layout.of({name: array.shape for name, array in arrays.items()})
    buffers = (np.ascontiguousarray(arrays[tensor.name]) for tensor in layout.tensors)
    return b"".join((header_of(layout), *(buffer.view(np.uint8).data for buffer in buffers)))


def frame_bytes(layout: Layout) -> int:
    """Return how many bytes the frame of weights of a layout has."""
    return len(header_of(layout)) + 4 * layout.size


@lru_cache(maxsize=256)
def header_of(layout: Layout) -> bytes:
    """Return the header of the frames of a layout, its length before it."""
    metadata, entries = {}, {}
    for tensor in layout.tensors:
        place = layout.slices[tensor.name]
        entries[tensor.name] = Entry(dtype="F32", shape=tensor.shape, data_offsets=(4 * place.start, 4 * place.stop))
        if tensor.dtype != "float32":
            metadata[f"dtype:{tensor.name}"] = tensor.dtype
        if tensor.role is not Role.AGGREGATE:
            metadata[f"role:{tensor.name}"] = tensor.role.value
    return header(entries, metadata)


def header(entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> bytes:
    """Return the header of a frame, its length before it."""
    text = msgspec.json.encode({_METADATA: {"format": "tierwise.1", **metadata}, **entries}, order="deterministic")
    text += b" " * (-len(text) % 8)
    return _LENGTH.pack(len(text)) + text


def unframe(data: bytes | memoryview) -> Weights:
    """Read a frame.

    Returns
    -------
    Weights
        Their buffer is a read-only view of ``data``; a copy where ``data`` stands so in memory (at an odd place
        within a message) that its floats are not aligned.

    Raises
    ------
    ProtocolError
        If ``data`` is no frame: cut short, too long, not float32, or not canonical.
    """
    view = memoryview(data).toreadonly().cast("B")
    start = _header_end(view)
    layout = _read_layout(bytes(view[:start]))
    body = view[start:]
    if len(body) != 4 * layout.size:
        raise ProtocolError(f"the header names {4 * layout.size} bytes of tensors, {len(body)} follow")
    buffer = np.frombuffer(body, np.float32)
    if not buffer.flags.aligned:  # which the kernels of tierwise.ext refuse
        buffer = buffer.copy()
        buffer.flags.writeable = False
    return Weights(layout, buffer)


def read_metadata(view: memoryview) -> dict[str, str]:
    """Return what the header of a frame says beside its arrays.

    Raises
    ------
    ProtocolError
        If there is no header that can be read.
    """
    try:
        return _read_entries(bytes(view[: _header_end(view)]))[1]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(f"the header of a frame cannot be read: {error}") from error


def _header_end(view: memoryview) -> int:
    if len(view) < _LENGTH.size:
        raise ProtocolError(f"a frame of weights has at least {_LENGTH.size} bytes, got {len(view)}")
    (length,) = _LENGTH.unpack(view[: _LENGTH.size])
    end: int = _LENGTH.size + length
    if length > HEADER_LIMIT or end > len(view):
        raise ProtocolError(
            f"a frame of {len(view)} bytes says that its header has {length} bytes (at most {HEADER_LIMIT})"
        )
    return end


def _read_entries(text: bytes) -> tuple[dict[str, msgspec.Raw], dict[str, str]]:
    raw = msgspec.json.decode(text[_LENGTH.size :], type=dict[str, msgspec.Raw])
    return raw, msgspec.json.decode(raw.pop(_METADATA, b"{}"), type=dict[str, str])


@lru_cache(maxsize=256)
def _read_layout(text: bytes) -> Layout:
    try:
        raw, metadata = _read_entries(text)
        entries = {name: msgspec.json.decode(value, type=Entry) for name, value in raw.items()}
        layout = Layout(
            tuple(
                TensorSpec(
                    name=name,
                    shape=entries[name].shape,
                    dtype=metadata.get(f"dtype:{name}", "float32"),
                    role=Role(metadata.get(f"role:{name}", "aggregate")),
                )
                for name in sorted(entries)
            )
        )
    except (msgspec.MsgspecError, LayoutError, ValueError, RecursionError) as error:
        raise ProtocolError(f"the header of a frame of weights cannot be read: {error}") from error
    if header_of(layout) != text:
        raise ProtocolError(
            "a frame of weights is not in the canonical form (float32, tensors sorted by name, no gaps); "
            "the safetensors library reads it, tierwise.core.framing writes it"
        )
    return layout
