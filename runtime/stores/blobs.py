"""Blobs as files, each named by the sha256 of its content.

A blob is written beside its name, synced, and then moved there, so a file that has its name is whole. What a crash
left unfinished lies in ``incoming`` and is removed by the next coordinator. Names are fixed by content, so nothing is
ever overwritten with something else, and a reader's map of a file stays what it is, even if the blob is deleted.
"""

import errno
import hashlib
import mmap
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tierwise.core.errors import StoreError
from tierwise.core.ids import BlobHash
from tierwise.runtime.pages import read
from tierwise.runtime.stores.errors import BlobLostError, StoreDamagedError, sync_directory, told

MAPPED_FROM: Final = 256 * 1024
"""Smaller blobs are read: before Python 3.13 each map keeps a file open, of which a process may often have only 1,024.
"""
_ADDRESS: Final = re.compile(r"[0-9a-f]{64}")
_FOLDER: Final = re.compile(r"[0-9a-f]{2}")
_REST: Final = re.compile(r"[0-9a-f]{62}")

_Identity = tuple[int, int, int]
"""Of a file, as it was when its hash was checked: inode, size, time of the last change."""


class BlobDirectory:
    """Keeps blobs in a directory; every method blocks, and may be called from any thread.

    Parameters
    ----------
    root
        The directory; `prepare` makes it.

    Attributes
    ----------
    incoming
        Where a file that is to be adopted is best written: it is on the same disk, and what is left there by a crash
        is removed by `prepare`.
    packs
        Where small blobs are, many to a file: `tierwise.runtime.stores.packs`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.packs = root / "packs"
        self._checked: dict[BlobHash, _Identity] = {}

    def prepare(self) -> None:
        """Make the directory, and remove what was left unfinished."""
        with told(self.root, "made"):
            for directory in (self.root, self.incoming):
                if not directory.is_dir():
                    directory.mkdir(mode=0o700)
                    sync_directory(directory.parent)
            for left in self.incoming.iterdir():
                left.unlink()

    def put(self, data: bytes | memoryview) -> BlobHash:
        """Write a blob, unless it is there already; when this returns it is there for good."""
        view = memoryview(data)
        view = view.cast("B") if view.nbytes else memoryview(b"")  # a view with a zero in its shape cannot be cast
        blob = _hashed(view)
        path = self._path(blob)
        with told(path, "written"):
            if not self._is_sound(blob):
                with self._written(view) as written:
                    self._move(written, blob)
            sync_directory(path.parent)
        return blob

    def adopt(self, source: Path) -> BlobHash:
        """Make a file on the same disk a blob, without copying it; the file is gone from where it was.

        Raises
        ------
        StoreError
            If it is on another disk: write such files into ``incoming``.
        """
        with told(source, "adopted"), source.open("rb") as file:
            blob = BlobHash(hashlib.file_digest(file, "sha256").hexdigest())
            if self._is_sound(blob):
                source.unlink()
            else:
                os.fsync(file.fileno())
                source.chmod(0o600)
                try:
                    self._move(source, blob)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    raise StoreError(
                        f"{source} is not on the disk of {self.root}: write what is to be adopted into {self.incoming}"
                    ) from error
            sync_directory(self._path(blob).parent)
        return blob

    def get(self, blob: BlobHash) -> memoryview:
        """Return a blob, read-only, mapped into memory if it is large.

        Its hash is checked the first time that this process reads the file, and again whenever the file has changed.

        Raises
        ------
        BlobLostError
            If it is not there.
        StoreDamagedError
            If it is not what was written.
        """
        path = self._path(blob)
        with told(path, "read"):
            try:
                view, identity = _read(path)
            except (FileNotFoundError, NotADirectoryError):
                raise BlobLostError(blob, path) from None
        if self._checked.get(blob) != identity:
            if _hashed(view) != blob:
                raise StoreDamagedError(path, f"the content ({len(view):,} bytes) is not that of blob {blob}")
            self._checked[blob] = identity
        return view

    def delete(self, blobs: Iterable[BlobHash]) -> None:
        """Remove blobs; those that are not there are left out."""
        for blob in blobs:
            path = self._path(blob)
            self._checked.pop(blob, None)
            with told(path, "deleted"), suppress(FileNotFoundError):
                path.unlink()

    def addresses(self) -> list[BlobHash]:
        """Return the addresses of all blobs, sorted."""
        with told(self.root, "listed"):
            try:
                folders = [entry.name for entry in self.root.iterdir() if _FOLDER.fullmatch(entry.name)]
            except FileNotFoundError:
                return []
            return sorted(
                BlobHash(folder + file.name)
                for folder in folders
                for file in (self.root / folder).iterdir()
                if _REST.fullmatch(file.name)
            )

    def _path(self, blob: BlobHash) -> Path:
        if not _ADDRESS.fullmatch(blob):  # it might lead anywhere
            raise BlobLostError(blob, self.root)
        return self.root / blob[:2] / blob[2:]

    def _is_sound(self, blob: BlobHash) -> bool:
        """Tell whether a blob is there as it was written; a damaged one is to be written once more."""
        try:
            self.get(blob)
        except (BlobLostError, StoreDamagedError):
            return False
        return True

    @contextmanager
    def _written(self, view: memoryview) -> Iterator[Path]:
        """Write a file that is gone afterwards, unless it was moved."""
        descriptor, name = tempfile.mkstemp(dir=self.incoming)
        try:
            try:
                for block in read(view):
                    start = 0
                    while start < len(block):
                        start += os.write(descriptor, block[start:])
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            yield Path(name)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)  # noqa: PTH108  (a string, as tempfile gives it)

    def _move(self, written: Path, blob: BlobHash) -> None:
        path = self._path(blob)
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self.root)
        written.replace(path)
        self._checked[blob] = _identity(path.stat())


def _hashed(view: memoryview) -> BlobHash:
    digest = hashlib.sha256()
    for block in read(view):
        digest.update(block)
    return BlobHash(digest.hexdigest())


def _read(path: Path) -> tuple[memoryview, _Identity]:
    with path.open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if status.st_size < MAPPED_FROM:
            return memoryview(file.read()), _identity(status)
        if sys.version_info >= (3, 13):
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ, trackfd=False)
        else:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(mapped), _identity(status)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_ino, status.st_size, status.st_mtime_ns
