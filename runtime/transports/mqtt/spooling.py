"""Large envelopes in files that have no name: they are gone with the last view of them, and with the process.

An envelope that comes from its beginning on is put in such a place that its body is aligned: see
`tierwise.core.envelope.lead`.
"""

import errno
import mmap
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from tierwise.core.envelope import lead


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
        self._lead: int | None = None
        """What is free before it; None until something comes."""
        self._file: BinaryIO = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  (it outlives this)
        self._file.truncate(size)

    def write(self, offset: int, data: memoryview) -> None:
        """Write at an offset."""
        if self._lead is None:
            self._lead = lead(data) if offset == 0 else 0
        self._file.seek(self._lead + offset)
        _write_all(self._file, data)

    def discard(self) -> None:
        """Free the space."""
        self._file.close()

    def finish(self) -> memoryview:
        """Return a view of the whole envelope; the space is freed when nobody refers to it any more."""
        begin = self._lead or 0
        return _mapped(self._file, begin + self._size)[begin:]


def spooled(directory: Path | None, pieces: Iterable[bytes]) -> memoryview:
    """Write pieces one after the other into a file and return a view of it, for worker threads.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        begin, end = 0, 0
        for piece in pieces:
            if end == 0:
                begin = end = lead(piece)
                file.seek(begin)
            _write_all(file, memoryview(piece))
            end += len(piece)
        return _mapped(file, end)[begin:]


def _write_all(file: BinaryIO, data: memoryview) -> None:
    if file.write(data) != len(data):  # it says so only when the next write would fail
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _mapped(file: BinaryIO, size: int) -> memoryview:
    with file:
        return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")
