"""All that is SQLite's own: how a file is opened, made durable, and read without being changed, and what it says.

Another database would bring these functions, and the lock of `tierwise.runtime.stores.holding`; the tables are the
same.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tierwise.core.errors import StoreError
from tierwise.runtime.stores.errors import StoreDamagedError, StoreFullError

_PATIENCE_S: Final = 10.0
"""How long to wait for a program that has the file locked; readers never make a writer wait."""


class Access(Enum):
    """How a file is opened; the value is the query of its URI."""

    WRITE = "mode=rw"
    READ = "mode=ro"
    """The index of the write-ahead log (``-shm``) may be made anew; nothing else is written."""
    READ_ALONE = "mode=ro&immutable=1"
    """Not even that; only for a file that nobody writes to and that has no write-ahead log."""


@contextmanager
def connection(path: Path, access: Access) -> Iterator[Connection]:
    """Connect to a file that is there; what SQLite says against it is told as a `StoreError`."""
    engine = _engine(path, access)
    with telling(path):
        connected = engine.connect()
    try:
        yield connected
    finally:
        with telling(path):
            connected.close()
        engine.dispose()


def make_durable(connected: Connection, path: Path) -> None:
    """Have a write-ahead log, synced at each commit."""
    raw = connected.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)  # not through SQLAlchemy: the mode cannot change within a transaction
    mode = raw.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise StoreError(f"{path} cannot have a write-ahead log on this file system: put the store on a local disk")
    raw.execute("PRAGMA synchronous=FULL")


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn what SQLite says into a `StoreError` that names the file."""
    try:
        yield
    except DBAPIError as error:
        raise _told(path, error.orig) from error
    except sqlite3.Error as error:
        raise _told(path, error) from error


def wal(path: Path) -> Path:
    """Return the name of a file's write-ahead log."""
    return path.with_name(f"{path.name}-wal")


def read_undisturbed(path: Path, read: Callable[[Access], None], *, live: bool) -> None:
    """Read a file that a coordinator may or may not have open, and leave everything as it is.

    Parameters
    ----------
    path
        The file.
    read
        Reads all that is wanted and raises nothing; it may be called twice, and then the second call counts.
    live
        Whether it is known that a coordinator has it.
    """
    before = _trace(path)
    if live or before[1]:
        read(Access.READ)
        return
    read(Access.READ_ALONE)
    if _trace(path) != before:  # a coordinator has come meanwhile
        read(Access.READ)


def _trace(path: Path) -> tuple[tuple[int, int] | None, bool]:
    """Return what shows that a file is written to, and whether it has a write-ahead log."""
    try:
        status = path.stat()
    except OSError:
        return None, False
    return (status.st_size, status.st_mtime_ns), wal(path).exists()


def _engine(path: Path, access: Access) -> Engine:
    def connect() -> sqlite3.Connection:
        # Without an isolation level, sqlite3 leaves it to us where transactions begin.
        raw = sqlite3.connect(
            f"{path.as_uri()}?{access.value}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,  # whoever writes has a lock
            timeout=_PATIENCE_S,
        )
        try:
            raw.execute("PRAGMA trusted_schema=OFF")  # a store may come from anywhere
            raw.execute("PRAGMA cell_size_check=ON")
        except BaseException:
            raw.close()
            raise
        return raw

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    begin = "BEGIN IMMEDIATE" if access is Access.WRITE else "BEGIN"

    def start(connected: Connection) -> None:
        connected.exec_driver_sql(begin)

    event.listen(engine, "begin", start)
    return engine


def _told(path: Path, error: BaseException | None) -> StoreError:
    name: str = getattr(error, "sqlite_errorname", "")
    kind = "_".join(name.split("_")[:2])
    match kind:
        case "SQLITE_FULL":
            return StoreFullError(path, str(error))
        case "SQLITE_NOTADB":
            return StoreDamagedError(
                path,
                "this is no SQLite file, and so no store, or its first bytes are damaged",
                "Name the file of a store; if this is it, put back a backup of the whole store",
            )
        case "SQLITE_CORRUPT" | "SQLITE_ERROR" | "":  # nothing that we ask can be wrong; no name: no text, no number
            return StoreDamagedError(path, f"the database is damaged: {error}")
        case "SQLITE_CONSTRAINT":
            return StoreError(
                f"{path}: a record of that number is there already: something else than this coordinator writes to "
                "the store; stop it"
            )
        case "SQLITE_BUSY" | "SQLITE_LOCKED":
            return StoreError(
                f"{path} is locked by another program for more than {_PATIENCE_S:g} s: close whatever has it open"
            )
        case "SQLITE_CANTOPEN" | "SQLITE_READONLY" | "SQLITE_PERM" | "SQLITE_AUTH":
            return StoreError(
                f"{path} cannot be opened: {error}. Files are made beside it, so its directory has to be writable; to "
                f"read it without that, copy it together with {path.name}-wal"
            )
        case "SQLITE_IOERR":
            return StoreError(
                f"{path}: {error} ({name}); the store is whole as it was before. Check the disk, quotas and limits on "
                "the size of files, then start the coordinator with the same store"
            )
        case _:
            return StoreError(f"{path}: {error} ({name})")
