"""Messages to bytes and back.

An envelope is ``b"tw"``, the protocol version (1 byte), a reserved zero byte, the header's length (4 bytes,
little-endian), the header (msgpack) and the body. Nothing in it is executed; every limit is checked before
anything is parsed.
"""

import struct
from functools import reduce
from operator import or_
from typing import Final

import msgspec

from tierwise.core.errors import ProtocolError, TierwiseError
from tierwise.core.messages import CoordinatorMessage, DeviceMessage, Message

PROTOCOL_VERSION: Final = 1
HEADER_LIMIT: Final = 4 * 1024 * 1024
"""Bytes; the longest header names every participant of a round."""

_PREFIX: Final = struct.Struct("<2sBBI")
_MAGIC: Final = b"tw"
_ENCODER: Final = msgspec.msgpack.Encoder()
_FROM_DEVICE: Final = msgspec.msgpack.Decoder(reduce(or_, DeviceMessage.__subclasses__()))
_FROM_COORDINATOR: Final = msgspec.msgpack.Decoder(reduce(or_, CoordinatorMessage.__subclasses__()))
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError, TierwiseError)
"""What decoding raises; the last where a value breaks a rule of its class (a layout that is none)."""


def seal(message: Message, body: bytes | memoryview = b"") -> bytes:
    """Return the envelope of a message, which copies the body once.

    Raises
    ------
    ProtocolError
        If the header is longer than any receiver would read.
    """
    header = _ENCODER.encode(message)
    if len(header) > HEADER_LIMIT:
        raise ProtocolError(
            f"the header of {type(message).__name__} has {len(header)} bytes, {HEADER_LIMIT} are allowed: "
            "a round for the whole group, or for fewer devices, has a shorter one"
        )
    return b"".join((_PREFIX.pack(_MAGIC, PROTOCOL_VERSION, 0, len(header)), header, body))


def open_from_device(data: bytes | memoryview) -> tuple[DeviceMessage, memoryview]:
    """Read what a device sent.

    Returns
    -------
    tuple
        The header, and the body as a read-only view of ``data``.

    Raises
    ------
    ProtocolError
        If ``data`` is no envelope, of another protocol version, or not a device's message.
    """
    header, body = _split(data)
    try:
        return _FROM_DEVICE.decode(header), body
    except _UNREADABLE as error:
        raise ProtocolError(f"this is no message of a device: {error}") from error


def open_from_coordinator(data: bytes | memoryview) -> tuple[CoordinatorMessage, memoryview]:
    """Read what the coordinator sent; otherwise like `open_from_device`."""
    header, body = _split(data)
    try:
        return _FROM_COORDINATOR.decode(header), body
    except _UNREADABLE as error:
        raise ProtocolError(f"this is no message of the coordinator: {error}") from error


def _split(data: bytes | memoryview) -> tuple[memoryview, memoryview]:
    view = memoryview(data).toreadonly().cast("B")
    if len(view) < _PREFIX.size:
        raise ProtocolError(f"an envelope has at least {_PREFIX.size} bytes, got {len(view)}")
    magic, version, _, length = _PREFIX.unpack(view[: _PREFIX.size])
    if magic != _MAGIC:
        raise ProtocolError(f"an envelope begins with {_MAGIC!r}, got {magic!r}")
    if version != PROTOCOL_VERSION:
        raise ProtocolError(
            f"the sender speaks protocol version {version}, this tierwise speaks {PROTOCOL_VERSION}: "
            "upgrade the older one of the two"
        )
    end = _PREFIX.size + length
    if length > HEADER_LIMIT or end > len(view):
        raise ProtocolError(f"an envelope of {len(view)} bytes says that its header has {length} (of {HEADER_LIMIT})")
    return view[_PREFIX.size : end], view[end:]
