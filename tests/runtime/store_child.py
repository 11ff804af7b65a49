"""A process that writes to a store until it is killed or the disk is full. Run by test_sqlite_store.py.

``store_child.py crash STORE`` waits for lines on standard input, and for each forks a worker, which is quicker than
to start one; the test kills the workers. ``store_child.py full STORE BALLAST`` fills a disk, makes room by removing
the ballast (or lifts its own limit on the size of files), and goes on.
"""

import os
import random
import resource
import sys
from pathlib import Path

import anyio

from tierwise.core import events as e
from tierwise.core.errors import StoreError
from tierwise.core.ids import DeviceId
from tierwise.runtime.stores.sqlite import SqliteStore


def step(start: int, length: int, reason: str = "") -> list[e.Record]:
    """Return the records of one append: each names the first one, its place, and how many there are."""
    return [
        e.Record(
            sequence=start + place,
            at=float(start),
            event=e.DeviceLost(device=DeviceId(f"d{start}"), reason=f"{place}/{length}{reason}"),
        )
        for place in range(length)
    ]


def tell(*words: object) -> None:
    print(*words, flush=True)


async def write_until_killed(path: Path) -> None:
    store = SqliteStore(path)
    async with store.open():
        count = len(await store.records())
        tell("open")
        while True:
            length = random.randrange(1, 30)
            blob = await store.put(random.randbytes(random.randrange(400_000)))
            await store.append(step(count, length))
            count += length
            tell("records", count)
            tell("blob", blob)


def crash(path: Path) -> None:
    for _ in sys.stdin:
        worker = os.fork()
        if worker == 0:
            anyio.run(write_until_killed, path)
        tell("pid", worker)
        os.waitpid(worker, 0)
        tell("dead")


async def fill(path: Path, ballast: Path | None, blob_bytes: int) -> None:
    store = SqliteStore(path)
    records, blobs, errors = 0, [], []
    async with store.open():
        await store.append(step(0, 3))
        records = 3
        for write in (True, False):
            while True:
                try:
                    if write:
                        blobs.append(await store.put(random.randbytes(blob_bytes)))
                    else:
                        await store.append(step(records, 20, "." * 1000))
                        records += 20
                except StoreError as error:
                    errors.append(error)
                    break
        assert len(await store.records()) == records
        assert list(await store.blobs()) == sorted(blobs)
        assert not list(store.incoming.iterdir())
        if ballast is None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            await anyio.Path(ballast).unlink()
        await store.append(step(records, 20))
        blobs.append(await store.put(random.randbytes(100_000)))
        records += 20
    async with store.open():
        assert len(await store.records()) == records
        for blob in blobs:
            await store.get(blob)
    for error in errors:
        tell(type(error).__name__, error)
    tell("went on to", records, "records", len(blobs), "blobs")


def main() -> None:
    what, path, *rest = sys.argv[1:]
    if what == "crash":
        crash(Path(path))
    elif rest:
        ballast = Path(rest[0])
        ballast.write_bytes(bytes(1_000_000))
        anyio.run(fill, Path(path), ballast, 300_000)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
        anyio.run(fill, Path(path), None, 700_000)


if __name__ == "__main__":
    main()
