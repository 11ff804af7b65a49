"""The bytes of a frame, which carries one message under its sender's signature.

::

    0   2   b"tf"
    2   1   version of this format
    3   1   scheme: 0 unsigned, 1 Ed25519 (RFC 8032)
    4   2   length of the header, little-endian
    6   4   length of the payload, little-endian
    10      header: a msgpack map (`Header`)
            payload
            signature over everything before it: 64 bytes, none in scheme 0

The lengths are in front and signed, so a frame that was cut or continued is known as such before any arithmetic. An
Ed25519 signature is over this format's own beginning, so it is never one over anything else that the key signs.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

import msgspec

from tierwise.runtime.security.ordering import Ordinal

HEADER_LIMIT: Final = 1024
"""Bytes; a header of the longest names has about 400."""
PAYLOAD_LIMIT: Final = 2**32 - 1
SIGNATURE_BYTES: Final = 64

FRAME_VERSION: Final = 1
"""Frames carry every version of the protocol, so that a refusal for another version can be read and trusted."""

_PREFIX: Final = struct.Struct("<2sBBHI")
_MAGIC: Final = b"tf"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class Scheme(IntEnum):
    """How a frame is authenticated."""

    UNSIGNED = 0
    ED25519 = 1

    @property
    def signature_bytes(self) -> int:
        """The length of the signature."""
        return SIGNATURE_BYTES if self is Scheme.ED25519 else 0


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Who says something to whom, and when; all of it is under the signature.

    Attributes
    ----------
    federation
        In which federation.
    sender
        A device's name, or ``coordinator``.
    recipient
        ``coordinator``, ``device/NAME``, ``group/NAME`` or ``everyone``.
    kind
        What the payload is; recipient and kind together keep a frame from being repeated on another topic.
    boot
        Grows with each start of the sender.
    sequence
        Counts what it says to the recipient of this kind; see `tierwise.runtime.security.ordering`.
    """

    federation: Name
    sender: Name
    recipient: Name
    kind: Name
    boot: Ordinal
    sequence: Ordinal


class MalformedFrameError(ValueError):
    """Bytes that are no frame. Nothing but this package sees it."""


class OtherVersionError(ValueError):
    """A frame of another version. Nothing but this package sees it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The parts of a frame, which nobody has judged yet; views of the bytes that it was split from."""

    scheme: Scheme
    header: Header
    payload: memoryview
    signed: memoryview
    """What the signature is over."""
    signature: memoryview


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Header)


def assemble(scheme: Scheme, header: Header, payload: bytes | memoryview) -> bytes:
    """Return a frame without its signature, which copies the payload once.

    Raises
    ------
    ValueError
        If a part is longer than a frame can hold.
    """
    encoded = _ENCODER.encode(header)
    size = memoryview(payload).nbytes
    if len(encoded) > HEADER_LIMIT or size > PAYLOAD_LIMIT:
        raise ValueError(f"a frame holds {HEADER_LIMIT} bytes of header and {PAYLOAD_LIMIT} of payload")
    return b"".join((_PREFIX.pack(_MAGIC, FRAME_VERSION, scheme, len(encoded), size), encoded, payload))


def split(data: bytes | memoryview) -> Frame:
    """Take a frame apart. Every length is checked before anything is parsed.

    Raises
    ------
    OtherVersionError
        If it is of another version.
    MalformedFrameError
        If it is anything else but a frame.
    """
    view = memoryview(data).toreadonly().cast("B")
    if len(view) < _PREFIX.size:
        raise MalformedFrameError(f"a frame has at least {_PREFIX.size} bytes, this has {len(view)}")
    magic, version, scheme_number, header_size, payload_size = _PREFIX.unpack(view[: _PREFIX.size])
    if magic != _MAGIC:
        raise MalformedFrameError(f"a frame begins with {_MAGIC!r}, this with {magic!r}")
    if version != FRAME_VERSION:
        raise OtherVersionError(
            f"its sender makes frames of version {version}, this tierwise reads {FRAME_VERSION}: "
            "upgrade the older one of the two"
        )
    try:
        scheme = Scheme(scheme_number)
    except ValueError:
        raise MalformedFrameError(f"there is no signature scheme {scheme_number}") from None
    payload_at = _PREFIX.size + header_size
    end = payload_at + payload_size
    if header_size > HEADER_LIMIT or len(view) != end + scheme.signature_bytes:
        raise MalformedFrameError(
            f"it has {len(view)} bytes, and should have {end + scheme.signature_bytes} (header {header_size})"
        )
    try:
        header = _DECODER.decode(view[_PREFIX.size : payload_at])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedFrameError(f"its header cannot be read: {error}") from error
    return Frame(scheme, header, view[payload_at:end], view[:end], view[end:])
