"""Messages to bytes and back.

An envelope is ``b"tw"``, the protocol version (1 byte), a reserved zero byte, the header's length (4 bytes,
little-endian), the header (msgpack) and the body. Nothing in it is executed; every limit is checked before
anything is parsed.

Both sides agree on a version with the first two messages: `Hello` says which ones the device speaks, and `Welcome`
which one both do; or `Refused` says that there is none. So the form of the envelope, of `Hello` and of `Refused` stays
the same in all versions, and these two are read whatever version they are of; later versions only add to their fields.
"""

import struct
from functools import reduce
from operator import or_
from typing import Final

import msgspec

from tierwise.core.errors import OtherVersionError, ProtocolError, TierwiseError
from tierwise.core.messages import CoordinatorMessage, DeviceMessage, Hello, Message, Refused

PROTOCOL_VERSION: Final = 1
"""The newest that we speak."""
SPOKEN: Final = (1, PROTOCOL_VERSION)
"""The oldest and the newest."""
HEADER_LIMIT: Final = 4 * 1024 * 1024
"""Bytes; the longest header names every participant of a round."""
ALIGNMENT: Final = 8
"""Bytes; that of a frame's header and numbers."""

_PREFIX: Final = struct.Struct("<2sBBI")
_MAGIC: Final = b"tw"
_ENCODER: Final = msgspec.msgpack.Encoder()
_FROM_DEVICE: Final = msgspec.msgpack.Decoder(reduce(or_, DeviceMessage.__subclasses__()))
_FROM_COORDINATOR: Final = msgspec.msgpack.Decoder(reduce(or_, CoordinatorMessage.__subclasses__()))
_HELLO: Final = msgspec.msgpack.Decoder(Hello)
_REFUSED: Final = msgspec.msgpack.Decoder(Refused)
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError, TierwiseError)
"""What decoding raises; the last where a value breaks a rule of its class (a layout that is none)."""


def common_version(theirs: tuple[int, int], ours: tuple[int, int] = SPOKEN) -> int | None:
    """Return the newest version that both sides speak; None if there is none. Each gives its oldest and newest."""
    newest = min(theirs[1], ours[1])
    return newest if newest >= max(theirs[0], ours[0]) else None


def seal(message: Message, body: bytes | bytearray | memoryview = b"", *, version: int = PROTOCOL_VERSION) -> bytes:
    """Return the envelope of a message, which copies the body once.

    Parameters
    ----------
    message, body
        What to say.
    version
        Another one than ours only for a `Refused`, to whom speaks nothing else.

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
    return b"".join((_PREFIX.pack(_MAGIC, version, 0, len(header)), header, body))


class Letter:
    """A message and its body that are not in an envelope: for who shares the sender's memory, and needs no bytes.

    Parameters
    ----------
    message, body, version
        As for `seal`. Nobody writes to the body any more.
    vouched
        Whether the body is what its sender made of finite values, untouched, in the right layout and under a name that
        is its own: then nobody has to read it again to find that out.
    """

    __slots__ = ("_size", "body", "message", "version", "vouched")

    def __init__(
        self,
        message: Message,
        body: bytes | bytearray | memoryview = b"",
        *,
        version: int = PROTOCOL_VERSION,
        vouched: bool = False,
    ) -> None:
        self.message = message
        self.body = memoryview(body)
        self.version = version
        self.vouched = vouched
        self._size = 0

    @property
    def size(self) -> int:
        """How many bytes its envelope would have."""
        if not self._size:
            self._size = _PREFIX.size + len(_ENCODER.encode(self.message)) + len(self.body)
        return self._size

    def sealed(self) -> bytes:
        """Return its envelope; see `seal`."""
        return seal(self.message, self.body, version=self.version)


def lead(beginning: bytes | memoryview) -> int:
    """Return how many bytes to leave free before an envelope, so that nobody has to copy its body to compute with it.

    A header has any length, and a frame's numbers are aligned only if the frame is.

    Parameters
    ----------
    beginning
        The envelope, or as much of it as is there, without a gap.

    Returns
    -------
    int
        With so many bytes before it, its body is a multiple of 8 bytes behind an aligned place. 0 if it is no envelope,
        or too little of it is there.
    """
    if len(beginning) < _PREFIX.size:
        return 0
    magic, _, reserved, length = _PREFIX.unpack(beginning[: _PREFIX.size])
    return -(_PREFIX.size + length) % ALIGNMENT if magic == _MAGIC and not reserved else 0


def open_from_device(data: bytes | memoryview | Letter) -> tuple[DeviceMessage, memoryview]:
    """Read what a device sent; there is nothing to check of a letter.

    Returns
    -------
    tuple
        The header, and the body as a read-only view of ``data``.

    Raises
    ------
    OtherVersionError
        If it is of a version that we do not speak, and no `Hello`.
    ProtocolError
        If ``data`` is no envelope, or not a device's message.
    """
    if isinstance(data, Letter):
        assert isinstance(data.message, DeviceMessage)
        return data.message, data.body
    version, header, body = _split(data)
    try:
        return (_FROM_DEVICE if _spoken(version) else _HELLO).decode(header), body
    except _UNREADABLE as error:
        raise _told(version, "a device", error) from error


def open_from_coordinator(data: bytes | memoryview) -> tuple[CoordinatorMessage, memoryview]:
    """Read what the coordinator sent; otherwise like `open_from_device`, with `Refused` in the place of `Hello`."""
    version, header, body = _split(data)
    try:
        return (_FROM_COORDINATOR if _spoken(version) else _REFUSED).decode(header), body
    except _UNREADABLE as error:
        raise _told(version, "the coordinator", error) from error


def _spoken(version: int) -> bool:
    return SPOKEN[0] <= version <= SPOKEN[1]


def _told(version: int, sender: str, error: Exception) -> ProtocolError:
    if not _spoken(version):
        return OtherVersionError(version, SPOKEN)
    return ProtocolError(f"this is no message of {sender}: {error}")


def _split(data: bytes | memoryview) -> tuple[int, memoryview, memoryview]:
    view = memoryview(data).toreadonly().cast("B")
    if len(view) < _PREFIX.size:
        raise ProtocolError(f"an envelope has at least {_PREFIX.size} bytes, got {len(view)}")
    magic, version, _, length = _PREFIX.unpack(view[: _PREFIX.size])
    if magic != _MAGIC:
        raise ProtocolError(f"an envelope begins with {_MAGIC!r}, got {magic!r}")
    end = _PREFIX.size + length
    if length > HEADER_LIMIT or end > len(view):
        raise ProtocolError(f"an envelope of {len(view)} bytes says that its header has {length} (of {HEADER_LIMIT})")
    return version, view[_PREFIX.size : end], view[end:]
