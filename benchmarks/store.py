"""The store on a disk beside what one would write by hand, on the same disk in the same run.

- *append*: events per second, each durable when the call returns, one by one and 100 at a time. Baseline: the
  standard library's sqlite3 with the same table, pragmas and encoded payload, in the calling thread, without checksums,
  witness, worker threads or SQLAlchemy.
- *put*, *get*: megabytes per second of 40 MB blobs. A put hashes, writes, syncs, renames and syncs the directory;
  baseline: a plain file, written and synced. A get maps the file and checks its hash the first time, later only that
  the file is unchanged; baseline: reading the file as bytes. Files are in the page cache, as an update is that has just
  arrived.

Every repetition runs them all, one after the other, and ratios are medians over repetitions, so that a disk whose
speed wanders does not decide the result. The limit of a durable append is the disk's sync, which is shown too.
"""

import asyncio
import itertools
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from report import Row, arguments, compared, report

from tierwise.core.events import Record, UpdateAccepted, encode_record
from tierwise.core.ids import BlobHash, CohortId, DeviceId
from tierwise.core.metrics import Metric
from tierwise.runtime.stores.sqlite import SqliteStore

EVENT = UpdateAccepted(
    cohort=CohortId("g1.r1"),
    device=DeviceId("device-0001"),
    blob=BlobHash("0" * 64),
    size_bytes=40_000,
    samples=100,
    metrics={"accuracy": Metric(sum=90.0, count=100), "log_loss": Metric(sum=20.0, count=100)},
)

Samples = dict[str, list[float]]


def steps(numbers: Iterator[int], count: int, length: int) -> list[list[Record]]:
    return [[Record(sequence=next(numbers), at=1.0, event=EVENT) for _ in range(length)] for _ in range(count)]


class ByHand:
    """The table in plain sqlite3."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("CREATE TABLE records (sequence INTEGER PRIMARY KEY, at, schema, payload, checksum)")
        self.numbers = itertools.count()

    def append(self, records: list[Record]) -> None:
        """Write records in one transaction."""
        rows = [(one.sequence, one.at, one.schema, encode_record(one), b"0123456789abcdef") for one in records]
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?)", rows)
        self.connection.execute("COMMIT")


def sync_rate(path: Path, count: int) -> float:
    """Return how often in a second a file's end can be written and synced: the limit of any log."""
    with path.open("wb", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(count):
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
        return count / (time.perf_counter() - start)


async def appends(store: SqliteStore, numbers: Iterator[int], by_hand: ByHand, count: int, found: Samples) -> None:
    for length, calls in ((1, count), (100, max(count // 10, 5))):
        ours, theirs = steps(numbers, calls, length), steps(by_hand.numbers, calls, length)
        start = time.perf_counter()
        for records in ours:
            await store.append(records)
        found[f"append {length}"].append(calls * length / (time.perf_counter() - start))
        start = time.perf_counter()
        for records in theirs:
            by_hand.append(records)
        found[f"by hand {length}"].append(calls * length / (time.perf_counter() - start))


async def blobs(store: SqliteStore, folder: Path, size: int, found: Samples) -> None:
    data = random.randbytes(size)
    plain = folder / "plain"
    start = time.perf_counter()
    blob = await store.put(data)
    put = time.perf_counter()
    with plain.open("wb", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())
    written = time.perf_counter()
    again = SqliteStore(store.path)  # has not read it yet
    first = time.perf_counter()
    await again.get(blob)
    got = time.perf_counter()
    await again.get(blob)
    later = time.perf_counter()
    plain.read_bytes()
    read = time.perf_counter()
    megabytes = size / 1e6
    for name, seconds in {
        "put": put - start,
        "write": written - put,
        "get first": got - first,
        "get later": later - got,
        "read": read - later,
    }.items():
        found[name].append(megabytes / seconds)
    await store.delete([blob])
    plain.unlink()


async def measure(folder: Path, repetitions: int, count: int, size: int) -> Samples:
    found: Samples = defaultdict(list)
    store, by_hand, numbers = SqliteStore(folder / "run.db"), ByHand(folder / "plain.db"), itertools.count()
    async with store.open():
        for repetition in range(repetitions + 1):
            if repetition == 1:
                found.clear()  # the first warms up
            found["sync"].append(sync_rate(folder / "sync", count))
            await appends(store, numbers, by_hand, count, found)
            await blobs(store, folder, size, found)
    by_hand.connection.close()
    return found


def rows(found: Samples) -> Iterator[Row]:
    yield Row("write 4 KiB and sync: the disk's limit", statistics.median(found["sync"]), "1/s")
    for metric, ours, unit, baseline, theirs, least in (
        ("append one by one", "append 1", "events/s", "plain sqlite3", "by hand 1", 0.5),
        ("append 100 at a time", "append 100", "events/s", "plain sqlite3", "by hand 100", 0.5),
        ("put", "put", "MB/s", "plain file, synced", "write", None),
        ("get for the first time", "get first", "MB/s", "plain read", "read", None),
        ("get again", "get later", "MB/s", "plain read", "read", 1.0),
    ):
        yield compared(
            metric,
            statistics.median(found[ours]),
            unit,
            baseline=baseline,
            baseline_value=statistics.median(found[theirs]),
            ratio=statistics.median(a / b for a, b in zip(found[ours], found[theirs], strict=True)),
            at_least=least,
        )


def main() -> None:
    parser = arguments("Measure tierwise.runtime.stores.sqlite.")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="on which disk; the system's temporary one by default")
    options = parser.parse_args()
    size = (3, 50, 40_000_000) if options.quick else (10, 500, 40_000_000)
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        found = asyncio.run(measure(Path(folder), *size))
    report("Store on a disk", rows(found), options.json)


if __name__ == "__main__":
    main()
