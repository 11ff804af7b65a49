"""Reducing updates that lie in the store's files, beside the same updates in memory.

N updates of n float32 each are put into the store on the disk, as a coordinator does when they come; then its files are
in the system's cache. They are read with `UpdateBlocks` and reduced with `MeanReducer`, block by block, in one thread:

- *from the store's files*: what the store gives, mapped files.
- *from memory*: the same frames as ``bytes``, which is what the store in memory has; all else is the same.
- *from huge pages*: the same in memory of huge pages, where the system has them: the least that page tables can cost.
- *read() into a room*: the other way to files, ``os.preadv`` of a piece of each update into a room that fits the second
  cache level, and its sum.
- *bring and give back pages*: what the files cost beside the sum, by itself.
- *in single pages*: a cache keeps what is written in large pieces together, and such pieces are mapped as cheaply as
  this. Older systems keep single pages, as here those of a file that was written 4 KiB at a time.

Every repetition runs them all, one after the other, and ratios are medians over repetitions. Times are of the thread on
its processor, the system's share included.
"""

import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

import anyio
import numpy as np
from average import timed
from report import Row, arguments, below, compared, report

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.framing import to_bytes
from tierwise.core.ids import BlobHash
from tierwise.core.weights import Layout, Weights
from tierwise.ext import KERNELS, weighted_sum
from tierwise.plugins.aggregation.mean import MeanReducer
from tierwise.plugins.codecs.plain import Float32Codec
from tierwise.runtime.blocks import SHOWN, UpdateBlocks
from tierwise.runtime.pages import let_go
from tierwise.runtime.stores.sqlite import SqliteStore

CASES: Final = ((8, 1_000_000), (32, 1_000_000), (100, 1_000_000))
QUICK_CASES: Final = ((8, 200_000), (32, 200_000))
PIECE: Final = 4096
"""Bytes of a write after which a cache keeps single pages."""
ROOM: Final = 1 << 18
"""Values of all updates that are read at once with ``read()``: 1 MiB, half of a second cache level."""
MEMORY: Final = "from memory"

Frames = list[bytes] | list[memoryview]


class Reducing:
    """Reduces updates of one size, whatever they lie in."""

    def __init__(self, coding: CodedUpdates, count: int) -> None:
        self._coding = coding
        self._samples = np.arange(50, 50 + count)
        self._out = np.zeros(coding.layout.size, np.float32)

    def run(self, frames: Frames) -> None:
        """Reduce them."""
        updates, reducer = UpdateBlocks(self._coding, frames), MeanReducer()
        for block in updates.slices():
            reducer.reduce(updates.read(block), self._samples, self._out[block])
        updates.let_go()

    def bring(self, frames: Frames) -> None:
        """Do what `run` does but for the sum."""
        updates = UpdateBlocks(self._coding, frames)
        for block in updates.slices():
            updates.read(block)
        updates.let_go()

    def read(self, files: list[int], begin: int) -> None:
        """Reduce what lies in open files from byte ``begin`` on, with ``read()``."""
        size, divisor = self._out.size, int(self._samples.sum())
        length = ROOM // len(files)
        room = np.empty((len(files), length), np.float32)
        rows = [memoryview(row.view(np.uint8).data) for row in room]
        for start in range(0, size, length):
            part = self._out[start : start + length]
            for file, row in zip(files, rows, strict=True):
                os.preadv(file, [row[: part.nbytes]], begin + 4 * start)
            weighted_sum([row[: part.size] for row in room], self._samples, part, divisor=divisor)

    def resident(self, frames: Frames) -> float:
        """Return the most bytes of mapped files that are in memory while the updates are reduced; on Linux."""
        updates, reducer, most, before = UpdateBlocks(self._coding, frames), MeanReducer(), 0.0, _mapped_bytes()
        for block in updates.slices():
            reducer.reduce(updates.read(block), self._samples, self._out[block])
            most = max(most, _mapped_bytes() - before)
        return most


def _mapped_bytes() -> float:
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssFile:"))
    return 1024.0 * int(line.split()[1])


def in_huge_pages(frame: bytes) -> memoryview:
    """Return a copy that begins with a page of its own, and such pages are huge if the system has them."""
    memory = mmap.mmap(-1, len(frame))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    memory[:] = frame
    return memoryview(np.frombuffer(memory, np.uint8)).toreadonly()


async def stored(store: SqliteStore, frames: list[bytes]) -> list[BlobHash]:
    """Put frames into the store."""
    async with store.open():
        return [await store.put(frame) for frame in frames]


async def adopted(store: SqliteStore, frames: list[bytes]) -> list[BlobHash]:
    """Put frames into the store as files that were written a page at a time."""
    blobs = []
    async with store.open():
        for number, frame in enumerate(frames):
            path = store.incoming / str(number)
            with path.open("wb", buffering=0) as file:
                for start in range(0, len(frame), PIECE):
                    file.write(frame[start : start + PIECE])
            blobs.append(await store.adopt(path))
    return blobs


async def got(store: SqliteStore, blobs: list[BlobHash]) -> list[memoryview]:
    """Return blobs as the store gives them, their hashes checked."""
    views = [await store.get(blob) for blob in blobs]
    for view in views:
        let_go(view)
    return views


def measure(folder: Path, count: int, size: int, budget_s: float) -> Iterator[Row]:
    layout = Layout.of({"w": (size // 10, 10)})
    coding = CodedUpdates(Float32Codec(), "float32", layout)
    values = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    frames = [to_bytes(Weights(layout, values + np.float32(number))) for number in range(count)]
    huge = [in_huge_pages(frame) for frame in frames]
    whole, single = SqliteStore(folder / "whole.db"), SqliteStore(folder / "single.db")
    blobs = anyio.run(stored, whole, frames)
    mapped = anyio.run(got, whole, blobs)
    pages = anyio.run(got, single, anyio.run(adopted, single, frames))
    files = [_opened(folder / "whole.db.blobs", blob) for blob in blobs]
    reducing = Reducing(coding, count)
    try:
        times = timed(
            {
                MEMORY: lambda: reducing.run(frames),
                "from the store's files": lambda: reducing.run(mapped),
                "from huge pages": lambda: reducing.run(huge),
                "read() into a room": lambda: reducing.read(files, len(frames[0]) - 4 * size),
                "bring": lambda: reducing.bring(mapped),
                "single": lambda: reducing.run(pages),
                "bring single": lambda: reducing.bring(pages),
            },
            budget_s,
        )
    finally:
        for file in files:
            os.close(file)
    name = f"{count} x {size:,}"

    def beside(ours: str, baseline: str, metric: str, at_most: float | None = None) -> Row:
        return compared(
            f"{name}: {metric}", 1e3 * median(times[ours]), "ms",
            baseline=baseline, baseline_value=1e3 * median(times[baseline]),
            ratio=median(a / b for a, b in zip(times[ours], times[baseline], strict=True)), at_most=at_most,
        )  # fmt: skip

    yield beside("from the store's files", MEMORY, "from the store's files", at_most=1.1)
    yield beside("from the store's files", "from huge pages", "from the store's files")
    yield beside("from the store's files", "read() into a room", "from the store's files")
    yield beside("bring", MEMORY, "bring and give back pages")
    yield beside("single", MEMORY, "from files in single pages")
    yield beside("bring single", MEMORY, "bring and give back single pages")
    if sys.platform == "linux":
        most = Row(f"{name}: of the files in memory, peak", reducing.resident(mapped) / 1e6, "MB")
        yield below(most, 4.0 * SHOWN / 1e6 + 2.0)  # and pages at the ends of blocks


def _opened(root: Path, blob: BlobHash) -> int:
    return os.open(root / blob[:2] / blob[2:], os.O_RDONLY)


def main() -> None:
    parser = arguments("Measure the reduction of updates that lie in the store's files.")
    parser.add_argument("--dir", type=Path, metavar="DIR", default=Path("/var/tmp"), help="on the disk to be measured")
    options = parser.parse_args()
    rows: list[Row] = []
    for count, size in QUICK_CASES if options.quick else CASES:
        with tempfile.TemporaryDirectory(dir=options.dir) as place:
            rows += measure(Path(place), count, size, 0.5 if options.quick else 3.0)
    report(f"Updates in the store's files, cached, {KERNELS} kernels, one thread", rows, options.json)


if __name__ == "__main__":
    main()
