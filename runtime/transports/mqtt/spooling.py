"""Large envelopes in files that have no name: they are gone with the last view of them, and with the process."""

import errno
import mmap
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO


class FileSink:
    """Keeps an envelope in a file; a `tierwise.core.transfer.Sink`.

    What is not written yet takes no space. Writing a piece is quick, since the system writes to the disk later.

    Parameters
    ----------
    directory
        On a file system with room for what arrives; None for the system's place for temporary files.
    size
        Bytes of the envelope.

    Raises
    ------
    OSError
        If the file cannot be made. The methods raise it if it cannot be written.
    """

    def __init__(self, directory: Path | None, size: int) -> None:
        self._size = size
        self._file: BinaryIO = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  (it outlives this)
        self._file.truncate(size)

    def write(self, offset: int, data: memoryview) -> None:
        """Write at an offset."""
        self._file.seek(offset)
        _write_all(self._file, data)

    def discard(self) -> None:
        """Free the space."""
        self._file.close()

    def finish(self) -> memoryview:
        """Return a view of the whole envelope; the space is freed when nobody refers to it any more."""
        return _mapped(self._file, self._size)


def spooled(directory: Path | None, pieces: Iterable[bytes]) -> memoryview:
    """Write pieces one after the other into a file and return a view of it, for worker threads.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        size = 0
        for piece in pieces:
            _write_all(file, memoryview(piece))
            size += len(piece)
        return _mapped(file, size)


def _write_all(file: BinaryIO, data: memoryview) -> None:
    if file.write(data) != len(data):  # it says so only when the next write would fail
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _mapped(file: BinaryIO, size: int) -> memoryview:
    with file:
        return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")
