"""Blobs on their way into the log."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from tierwise.core.edges import HoldingStore, Store
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
        self._holding = store if isinstance(store, HoldingStore) else None
        self._federation = federation
        self._held: dict[BlobHash, int] = {}
        """How many writers hold a blob."""
        self._freed: set[BlobHash] = set()
        """What was to be deleted while a writer held it: a round may be abandoned before the writer of its last update
        hears that the log names it."""
        self._deleting: set[BlobHash] = set()
        """What is being deleted; it is written only after that."""
        self._deleted = anyio.Event()
        self._unswept: set[BlobHash] = set()
        self._to_sweep = anyio.Event()
        self._swept = anyio.Event()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator["Writing"]:
        """Give a context for writing blobs and logging them; at its end, what is not logged is deleted."""
        writing = Writing(self)
        try:
            yield writing
        finally:
            for blob in writing.blobs:
                self._let_go(blob)
        left_over = [blob for blob in writing.blobs if not writing.logged or blob in self._freed]
        if left_over:
            await self.discard(left_over)

    @property
    def holds(self) -> bool:
        """Tell whether the store takes what is in memory as it is: then `hold` can be called."""
        return self._holding is not None

    def hold(self, data: memoryview, blob: BlobHash) -> None:
        """Put a blob in that is in memory and vouched for; `settle` is called when it is known what becomes of it."""
        assert self._holding is not None, "the store does not take it"
        self._held[blob] = self._held.get(blob, 0) + 1
        self._holding.hold(data, blob)

    def settle(self, blob: BlobHash, *, logged: bool) -> None:
        """Say whether the log names what was held; if not, it is discarded."""
        self._let_go(blob)
        if not logged or blob in self._freed:
            self.free([blob])

    def _let_go(self, blob: BlobHash) -> None:
        holders = self._held.pop(blob)
        if holders > 1:
            self._held[blob] = holders - 1

    async def put(self, data: bytes | memoryview, blob: BlobHash, *, vouched: bool = False) -> None:
        """Write a blob, which is held from before it is written."""
        self._held[blob] = self._held.get(blob, 0) + 1
        while blob in self._deleting:
            await self._deleted.wait()
        if vouched and self._holding is not None:
            self._holding.hold(memoryview(data), blob)
            return
        written = await self._store.put(data)
        assert written == blob, "its address was given"

    def free(self, blobs: Iterable[BlobHash]) -> None:
        """Have `sweep` discard blobs: whoever decides does not wait for the disk."""
        self._unswept |= set(blobs)
        self._swept = anyio.Event()
        self._to_sweep.set()

    async def sweep(self) -> None:
        """Discard what `free` was given, for ever. What a killed process did not come to, the next one discards."""
        while True:
            await self._to_sweep.wait()
            self._to_sweep = anyio.Event()
            blobs, self._unswept = self._unswept, set()
            await self.discard(blobs)
            if not self._unswept:
                self._swept.set()

    async def swept(self) -> None:
        """Wait until all that `free` was given is discarded."""
        if self._unswept or self._deleting:
            await self._swept.wait()

    async def discard(self, blobs: Iterable[BlobHash]) -> None:
        """Delete those of some blobs that neither the federation nor a writer needs."""
        dead = set(blobs) - self._federation.live_blobs()
        held = {blob for blob in dead if blob in self._held}
        self._freed = self._freed - dead | held
        going = dead - held - self._deleting
        self._deleting |= going
        try:
            await self._store.delete(sorted(going))
        finally:
            self._deleting -= going
            self._deleted.set()
            self._deleted = anyio.Event()


@dataclass(slots=True)
class Writing:
    """What one writer has written; it sets ``logged`` when the log names it all."""

    spool: Spool
    blobs: list[BlobHash] = field(default_factory=list)
    logged: bool = False

    async def put(self, data: bytes | memoryview, blob: BlobHash, *, vouched: bool = False) -> None:
        """Write a blob whose address is ``blob``: the sha256 of ``data``, unless somebody has vouched for it."""
        self.blobs.append(blob)
        await self.spool.put(data, blob, vouched=vouched)
