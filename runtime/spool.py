"""Blobs on their way into the log."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tierwise.core.edges import Store
from tierwise.core.federation import Federation
from tierwise.core.ids import BlobHash


class Spool:
    """Keeps what is written from being deleted before a record names it, and deletes what no record ever names.

    Blobs are addressed by their content, so one that a commit sets free may be the very one that somebody has just
    written and not logged yet: two devices that learned nothing send the same bytes.

    Parameters
    ----------
    store
        Where the blobs are.
    federation
        For reading only: what it needs stays.
    """

    def __init__(self, store: Store, federation: Federation) -> None:
        self._store = store
        self._federation = federation
        self._held: Counter[BlobHash] = Counter()
        self._freed: set[BlobHash] = set()
        """What was to be deleted while a writer held it: a round may be abandoned before the writer of its last update
        hears that the log names it."""
        self._lock = asyncio.Lock()  # a blob that is being written is not deleted meanwhile

    @asynccontextmanager
    async def writing(self) -> AsyncIterator["Writing"]:
        """Give a context for writing blobs and logging them; at its end, what is not logged is deleted."""
        writing = Writing(self)
        try:
            yield writing
        finally:
            self._held -= Counter(writing.blobs)
        left_over = [blob for blob in writing.blobs if not writing.logged or blob in self._freed]
        if left_over:
            await self.discard(left_over)

    async def put(self, data: bytes | memoryview) -> BlobHash:
        """Write a blob and hold it."""
        async with self._lock:
            blob = await self._store.put(data)
            self._held[blob] += 1
        return blob

    async def discard(self, blobs: Iterable[BlobHash]) -> None:
        """Delete those of some blobs that neither the federation nor a writer needs."""
        async with self._lock:
            dead = set(blobs) - self._federation.live_blobs()
            held = {blob for blob in dead if self._held[blob]}
            self._freed = self._freed - dead | held
            await self._store.delete(sorted(dead - held))


@dataclass(slots=True)
class Writing:
    """What one writer has written; it sets ``logged`` when the log names it all."""

    spool: Spool
    blobs: list[BlobHash] = field(default_factory=list)
    logged: bool = False

    async def put(self, data: bytes | memoryview) -> BlobHash:
        """Write a blob."""
        blob = await self.spool.put(data)
        self.blobs.append(blob)
        return blob
