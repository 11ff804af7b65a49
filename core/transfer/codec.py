"""Link messages to bytes and back.

A link message is ``b"tl"``, the link version (1 byte), a reserved zero byte, the header's length (4 bytes,
little-endian), the header (msgpack) and the tail. Every limit is checked before anything is parsed.
"""

import struct
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Final

import msgspec

from tierwise.core.errors import ProtocolError
from tierwise.core.transfer.messages import Chunk, LinkMessage, Manifest, Whole

LINK_VERSION: Final = 1
LINK_HEADER_LIMIT: Final = 1024 * 1024
"""Bytes; the longest header has the hashes of 65,000 chunks, which are 7.8 GB of the default size."""

_PREFIX: Final = struct.Struct("<2sBBI")
_MAGIC: Final = b"tl"
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(reduce(or_, LinkMessage.__subclasses__()))
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Packet:
    """A message on its way out. Its tail is a view of the envelope: nothing is copied before `encode`."""

    message: LinkMessage
    tail: bytes | memoryview = b""

    @property
    def retained(self) -> bool:
        """Whether the broker should keep it for those who come later."""
        return isinstance(self.message, Manifest)

    def encode(self) -> bytes:
        """Return its bytes."""
        return encode(self.message, self.tail)


def encode(message: LinkMessage, tail: bytes | memoryview = b"") -> bytes:
    """Return the bytes of a message, which copies the tail once.

    Raises
    ------
    ProtocolError
        If the header is longer than any receiver would read: the chunks are too small for the envelope.
    """
    header = _ENCODER.encode(message)
    if len(header) > LINK_HEADER_LIMIT:
        raise ProtocolError(
            f"the header of {type(message).__name__} has {len(header)} bytes, {LINK_HEADER_LIMIT} are allowed: "
            "an envelope of this size needs larger chunks"
        )
    return b"".join((_PREFIX.pack(_MAGIC, LINK_VERSION, 0, len(header)), header, tail))


def decode(data: bytes | memoryview) -> tuple[LinkMessage, memoryview]:
    """Read a message.

    Returns
    -------
    tuple
        The header, and the tail as a read-only view of ``data``.

    Raises
    ------
    ProtocolError
        If ``data`` is no link message, of another version, or visibly cut short.
    """
    view = memoryview(data).toreadonly().cast("B")
    if len(view) < _PREFIX.size:
        raise ProtocolError(f"a link message has at least {_PREFIX.size} bytes, got {len(view)}")
    magic, version, _, length = _PREFIX.unpack(view[: _PREFIX.size])
    if magic != _MAGIC:
        raise ProtocolError(f"a link message begins with {_MAGIC!r}, got {magic!r}")
    if version != LINK_VERSION:
        raise ProtocolError(
            f"the sender speaks link version {version}, this tierwise speaks {LINK_VERSION}: "
            "upgrade the older one of the two"
        )
    end = _PREFIX.size + length
    if length > LINK_HEADER_LIMIT or end > len(view):
        raise ProtocolError(
            f"a link message of {len(view)} bytes says that its header has {length} (of {LINK_HEADER_LIMIT})"
        )
    try:
        message = _DECODER.decode(view[_PREFIX.size : end])
    except _UNREADABLE as error:
        raise ProtocolError(f"this is no link message: {error}") from error
    tail = view[end:]
    _check_tail(message, len(tail))
    return message, tail


def _check_tail(message: LinkMessage, length: int) -> None:
    match message:
        case Chunk():
            pass  # how long it must be stands in its outline
        case Whole():
            if length != message.size:
                raise ProtocolError(f"an envelope of {message.size} bytes came with {length}")
        case Manifest():
            inline = message.outline.size if message.outline.count == 1 else 0
            if length != inline:
                raise ProtocolError(f"a manifest with {inline} bytes inline came with {length}")
        case _:
            if length:
                raise ProtocolError(f"{type(message).__name__} has no tail, got one of {length} bytes")
