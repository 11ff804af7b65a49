"""A store on which coordinators die, at whatever write a plan of faults says.

Nothing is raised there, which code might catch: what the dead coordinator waits for never comes, as in a process that
was killed.
"""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio

from tierwise.core.edges import Store
from tierwise.core.events import Record
from tierwise.core.ids import BlobHash
from tierwise.runtime.simulation.faults import CoordinatorCrash, FaultPlan


class MortalStore:
    """A store whose user dies of some of its writes: what it does there never returns, and does no more.

    Whoever runs the coordinator waits for `death` meanwhile, throws the coordinator away, and lets the store `revive`
    for the next one.

    Parameters
    ----------
    store
        Keeps what is written.
    plan
        Which writes, and how long each takes.

    Attributes
    ----------
    writes
        How many there were.
    """

    def __init__(self, store: Store, plan: FaultPlan) -> None:
        self.writes = 0
        self._store = store
        self._write_s = plan.write_s
        self._rng = random.Random(f"{plan.seed} store")  # noqa: S311  (misfortune is no secret)
        self._crashes = {crash.write: crash for crash in plan.coordinator_crashes}
        self._died = anyio.Event()
        self._cause: CoordinatorCrash | None = None

    def revive(self) -> None:
        """Let the next life begin."""
        self._died, self._cause = anyio.Event(), None

    async def death(self) -> CoordinatorCrash:
        """Wait until the user dies, and return what of."""
        await self._died.wait()
        assert self._cause is not None
        return self._cause

    def open(self) -> AbstractAsyncContextManager[None]:
        """Hold the store."""
        return self._store.open()

    async def append(self, records: Sequence[Record]) -> None:
        """Write records, and perhaps die of it."""
        async with self._write():
            await self._store.append(records)

    async def records(self) -> Sequence[Record]:
        """Return the log."""
        return await self._store.records()

    async def put(self, data: bytes | memoryview) -> BlobHash:
        """Keep a blob, and perhaps die of it."""
        async with self._write():
            return await self._store.put(data)

    async def get(self, blob: BlobHash) -> memoryview:
        """Return a blob."""
        return await self._store.get(blob)

    async def get_all(self, blobs: Sequence[BlobHash]) -> Sequence[memoryview]:
        """Return blobs."""
        return await self._store.get_all(blobs)

    async def delete(self, blobs: Sequence[BlobHash]) -> None:
        """Forget blobs, and perhaps die of it."""
        async with self._write():
            await self._store.delete(blobs)

    async def blobs(self) -> Sequence[BlobHash]:
        """Return the addresses of all blobs."""
        return await self._store.blobs()

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[None]:
        if any(self._write_s):
            await anyio.sleep(self._rng.uniform(*self._write_s))
        if self._died.is_set():  # the dead do nothing
            await anyio.sleep_forever()
        self.writes += 1
        crash = self._crashes.get(self.writes)
        if crash is not None and not crash.done:
            await self._die(crash)
        yield
        if crash is not None:
            await self._die(crash)

    async def _die(self, crash: CoordinatorCrash) -> None:
        self._cause = crash
        self._died.set()
        await anyio.sleep_forever()
