"""Mapped files, whose pages go back to the system when they have been read.

A page of a mapped file that was read counts as memory of the process until the map is closed. Updates wait as mapped
files until their round is over, so without this a coordinator would look, to whoever limits its memory, as large as all
of them together. What is read again comes from the file again, as a rule from the system's cache.
"""

import mmap
from collections.abc import Iterable, Iterator
from typing import Final

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""What `read` yields at once."""


def let_go(views: Iterable[bytes | memoryview]) -> None:
    """Give back the pages of the files that views are of; nothing happens where a view is of something else."""
    for view in views:
        mapped = view.obj if isinstance(view, memoryview) and view.readonly else None
        if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def read(view: memoryview) -> Iterator[memoryview]:
    """Yield a view of bytes block by block; each block's pages go back when the next one is asked for."""
    for start in range(0, len(view), BLOCK_BYTES):
        yield view[start : start + BLOCK_BYTES]
        let_go((view,))
