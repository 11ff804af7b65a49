"""A store in memory: for embedding without durability, for simulations and tests.

Records are kept as bytes, so that nothing is in this log that could not be on a disk.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tierwise.core.errors import BlobMissingError, StoreError
from tierwise.core.events import Record, decode_record, encode_record
from tierwise.core.ids import BlobHash


class MemoryStore:
    """Keeps log and blobs as long as the object lives, over any number of coordinators one after the other."""

    def __init__(self) -> None:
        self._log: list[bytes] = []
        self._blobs: dict[BlobHash, bytes | memoryview] = {}
        self._held = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Hold the store; refused while another coordinator does."""
        if self._held:
            raise StoreError("another coordinator holds this store: give each federation a store of its own")
        self._held = True
        try:
            yield
        finally:
            self._held = False

    async def append(self, records: Sequence[Record]) -> None:
        """Write records, all or none."""
        self._log.extend([encode_record(record) for record in records])

    async def records(self) -> Sequence[Record]:
        """Return the log from its beginning."""
        return [decode_record(data) for data in self._log]

    async def put(self, data: bytes | memoryview) -> BlobHash:
        """Keep a blob and return its address."""
        blob = BlobHash(hashlib.sha256(data).hexdigest())
        self._blobs.setdefault(blob, bytes(data))
        return blob

    def hold(self, data: memoryview, blob: BlobHash) -> None:
        """Keep a blob as it is, under a name that its maker vouches for."""
        self._blobs.setdefault(blob, data.toreadonly())

    async def get(self, blob: BlobHash) -> memoryview:
        """Return a blob, read-only."""
        try:
            return memoryview(self._blobs[blob])
        except KeyError:
            raise BlobMissingError(blob) from None

    async def get_all(self, blobs: Sequence[BlobHash]) -> Sequence[memoryview]:
        """Return blobs, read-only, in that order."""
        return [await self.get(blob) for blob in blobs]

    async def delete(self, blobs: Sequence[BlobHash]) -> None:
        """Forget blobs."""
        for blob in blobs:
            self._blobs.pop(blob, None)

    async def blobs(self) -> Sequence[BlobHash]:
        """Return the addresses of all blobs, sorted."""
        return sorted(self._blobs)
