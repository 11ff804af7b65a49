"""What can be wrong with a store on a disk, as classes of their own for those who can do something about each.

::

    StoreError
    ├── StoreHeldError        another coordinator holds the store
    ├── StoreFullError        the disk is full
    ├── StoreDamagedError     the log or a blob is not what was written
    └── BlobMissingError
        └── BlobLostError     the same, with the file that should be there

Each text names the file, and the way out.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tierwise.core.errors import BlobMissingError, StoreError

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""No space, a quota, a limit on the size of files."""


class StoreHeldError(StoreError):
    """Another coordinator holds the store.

    Parameters
    ----------
    path
        The store's file.
    process
        Who holds it; None when that is not known.
    """

    def __init__(self, path: Path, process: int | None) -> None:
        self.path = path
        self.process = process
        who = "" if process is None else f" (process {process})"
        super().__init__(
            f"{path}: another coordinator{who} holds this store: give each federation a store of its own, "
            "or stop that coordinator first"
        )


class StoreFullError(StoreError):
    """The disk is full; nothing is half-written, and a coordinator that has space again goes on."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(
            f"{path}: the disk is full ({reason}); the store is whole as it was before. Free some space, "
            "then start the coordinator with the same store: it goes on from there"
        )


class StoreDamagedError(StoreError):
    """The log or a blob is not what was written.

    Parameters
    ----------
    path
        The file at fault.
    what
        What is wrong, and where in the file.
    remedy
        What to do; None for the usual.
    """

    def __init__(self, path: Path, what: str, remedy: str | None = None) -> None:
        self.path = path
        super().__init__(
            f"{path}: {what}. "
            + (
                remedy
                or "The file was changed by something else than tierwise, or the disk fails: check the disk, then put "
                "back a backup of the whole store; `tierwise replay` shows what can still be read"
            )
        )


class BlobLostError(BlobMissingError):
    """A blob's file is not there.

    Parameters
    ----------
    blob
        Its address.
    path
        Its file.
    """

    def __init__(self, blob: str, path: Path) -> None:
        super().__init__(blob)
        self.path = path
        self.args = (f"{self.args[0]}; {path} is not there: put it back from a backup of the whole store",)


def is_full(error: OSError) -> bool:
    """Tell whether something could not be written for want of space."""
    return error.errno in _FULL


@contextmanager
def told(path: Path, doing: str) -> Iterator[None]:
    """Turn what the operating system says into a `StoreError` that names a file.

    Parameters
    ----------
    path
        The file.
    doing
        As in "cannot be …": ``"read"``, ``"written"``.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if is_full(error):
            raise StoreFullError(path, reason) from error
        raise StoreError(f"{path} cannot be {doing}: {reason}") from error


def sync_directory(path: Path) -> None:
    """Make sure that the names in a directory survive a power cut; where directories cannot be synced, do nothing."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
