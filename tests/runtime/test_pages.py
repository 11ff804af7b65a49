"""Giving back the pages of mapped files."""

import mmap
import sys

import numpy as np
import pytest

from tierwise.core.errors import StoreError
from tierwise.runtime.pages import BLOCK_BYTES, Window, can_bring, let_go, read

from .helpers import resident_bytes

SIZE = 9 * BLOCK_BYTES // 2
HEAD = 1000


@pytest.fixture
def view(tmp_path):
    """Return a view of a file from somewhere in it, as an update is in its envelope."""
    path = tmp_path / "update"
    path.write_bytes(bytes(HEAD) + b"tierwise" * (SIZE // 8))
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[HEAD:]


def test_blocks_are_all_of_it_in_order(view):
    blocks = list(read(view))
    assert [len(block) for block in blocks] == [BLOCK_BYTES] * 4 + [BLOCK_BYTES // 2]
    assert b"".join(blocks) == view


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is in memory of a map")
def test_what_was_read_is_in_memory_until_it_is_let_go_and_is_there_again(view):
    assert view.tobytes() == b"tierwise" * (SIZE // 8)
    assert resident_bytes("update") >= SIZE
    let_go(view)
    assert resident_bytes("update") == 0
    assert view.tobytes() == b"tierwise" * (SIZE // 8)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is in memory of a map")
def test_reading_holds_little_of_it(view):
    most = 0
    for block in read(view):
        assert block[:8] == b"tierwise"
        assert bytes(block)
        most = max(most, resident_bytes("update"))
    assert 0 < most <= 2 * BLOCK_BYTES  # the system maps some pages around each
    assert resident_bytes("update") == 0


@pytest.mark.parametrize("data", [b"bytes", memoryview(bytearray(b"writable")), memoryview(b"")])
def test_what_is_no_file_stays_as_it_is(data):
    before = bytes(data)
    let_go(data)
    assert bytes(data) == before
    assert b"".join(read(memoryview(data))) == before


def test_what_was_written_to_a_private_map_is_not_lost(tmp_path):
    path = tmp_path / "private"
    path.write_bytes(b"before")
    with path.open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    view[:] = b"after."
    let_go(view)
    assert bytes(view) == b"after."


needs_bringing = pytest.mark.skipif(not can_bring(), reason="only Linux 5.14 and later bring pages when told to")


@needs_bringing
@pytest.mark.parametrize(
    "items", [slice(0, 1), slice(5, 2000), slice(100_000, 300_000), slice(SIZE // 8 - 9, SIZE // 8)]
)
def test_what_a_window_shows_is_in_memory_and_nothing_else(view, items):
    array = np.frombuffer(view, np.float64)
    window = Window(view, array)
    assert view.tobytes() == b"tierwise" * (SIZE // 8)  # all of it has been read before
    window.show(items)
    size = 8 * (items.stop - items.start)
    assert size <= resident_bytes("update") <= size + 2 * mmap.PAGESIZE
    assert array[items].tobytes() == b"tierwise" * (items.stop - items.start)
    assert resident_bytes("update") <= size + 2 * mmap.PAGESIZE


@needs_bringing
def test_a_window_moves(view):
    array = np.frombuffer(view, np.float64)
    window = Window(view, array)
    for start in range(0, len(array), 100_000):
        window.show(slice(start, min(start + 100_000, len(array))))
        assert set(array[start : start + 100_000].tobytes()) == set(b"tierwise")
        assert resident_bytes("update") <= 800_000 + 2 * mmap.PAGESIZE


@needs_bringing
def test_a_file_that_has_become_shorter_is_an_error_and_not_the_end(view, tmp_path):
    window = Window(view, np.frombuffer(view, np.float64))
    with (tmp_path / "update").open("rb+") as file:
        file.truncate(100_000)
    window.show(slice(0, 1000))
    with pytest.raises(StoreError, match="has become shorter"):
        window.show(slice(50_000, 51_000))
