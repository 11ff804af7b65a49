"""Small blobs that wait for the next commit of records."""

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tierwise.core.ids import BlobHash

SMALL: Final = 256 * 1024
"""Bytes; a blob of so many or more is written at once, as a file of its own, which can be mapped."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What the next commit writes and removes; no blob is in both."""

    written: Mapping[BlobHash, bytes]
    removed: Collection[BlobHash]

    def __bool__(self) -> bool:
        return bool(self.written or self.removed)


class WaitingBlobs:
    """What waits for the next commit. Every method returns at once, and may be called from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._written: dict[BlobHash, bytes] = {}
        self._removed: set[BlobHash] = set()

    def put(self, blob: BlobHash, content: bytes) -> None:
        """Have a blob written."""
        with self._guard:
            self._removed.discard(blob)
            self._written[blob] = content

    def remove(self, blobs: Iterable[BlobHash]) -> None:
        """Have blobs removed, whether they have been written or not."""
        with self._guard:
            for blob in blobs:
                self._written.pop(blob, None)
                self._removed.add(blob)

    def get(self, blob: BlobHash) -> bytes | None:
        """Return a blob that waits to be written."""
        with self._guard:
            return self._written.get(blob)

    def is_removed(self, blob: BlobHash) -> bool:
        """Tell whether a blob is to be taken for gone."""
        with self._guard:
            return blob in self._removed

    def applied_to(self, addresses: Iterable[BlobHash]) -> set[BlobHash]:
        """Return which blobs there are, given those that have been written."""
        with self._guard:
            return (set(addresses) - self._removed) | self._written.keys()

    def changes(self) -> Changes:
        """Return what is to be committed."""
        with self._guard:
            return Changes(dict(self._written), frozenset(self._removed))

    def committed(self, changes: Changes) -> None:
        """Forget what has been committed, but not what was said about the same blobs meanwhile."""
        with self._guard:
            for blob, content in changes.written.items():
                if self._written.get(blob) is content:
                    del self._written[blob]
            for blob in changes.removed:
                if blob not in self._written:
                    self._removed.discard(blob)
