"""Mapped files, whose pages go back to the system when they have been read.

A page of a mapped file that was read counts as memory of the process until the map is closed. Updates wait as mapped
files until their round is over, so without this a coordinator would look, to whoever limits its memory, as large as all
of them together. What is read again comes from the file again, as a rule from the system's cache.
"""

import mmap
from collections.abc import Iterator
from typing import Final

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""What `read` yields at once."""


def is_mapped(data: bytes | memoryview) -> bool:
    """Tell whether something is a view of a mapped file that can only be read."""
    return isinstance(data, memoryview) and data.readonly and isinstance(data.obj, mmap.mmap)


def let_go(data: bytes | memoryview) -> None:
    """Give back the pages of the file that a view is of; nothing happens if it is a view of something else."""
    if is_mapped(data) and hasattr(mmap, "MADV_DONTNEED"):
        data.obj.madvise(mmap.MADV_DONTNEED)  # type: ignore[union-attr]


def read(view: memoryview) -> Iterator[memoryview]:
    """Yield a view of bytes block by block; each block's pages go back when the next one is asked for."""
    for start in range(0, len(view), BLOCK_BYTES):
        yield view[start : start + BLOCK_BYTES]
        let_go(view)
