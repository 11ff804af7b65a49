"""Mapped files, whose pages go back to the system when they have been read.

A page of a mapped file that was read counts as memory of the process until the map is closed. Updates wait as mapped
files until their round is over, so without this a coordinator would look, to whoever limits its memory, as large as all
of them together. What is read again comes from the file again, as a rule from the system's cache.
"""

import mmap
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import StoreError

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""What `read` yields at once."""
_POPULATE_READ: Final = 22
"""MADV_POPULATE_READ of Linux, which Python does not name: https://man7.org/linux/man-pages/man2/madvise.2.html"""


def is_mapped(data: bytes | memoryview) -> bool:
    """Tell whether something is a view of a mapped file that can only be read."""
    return _map_of(data) is not None


def _map_of(data: bytes | memoryview) -> mmap.mmap | None:
    return data.obj if isinstance(data, memoryview) and data.readonly and isinstance(data.obj, mmap.mmap) else None


def let_go(data: bytes | memoryview) -> None:
    """Give back the pages of the file that a view is of; nothing happens if it is a view of something else."""
    mapped = _map_of(data)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def read(view: memoryview) -> Iterator[memoryview]:
    """Yield a view of bytes block by block; each block's pages go back when the next one is asked for."""
    for start in range(0, len(view), BLOCK_BYTES):
        yield view[start : start + BLOCK_BYTES]
        let_go(view)


@cache
def can_bring() -> bool:
    """Tell whether the system brings pages when it is told to, as `Window` needs it: Linux does, from 5.14 on."""
    if sys.platform != "linux":
        return False
    try:
        mmap.mmap(-1, mmap.PAGESIZE).madvise(_POPULATE_READ)
    except OSError:
        return False
    return True


class Window:
    """The stretch of an array in a mapped file that is in memory.

    Merely reading brings more: Linux maps as much of a file as its cache holds in one piece, up to 2 MB for a byte, and
    each piece after a fault of its own. Here all pages of a stretch come with one call, and what came beside them goes
    back at once.

    Parameters
    ----------
    data
        A view of the file, which `is_mapped`.
    array
        Contiguous, within ``data``.
    """

    def __init__(self, data: bytes | memoryview, array: NDArray[Any]) -> None:
        mapped = _map_of(data)
        assert mapped is not None, "is_mapped tells"
        self._map = mapped
        self._start = array.ctypes.data - np.frombuffer(self._map, np.uint8).ctypes.data
        self._itemsize = array.itemsize
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            with suppress(OSError):  # a system that knows no huge pages
                self._map.madvise(mmap.MADV_NOHUGEPAGE)  # a huge one could go back only as a whole

    def show(self, items: slice) -> None:
        """Have some items in memory, and nothing else of the file.

        Raises
        ------
        StoreError
            If they cannot be read: merely reading them would have ended the process.
        """
        first = _page(self._start + self._itemsize * items.start)
        end = min(_page(self._start + self._itemsize * items.stop + mmap.PAGESIZE - 1), len(self._map))
        try:
            self._map.madvise(_POPULATE_READ, first, end - first)
        except OSError as error:
            raise StoreError(f"a file of the store cannot be read, or has become shorter: {error}") from error
        if first > 0:
            self._map.madvise(mmap.MADV_DONTNEED, 0, first)
        if end < len(self._map):
            self._map.madvise(mmap.MADV_DONTNEED, end)


def _page(place: int) -> int:
    """Return where the page begins that a byte is in."""
    return place // mmap.PAGESIZE * mmap.PAGESIZE
