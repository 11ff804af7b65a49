"""A store on a disk: the log in one SQLite file, the blobs as files in a directory beside it.

::

    run.db                       the log; with -wal and -shm, SQLite's own, while a coordinator has it or was killed
    run.db.blobs/ab/cdef…        blobs of 256 KiB and more, by the hash of their content
    run.db.blobs/packs/          smaller blobs, many to a file
    run.db.blobs/incoming/       what is being written
    run.db.witness               how many records were acknowledged, and by which process
    run.db.lock                  what a coordinator has locked as long as it lives

All of it together is the store: move and back up all of it, while no coordinator has it.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from tierwise.core.edges import Compute
from tierwise.core.errors import StoreError
from tierwise.core.events import Record
from tierwise.core.ids import BlobHash
from tierwise.runtime.stores import log
from tierwise.runtime.stores.blobs import BlobDirectory
from tierwise.runtime.stores.database import Access, connection, read_undisturbed, telling
from tierwise.runtime.stores.errors import StoreDamagedError
from tierwise.runtime.stores.holding import Holding, Witness
from tierwise.runtime.stores.packs import Packs
from tierwise.runtime.stores.waiting import SMALL

T = TypeVar("T")

_THREADS: Final = 16
"""For blobs, of their own, so that no plugin that computes keeps one from being written. Many of them wait for the disk
at once: a journal takes their syncs together."""


class SqliteStore:
    """Keeps log and blobs on a disk.

    An append is one transaction, synced before it returns. One that is cancelled is there as a whole or not at all.

    Reading (`records`, `get`, `blobs`) works with and without `open`, also while a coordinator of another process has
    the store, and never changes it.

    Parameters
    ----------
    path
        The file of the log; made by `open` if it is not there. Only its owner can read it.
    compute
        Where the disk is waited for; None for worker threads. A simulation, whose clock would run on meanwhile, needs
        `tierwise.runtime.compute.InlineCompute`.

    Attributes
    ----------
    path
        The file, with symbolic links followed.
    incoming
        The directory to write what is then given to `adopt`; it is emptied by `open`.
    """

    def __init__(self, path: Path | str, *, compute: Compute | None = None) -> None:
        # Two names of one file must not become two locks.
        self.path = Path(path).resolve()
        self._blobs = BlobDirectory(self.path.with_name(f"{self.path.name}.blobs"))
        self.incoming = self._blobs.incoming
        self._compute = compute
        self._threads: anyio.CapacityLimiter | None = None
        """For blobs."""
        self._writer: anyio.CapacityLimiter | None = None
        """For the log, which does not wait for blobs."""
        self._holding: Holding | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Hold the store; refused while another coordinator does."""
        holding, writer = Holding(self.path, self._blobs), anyio.CapacityLimiter(1)
        try:
            await self._run(holding.take, writer)
            self._holding, self._writer, self._threads = holding, writer, anyio.CapacityLimiter(_THREADS)
            yield
        finally:
            if self._holding is holding:
                self._holding = self._writer = self._threads = None
            with anyio.CancelScope(shield=True):
                await self._run(holding.release, writer)

    async def append(self, records: Sequence[Record]) -> None:
        """Write records, all or none."""
        holding = self._held()
        if records:
            await self._run(lambda: holding.append(records), self._writer)

    async def records(self) -> Sequence[Record]:
        """Return the log from its beginning."""
        records, error = await self.sound_records()
        if error is not None:
            raise error
        return records

    async def sound_records(self) -> tuple[Sequence[Record], StoreError | None]:
        """Return the log as far as it can be read, and what is wrong with the rest."""
        live = self._holding is not None
        return await self._run(lambda: _read(self.path, live=live))

    async def holder(self) -> int | None:
        """Return the process that holds the store, or that was killed when it did; None if there is none."""
        return await self._run(lambda: Witness(self.path).read()[1])

    async def put(self, data: bytes | memoryview) -> BlobHash:
        """Keep a blob and return its address; a damaged one is replaced.

        A small one is on the disk after the next `append`, and takes no sync of its own.
        """
        holding = self._held()
        if memoryview(data).nbytes < SMALL:
            content = bytes(data)
            blob = BlobHash(hashlib.sha256(content).hexdigest())
            holding.waiting.put(blob, content)
            return blob
        return await self._run(lambda: self._blobs.put(data))

    async def adopt(self, path: Path) -> BlobHash:
        """Make a file on the same disk a blob without copying it, and return its address; the file is gone then."""
        self._held()
        return await self._run(lambda: self._blobs.adopt(path))

    async def get(self, blob: BlobHash) -> memoryview:
        """Return a blob, read-only; a large one is mapped, and stays readable when it is deleted."""
        holding = self._holding
        waiting = None if holding is None else holding.waiting.get(blob)
        return memoryview(waiting) if waiting is not None else (await self.get_all([blob]))[0]

    async def get_all(self, blobs: Sequence[BlobHash]) -> Sequence[memoryview]:
        """Return blobs, read-only, in that order."""
        holding = self._holding
        return await self._run(lambda: [self._get(blob, holding) for blob in blobs])

    async def delete(self, blobs: Sequence[BlobHash]) -> None:
        """Forget blobs."""
        self._held().waiting.remove(blobs)
        await self._run(lambda: self._blobs.delete(blobs))

    async def blobs(self) -> Sequence[BlobHash]:
        """Return the addresses of all blobs, sorted."""
        holding = self._holding
        return await self._run(lambda: self._addresses(holding))

    def _get(self, blob: BlobHash, holding: Holding | None) -> memoryview:
        content = self._packs().read(blob) if holding is None else holding.read_small(blob)
        if content is None:
            return self._blobs.get(blob)
        if hashlib.sha256(content).hexdigest() != blob:
            what = f"the content ({len(content):,} bytes) of blob {blob} is not what was written"
            raise StoreDamagedError(self._blobs.packs, what)
        return memoryview(content)

    def _addresses(self, holding: Holding | None) -> list[BlobHash]:
        small = self._packs().addresses() if holding is None else holding.small_addresses()
        return sorted({*small, *self._blobs.addresses()})

    def _packs(self) -> Packs:
        """Return the packs as they are now, for reading: another process may have the store."""
        packs = Packs(self._blobs.packs, self._blobs.incoming)
        packs.load()
        return packs

    def _held(self) -> Holding:
        if self._holding is None:
            raise StoreError(f"{self.path} can only be changed within the context of its open()")
        return self._holding

    async def _run(self, function: Callable[[], T], threads: anyio.CapacityLimiter | None = None) -> T:
        if self._compute is not None:
            return await self._compute.run(function)
        return await anyio.to_thread.run_sync(function, limiter=threads or self._threads)


def _read(path: Path, *, live: bool) -> tuple[list[Record], StoreError | None]:
    if not path.is_file():
        raise StoreError(f"there is no store {path}")
    acknowledged, _ = Witness(path).read()
    records: list[Record] = []
    errors: list[StoreError] = []

    def read(access: Access) -> None:
        records.clear()
        errors.clear()
        try:
            with telling(path), connection(path, access) as connected, connected.begin():
                if not log.is_empty(connected, path):
                    records.extend(log.read(connected, path))  # keeps what came before an error
            Witness(path).check(acknowledged, len(records))
        except StoreError as error:
            errors.append(error)

    read_undisturbed(path, read, live=live)
    return records, errors[0] if errors else None
