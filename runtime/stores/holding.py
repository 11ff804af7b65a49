"""Having a store: the lock against a second coordinator, and the log's only writer.

Beside the log lies a *witness*: a small file that says how many records were acknowledged, written after each commit
and not synced, so it costs nothing and is never ahead of the log. When the log is shorter than it says, then records
are gone that somebody relied on: SQLite takes a damaged or missing write-ahead log for the end of the log, and without
the witness nobody would notice. It also names the process that holds the store.
"""

import os
import re
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from sqlalchemy import Connection

from tierwise.core.errors import StoreError
from tierwise.core.events import Record
from tierwise.core.ids import BlobHash
from tierwise.runtime.stores import log
from tierwise.runtime.stores.blobs import BlobDirectory
from tierwise.runtime.stores.database import Access, connection, make_durable, telling, wal
from tierwise.runtime.stores.errors import StoreDamagedError, StoreHeldError, sync_directory, told
from tierwise.runtime.stores.packs import Packs
from tierwise.runtime.stores.waiting import WaitingBlobs

_WITNESS: Final = re.compile(rb"records (\d{20})\nprocess (\d{20})\n")


class Witness:
    """The file that says how many records were acknowledged, and who holds the store.

    Parameters
    ----------
    path
        The store's file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.witness")
        self._store = path

    def read(self) -> tuple[int, int | None]:
        """Return how many records were acknowledged at least, and who holds the store or was killed with it."""
        try:
            match = _WITNESS.fullmatch(self.path.read_bytes())
        except OSError:
            match = None
        return (int(match[1]), int(match[2]) or None) if match else (0, None)

    def check(self, acknowledged: int, found: int) -> None:
        """Compare the log's length with what was read here before.

        Raises
        ------
        StoreDamagedError
            If records are gone.
        """
        if found < acknowledged:
            raise StoreDamagedError(
                self._store,
                f"{acknowledged} records were acknowledged and only {found} are there: this file is an older copy, or "
                f"{wal(self._store).name} is damaged or was removed",
                f"Put back a backup of the whole store; or remove {self.path} to go on without the missing records",
            )

    def open(self) -> int:
        """Return a descriptor to write with."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)

    @staticmethod
    def write(descriptor: int, records: int, process: int) -> None:
        """Write it anew; always as long as before, so that even a full disk takes it."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, b"records %020d\nprocess %020d\n" % (records, process))


class Holding:
    """The store in a coordinator's hand. Every method blocks and may be called from any thread.

    A lock keeps them apart, so that letting go waits for an append whose caller was cancelled.

    Parameters
    ----------
    path
        The store's file.
    blobs
        The directory beside it.

    Attributes
    ----------
    waiting
        Small blobs for the next commit.
    """

    def __init__(self, path: Path, blobs: BlobDirectory) -> None:
        self._path = path
        self._blobs = blobs
        self._guard = threading.Lock()
        self._stack = ExitStack()
        self._released = False
        self._connection: Connection | None = None
        self._witness = Witness(path)
        self._descriptor = -1
        self._next = 0
        self.waiting = WaitingBlobs()
        self._packs = Packs(blobs.packs, blobs.incoming)

    def take(self) -> None:
        """Take the store, and make it if it is not there.

        Raises
        ------
        StoreHeldError
            If another coordinator has it.
        StoreError
            If it is damaged, or no store.
        """
        with self._guard, ExitStack() as stack:
            if self._released:
                return
            self._lock(stack)
            acknowledged, _ = self._witness.read()
            self._make_file()
            connected = stack.enter_context(connection(self._path, Access.WRITE))
            self._next = self._begin(connected)
            self._witness.check(acknowledged, self._next)
            if self._next and not self._blobs.root.is_dir():
                raise StoreDamagedError(self._blobs.root, "the directory of the store's blobs is not there")
            self._blobs.prepare()
            self._packs.prepare()
            with told(self._witness.path, "written"):
                self._descriptor = self._witness.open()
                stack.callback(os.close, self._descriptor)
                Witness.write(self._descriptor, self._next, os.getpid())
            self._connection = connected
            self._stack = stack.pop_all()

    def append(self, records: Sequence[Record]) -> None:
        """Write records in one transaction, synced when this returns.

        Raises
        ------
        StoreError
            If the first one is not the log's next, or they cannot be written; then none is.
        """
        with self._guard:
            if self._connection is None:
                raise StoreError(f"{self._path} was closed while records were to be written: none of them was")
            for expected, record in enumerate(records, self._next):
                if record.sequence != expected:
                    raise StoreError(f"{self._path}: the log's next record is {expected}, given {record.sequence}")
            self._pack()
            with telling(self._path), self._connection.begin():
                log.append(self._connection, records)
            self._next += len(records)
            with suppress(OSError):  # the records are there, whether anybody witnesses it or not
                Witness.write(self._descriptor, self._next, os.getpid())

    def read_small(self, blob: BlobHash) -> bytes | None:
        """Return a small blob that is there; None for another."""
        content = self.waiting.get(blob)
        return content if content is not None or self.waiting.is_removed(blob) else self._packs.read(blob)

    def small_addresses(self) -> set[BlobHash]:
        """Return the addresses of all small blobs."""
        with self._guard:
            return self.waiting.applied_to(self._packs.addresses())

    def release(self) -> None:
        """Let go of the store; once it is let go, this does nothing.

        Raises
        ------
        StoreError
            If small blobs that were put last cannot be written; the store is let go all the same.
        """
        with self._guard:
            self._released = True
            if self._connection is None:
                return
            self._connection = None
            with self._stack:
                self._pack(least=1.0)
                with suppress(OSError):
                    Witness.write(self._descriptor, self._next, 0)

    def _pack(self, least: float = 0.5) -> None:
        """Write and remove what waits; a pack of which less than a share is wanted is written anew."""
        changes = self.waiting.changes()
        contents = {**self._packs.left_of(changes.removed, least=least), **changes.written}
        if contents:
            self._packs.write(contents)
        self.waiting.committed(changes)
        self._packs.remove(changes.removed)

    def _lock(self, stack: ExitStack) -> None:
        if not self._path.parent.is_dir():
            raise StoreError(f"{self._path}: there is no directory {self._path.parent}, make it first")
        # The lock is the kernel's, on an open file: it vanishes with the process, however that ends.
        lock = FileLock(self._path.with_name(f"{self._path.name}.lock"), mode=0o600, thread_local=False)
        with told(self._path, "locked"):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise StoreHeldError(self._path, self._witness.read()[1]) from None
        stack.callback(lock.release)

    def _make_file(self) -> None:
        """Make the file before SQLite does, which takes its permissions for all that it makes beside it."""
        with told(self._path, "made"), suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            sync_directory(self._path.parent)

    def _begin(self, connected: Connection) -> int:
        with telling(self._path):
            with connected.begin():
                empty = log.is_empty(connected, self._path)
            make_durable(connected, self._path)  # not before it is known to be ours
            with connected.begin():
                if empty:
                    log.create(connected)
                log.upgrade(connected)
                return log.length(connected)
