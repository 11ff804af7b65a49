"""What an envelope is made of: the hashes of its chunks, and the one name that follows from them."""

import hashlib
import struct
from typing import Annotated, Final, NewType, Self

import msgspec

TransferId = NewType("TransferId", str)
"""32 lower-case hexadecimal digits: the same bytes, cut the same way, have the same one."""

DEFAULT_CHUNK_BYTES: Final = 120_000
"""Bytes of data in a chunk. AWS IoT takes payloads of 128 KB; the rest is for headers and a signature."""
HASH_BYTES: Final = 16
"""A chunk's hash is sha256 cut to this length: nobody can make other bytes for it (2**128 attempts)."""
SIZE_LIMIT: Final = 2**48
CHUNK_LIMIT: Final = 2**28
"""MQTT's longest payload, and a little more."""

_CUT: Final = struct.Struct("<QI")


def chunk_hash(data: bytes | memoryview) -> bytes:
    """Return the hash of a chunk's bytes."""
    return hashlib.sha256(data).digest()[:HASH_BYTES]


def transfer_id(size: int, chunk_size: int, hashes: bytes) -> TransferId:
    """Name what these numbers and hashes describe: sha256 over size (8 bytes), chunk size (4), and hashes."""
    return TransferId(hashlib.sha256(_CUT.pack(size, chunk_size) + hashes).hexdigest()[: 2 * HASH_BYTES])


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope, chunk by chunk.

    It is consistent in itself, or there is none: what is decoded or constructed has been checked, its id included.

    Attributes
    ----------
    transfer
        The hash of all that follows, in 32 digits.
    size
        Bytes of the envelope, at least one.
    chunk_size
        Bytes of every chunk but the last, which has the rest.
    hashes
        Of the chunks in order, 16 bytes (`HASH_BYTES`) each.

    Raises
    ------
    ValueError
        If the fields contradict each other.
    """

    transfer: TransferId
    size: Annotated[int, msgspec.Meta(ge=1, le=SIZE_LIMIT)]
    chunk_size: Annotated[int, msgspec.Meta(ge=1, le=CHUNK_LIMIT)]
    hashes: bytes

    def __post_init__(self) -> None:
        if len(self.hashes) != -(-self.size // self.chunk_size) * HASH_BYTES:
            raise ValueError(
                f"{self.size} bytes in chunks of {self.chunk_size} have "
                f"{-(-self.size // self.chunk_size)} hashes of {HASH_BYTES} bytes, got {len(self.hashes)} bytes"
            )
        if self.transfer != transfer_id(self.size, self.chunk_size, self.hashes):
            raise ValueError("the transfer id is not the one of this size, chunk size and hashes")

    @classmethod
    def of(cls, envelope: bytes | memoryview, chunk_size: int = DEFAULT_CHUNK_BYTES) -> Self:
        """Hash an envelope, which takes about a second for each GB: large ones belong into a worker thread.

        Raises
        ------
        ValueError
            If the envelope is empty.
        """
        view = readable(envelope)
        if not view:
            raise ValueError("an envelope has at least one byte")
        hashes = b"".join(chunk_hash(view[start : start + chunk_size]) for start in range(0, len(view), chunk_size))
        return cls(
            transfer=transfer_id(len(view), chunk_size, hashes), size=len(view), chunk_size=chunk_size, hashes=hashes
        )

    @property
    def count(self) -> int:
        """The number of chunks."""
        return len(self.hashes) // HASH_BYTES

    def offset(self, index: int) -> int:
        """Return where a chunk begins in the envelope."""
        return index * self.chunk_size

    def length(self, index: int) -> int:
        """Return the bytes that a chunk has."""
        return min(self.chunk_size, self.size - index * self.chunk_size)

    def hash(self, index: int) -> bytes:
        """Return the hash that a chunk has."""
        return self.hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]


def readable(envelope: bytes | memoryview) -> memoryview:
    """Return a read-only view of an envelope's bytes."""
    return memoryview(envelope).toreadonly().cast("B")
