"""Small blobs: those that come between two commits of the log share a file, a *pack*.

A file of its own costs each blob two syncs of the disk, which is more than everything else that is done with the update
of a small model. So small blobs wait in memory for the next commit of records, which first writes them all into one
file and syncs that. A pack is::

    b"tierpack"     8 bytes
    length          of the index, 4 bytes, little-endian
    index           msgpack: a list of pairs, address and size
    contents        one after the other

It is written beside its name, synced and moved there, like a large blob, and never changed. It is removed when all of
its blobs are; when less than half of it is wanted, the next commit writes that half anew.
"""

import os
import struct
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from tierwise.core.ids import BlobHash
from tierwise.runtime.stores.errors import StoreDamagedError, sync_directory, told

_MAGIC: Final = b"tierpack"
_PREFIX: Final = struct.Struct("<8sI")
_INDEX: Final = msgspec.msgpack.Decoder(list[tuple[BlobHash, int]])
_SUFFIX: Final = ".pack"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a blob is: in which file, from which byte on, how many bytes."""

    path: Path
    start: int
    size: int


class Packs:
    """The packs of a store. Every method blocks; `read` may be called at any time, the others one after the other.

    Parameters
    ----------
    root
        The directory; `prepare` makes it.
    incoming
        Where files are written before they are moved: on the same disk.
    """

    def __init__(self, root: Path, incoming: Path) -> None:
        self.root = root
        self._incoming = incoming
        self._places: dict[BlobHash, _Place] = {}
        self._wanted: dict[Path, set[BlobHash]] = {}
        """What is wanted of each pack."""
        self._next = 0

    def prepare(self) -> None:
        """Make the directory, read what is there, and remove what nobody needs."""
        with told(self.root, "made"):
            if not self.root.is_dir():
                self.root.mkdir(mode=0o700)
                sync_directory(self.root.parent)
        self.load()
        self._tidy()

    def load(self) -> None:
        """Read what is there, and change nothing.

        Raises
        ------
        StoreDamagedError
            If an index is not what was written.
        """
        with told(self.root, "listed"):
            paths = sorted(self.root.glob(f"*{_SUFFIX}"))
        for path in paths:
            with suppress(FileNotFoundError):  # whoever holds the store has removed it meanwhile
                self._know(path, _read_index(path))

    def addresses(self) -> Collection[BlobHash]:
        """Return the addresses of all blobs."""
        return self._places.keys()

    def read(self, blob: BlobHash) -> bytes | None:
        """Return a blob's content; None if it is not there."""
        while (place := self._places.get(blob)) is not None:
            with told(place.path, "read"):
                try:
                    with place.path.open("rb", buffering=0) as file:
                        file.seek(place.start)
                        return file.read(place.size)
                except FileNotFoundError:
                    if self._places.get(blob) is place:
                        return None
        return None

    def write(self, contents: Mapping[BlobHash, bytes]) -> None:
        """Write blobs; when this returns they are there for good."""
        path = self.root / f"{self._next:016}{_SUFFIX}"
        index = [(blob, len(content)) for blob, content in contents.items()]
        encoded = msgspec.msgpack.encode(index)
        written = self._incoming / path.name
        with told(path, "written"):
            try:
                with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    file.writelines([_PREFIX.pack(_MAGIC, len(encoded)), encoded, *contents.values()])
                    file.flush()
                    os.fsync(file.fileno())
                written.replace(path)
            finally:
                with suppress(FileNotFoundError):
                    written.unlink()
            sync_directory(self.root)
        self._know(path, _laid_out(path, len(encoded), index))

    def left_of(self, removed: Collection[BlobHash], *, least: float) -> dict[BlobHash, bytes]:
        """Return what is wanted of the packs of blobs that are to be removed, where it should be written anew.

        Parameters
        ----------
        removed
            Blobs that are not wanted any more.
        least
            The share of a pack that has to be wanted for it to stay as it is.
        """
        left: dict[BlobHash, bytes] = {}
        for path in {self._places[blob].path for blob in removed if blob in self._places}:
            wanted = self._wanted[path].difference(removed)
            with told(path, "read"):
                size = path.stat().st_size
            if sum(self._places[blob].size for blob in wanted) < least * size:
                contents = {blob: self.read(blob) for blob in wanted}
                left |= {blob: content for blob, content in contents.items() if content is not None}
        return left

    def remove(self, blobs: Collection[BlobHash]) -> None:
        """Forget blobs, and remove the files in which nothing is wanted any more."""
        for blob in blobs:
            place = self._places.pop(blob, None)
            if place is not None:
                self._wanted[place.path].discard(blob)
        self._tidy()

    def _know(self, path: Path, places: Mapping[BlobHash, _Place]) -> None:
        self._next = int(path.stem) + 1
        self._wanted[path] = set(places)
        for blob, place in places.items():
            before, self._places[blob] = self._places.get(blob), place
            if before is not None:
                self._wanted[before.path].discard(blob)

    def _tidy(self) -> None:
        for path in [path for path, wanted in self._wanted.items() if not wanted]:
            del self._wanted[path]
            with told(path, "deleted"), suppress(FileNotFoundError):
                path.unlink()


def _laid_out(path: Path, index_bytes: int, index: list[tuple[BlobHash, int]]) -> dict[BlobHash, _Place]:
    places, start = {}, _PREFIX.size + index_bytes
    for blob, size in index:
        places[blob] = _Place(path, start, size)
        start += size
    return places


def _read_index(path: Path) -> dict[BlobHash, _Place]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(_PREFIX.size)
        magic, length = _PREFIX.unpack(prefix) if len(prefix) == _PREFIX.size else (b"", 0)
        encoded = file.read(length) if length <= size else b""
    try:
        index = _INDEX.decode(encoded)
    except msgspec.MsgspecError:
        index = []
    if magic != _MAGIC or _PREFIX.size + length + sum(each for _, each in index) != size:
        raise StoreDamagedError(path, "this file of small blobs does not have the index that was written")
    return _laid_out(path, length, index)
