"""The contract on both stores; then what only a disk can do: crash, fill up, be damaged, be shared."""

import asyncio
import contextlib
import hashlib
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.errors import BlobMissingError, StoreError
from tierwise.core.events import SCHEMA_VERSION
from tierwise.runtime.compute import InlineCompute
from tierwise.runtime.stores.blobs import BlobDirectory
from tierwise.runtime.stores.errors import StoreDamagedError, StoreHeldError
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.stores.sqlite import SqliteStore
from tierwise.runtime.stores.waiting import WaitingBlobs

from .store_child import step
from .store_contract import StoreContract, address, log, record

CHILD = Path(__file__).with_name("store_child.py")


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self):
        store = MemoryStore()
        return lambda: store


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path):
        return lambda: SqliteStore(tmp_path / "run.db")


class TestSqliteStoreWithoutThreads(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path):
        return lambda: SqliteStore(tmp_path / "run.db", compute=InlineCompute())


pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.db"


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


async def write(path: Path, records: int = 40, blobs: int = 0) -> list[str]:
    store = SqliteStore(path)
    async with store.open():
        await store.append(log(0, records))
        return [await store.put(bytes([number]) * 300_000) for number in range(blobs)]


async def refused(path: Path, match: str, error: type[StoreError] = StoreDamagedError) -> None:
    """Neither a reader nor a coordinator takes it for sound."""
    with pytest.raises(error, match=match) as caught:
        await SqliteStore(path).records()
    assert str(path) in str(caught.value)
    store = SqliteStore(path)
    with pytest.raises(error, match=match):
        async with store.open():
            await store.records()


def edit(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connected, connected:
        for statement in statements:
            connected.execute(statement)


def file_of(path: Path, blob: str) -> Path:
    return beside(path, ".blobs") / blob[:2] / blob[2:]


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << random.Random(place).randrange(8)
    path.write_bytes(content)


# -- killed


class Worker:
    """Processes that write to a store, one after the other, each killed at some moment."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, str(CHILD), "crash", str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = 0

    def start(self, *, opened: bool = True) -> None:
        print("go", file=self.process.stdin, flush=True)
        self.pid = int(self.process.stdout.readline().split()[1])
        if opened:
            assert self.process.stdout.readline() == "open\n"

    def kill(self) -> tuple[int, list[str]]:
        """Kill it; return how many records it had acknowledged, and which blobs."""
        os.kill(self.pid, signal.SIGKILL)
        records, blobs = 0, []
        while (line := self.process.stdout.readline()) != "dead\n":
            what, *rest = line.split()
            if what == "records":
                records = int(rest[0])
            elif what == "blob":
                blobs += rest
        return records, blobs

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(10) == 0


@pytest.fixture
def worker(path):
    worker = Worker(path)
    yield worker
    worker.close()


async def test_whatever_was_acknowledged_before_a_kill_is_there_and_whole(path, worker):
    moments = random.Random(5)
    total = 0
    for kills in range(200):
        if kills >= 20 and total > 5:  # a busy disk acknowledges little before a kill
            break
        opened = moments.random() < 0.8
        worker.start(opened=opened)
        await anyio.sleep(moments.random() * (0.1 if opened else 0.03))
        acknowledged, blobs = worker.kill()
        total += len(blobs)
        store = SqliteStore(path)
        async with store.open():
            records = await store.records()
            assert len(records) >= acknowledged
            start = 0
            while start < len(records):
                length = int(records[start].event.reason.partition("/")[2])
                assert list(records[start : start + length]) == step(start, length)
                start += length
            for blob in blobs:
                assert address(await store.get(blob)) == blob
            for blob in await store.blobs():  # those that nobody was told of are whole, too
                await store.get(blob)
            assert not list(store.incoming.iterdir())
            await store.append(step(len(records), 2))
    assert total > 5


async def test_a_coordinator_elsewhere_is_refused_until_it_dies(path, worker):
    worker.start()
    store = SqliteStore(path)
    with pytest.raises(StoreHeldError, match=rf"another coordinator \(process {worker.pid}\) holds") as caught:
        async with store.open():
            pass
    assert caught.value.process == worker.pid
    await store.records()  # reading is allowed meanwhile
    assert await store.holder() == worker.pid
    worker.kill()
    async with store.open():
        assert await store.holder() == os.getpid()
    assert await store.holder() is None


async def test_reading_after_a_kill_changes_nothing(path, worker):
    worker.start()
    await anyio.sleep(0.05)
    acknowledged, _ = worker.kill()
    files = [path, beside(path, "-wal"), beside(path, ".witness")]
    before = [file.read_bytes() for file in files]
    assert len(await SqliteStore(path).records()) >= acknowledged
    assert [file.read_bytes() for file in files] == before


async def test_reading_what_was_closed_leaves_no_trace(path):
    await write(path)
    before = {file: file.stat().st_mtime_ns for file in path.parent.rglob("*")}
    assert len(await SqliteStore(path).records()) == 40
    assert {file: file.stat().st_mtime_ns for file in path.parent.rglob("*")} == before


# -- full


def mounts() -> bool:
    """Tell whether a small disk can be made here, visible to a single process."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=3m", "none", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


def test_a_limit_on_the_size_of_files_stops_it_cleanly(path):
    command = [sys.executable, str(CHILD), "full", str(path)]
    blob, append, end = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert blob.startswith("StoreFullError ")
    assert "File too large" in blob
    assert str(path) in append
    assert end.startswith("went on to ")


@pytest.mark.parametrize("size", ["3m"] if mounts() else [])
def test_a_full_disk_stops_it_cleanly(tmp_path, size):
    script = 'mount -t tmpfs -o size=$0 none "$1" && cd "$1" && exec "$2" "$3" full "$1/run.db" "$1/ballast"'
    command = ["unshare", "-rm", "sh", "-c", script, size, str(tmp_path), sys.executable, str(CHILD)]
    blob, append, end = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert blob.startswith(f"StoreFullError {tmp_path}/run.db.blobs/")
    assert "the disk is full (No space left on device); the store is whole as it was before" in blob
    assert append.startswith(f"StoreFullError {tmp_path}/run.db: the disk is full (database or disk is full); ")
    assert end.startswith("went on to ")


# -- damaged


async def sound_or_named(path: Path, expected: list) -> bool:
    """Read it as a coordinator would; tell whether the damage was noticed. What was not noticed has no effect."""
    store = SqliteStore(path)
    try:
        before = await store.records()
        async with store.open():
            after = await store.records()
    except StoreError:
        return True
    assert list(before) == list(after) == expected
    return False


async def test_no_flipped_bit_of_the_file_goes_unnoticed(path, tmp_path):
    await write(path, 100)
    size = path.stat().st_size
    places = sorted({*range(0, 100, 3), *random.Random(1).sample(range(size), 150)})
    noticed = 0
    for place in places:
        copied = tmp_path / str(place) / "run.db"
        copied.parent.mkdir()
        shutil.copy(path, copied)
        shutil.copytree(beside(path, ".blobs"), beside(copied, ".blobs"))
        flip(copied, place)
        noticed += await sound_or_named(copied, log(0, 100))
    assert noticed > len(places) / 3


async def test_no_flipped_bit_of_the_write_ahead_log_loses_a_record(path, tmp_path):
    store = SqliteStore(path)
    async with store.open():
        for number in range(12):
            await store.append([record(number)])
        size = beside(path, "-wal").stat().st_size
        noticed = 0
        for place in random.Random(2).sample(range(size), 100):
            copied = tmp_path / str(place) / "run.db"
            copied.parent.mkdir()
            for suffix in ("-wal", ".witness"):
                shutil.copy(beside(path, suffix), beside(copied, suffix))
            shutil.copy(path, copied)
            shutil.copytree(beside(path, ".blobs"), beside(copied, ".blobs"))
            flip(beside(copied, "-wal"), place)
            noticed += await sound_or_named(copied, log(0, 12))
    assert noticed > 10


async def test_a_write_ahead_log_that_was_removed_is_missed(path, worker):
    worker.start()
    await anyio.sleep(0.1)
    acknowledged, _ = worker.kill()
    assert acknowledged
    beside(path, "-wal").unlink()
    with pytest.raises(StoreDamagedError, match=r"\d+ records were acknowledged and only \d+ are there: .* run.db-wal"):
        await SqliteStore(path).records()
    beside(path, ".witness").unlink()  # as the message says
    store = SqliteStore(path)
    async with store.open():
        await store.append(step(len(await store.records()), 1))


async def test_an_older_copy_is_refused(path, tmp_path):
    await write(path, 10)
    older = shutil.copy(path, tmp_path / "older")
    store = SqliteStore(path)
    async with store.open():
        await store.append([record(10)])
    shutil.copy(older, path)
    await refused(path, "^.*: 11 records were acknowledged and only 10 are there: this file is an older copy")


@pytest.mark.parametrize("rest", [0.3, 0.6, 0.95])
async def test_a_truncated_file(path, rest):
    await write(path, 500)
    os.truncate(path, int(path.stat().st_size * rest))
    await refused(
        path,
        "(the database is damaged|record .* is missing|only 1 are there).* [Pp]ut back a backup of the whole store",
    )


async def test_a_file_of_no_bytes_is_an_older_copy(path):
    await write(path)
    os.truncate(path, 0)
    await refused(path, "only 0 are there")


@pytest.mark.parametrize(
    ("statement", "match"),
    [
        ("DELETE FROM records WHERE sequence = 7", "record 7 is missing, the next one there is 8"),
        ("DELETE FROM records WHERE sequence = 0", "record 0 is missing"),
        ("UPDATE records SET payload = x'00' WHERE sequence = 7", "record 7 does not have its checksum"),
        ("UPDATE records SET payload = 5 WHERE sequence = 7", "record 7 does not have its checksum"),
        ("UPDATE records SET payload = 'text' WHERE sequence = 7", "record 7 does not have its checksum"),
        ("UPDATE records SET checksum = x'00' WHERE sequence = 7", "record 7 does not have its checksum"),
        ("UPDATE records SET at = 5 WHERE sequence = 7", "record 7: the columns say something else than the payload"),
        (
            "UPDATE records SET (payload, checksum) = (SELECT payload, checksum FROM records WHERE sequence = 8)",
            "record 0: the columns say something else",
        ),
        ("DROP TABLE records", "is no tierwise store"),
        ("DELETE FROM tierwise_store", "the format of the store is"),
        ("UPDATE tierwise_store SET format = 'x'", "the format of the store is"),
    ],
)
async def test_a_changed_row_is_named(path, statement, match):
    await write(path)
    edit(path, statement)
    await refused(path, match, StoreError)


async def test_a_record_that_no_event_fits_is_named(path):
    await write(path)
    checksum = hashlib.blake2b(b"\x80", digest_size=16).hexdigest()
    edit(path, f"UPDATE records SET payload = x'80', checksum = x'{checksum}' WHERE sequence = 7")
    await refused(path, "record 7 cannot be decoded: ")


async def test_what_was_written_by_a_newer_version(path):
    await write(path)
    edit(path, f"UPDATE records SET schema = {SCHEMA_VERSION + 1} WHERE sequence = 7")
    await refused(path, f"record 7 has schema {SCHEMA_VERSION + 1}, this tierwise reads up to .*: upgrade", StoreError)
    edit(path, "UPDATE tierwise_store SET format = 3")
    await refused(path, "is a store of format 3, this tierwise reads up to 2: upgrade tierwise", StoreError)


async def test_the_sound_part_of_a_damaged_log_can_be_read(path):
    await write(path)
    edit(path, "DELETE FROM records WHERE sequence = 7")
    records, error = await SqliteStore(path).sound_records()
    assert list(records) == log(0, 7)
    assert isinstance(error, StoreDamagedError)


async def test_somebody_elses_files_are_left_alone(path):
    path.write_text("my diary" * 1000)
    await refused(path, "this is no SQLite file")
    assert path.read_text() == "my diary" * 1000
    path.unlink()
    edit(path, "CREATE TABLE diary (entry TEXT)")
    before = path.read_bytes()
    await refused(path, "is no tierwise store: it is a database with the tables diary. Nothing was changed", StoreError)
    assert path.read_bytes() == before
    assert not beside(path, ".blobs").exists()


async def test_where_no_store_can_be(tmp_path):
    with pytest.raises(StoreError, match=r"there is no store .*/run.db"):
        await SqliteStore(tmp_path / "run.db").records()
    with pytest.raises(StoreError, match=r"there is no directory .*/nowhere, make it first"):
        async with SqliteStore(tmp_path / "nowhere" / "run.db").open():
            pass
    with pytest.raises(StoreError, match="cannot be opened: unable to open database file"):
        async with SqliteStore(tmp_path).open():
            pass


@pytest.mark.parametrize("place", [0, 150_000, 299_999])
async def test_a_changed_blob_is_named_even_by_who_knew_it(path, place):
    [blob] = await write(path, 1, 1)
    file, store = file_of(path, blob), SqliteStore(path)
    assert len(await store.get(blob)) == 300_000
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreDamagedError, match=f"^{file}: the content .* is not that of blob {blob}"):
        await store.get(blob)


async def test_a_truncated_blob(path):
    [blob] = await write(path, 1, 1)
    os.truncate(file_of(path, blob), 1000)
    with pytest.raises(StoreDamagedError, match=r"the content \(1,000 bytes\) is not that of blob"):
        await SqliteStore(path).get(blob)


async def test_a_damaged_blob_that_is_put_again_is_whole(path):
    [blob] = await write(path, 1, 1)
    os.truncate(file_of(path, blob), 1000)
    store = SqliteStore(path)
    async with store.open():
        assert await store.put(bytes(300_000)) == blob
        assert await store.get(blob) == bytes(300_000)


async def test_a_lost_blob_names_its_file(path):
    [blob] = await write(path, 1, 1)
    file_of(path, blob).unlink()
    with pytest.raises(
        BlobMissingError, match=f"^blob {blob} is not in the store: .*; {file_of(path, blob)} is not th"
    ):
        await SqliteStore(path).get(blob)


async def test_without_its_blobs_a_log_is_not_gone_on_with(path):
    [blob] = await write(path, 1, 1)
    shutil.rmtree(beside(path, ".blobs"))
    with pytest.raises(StoreDamagedError, match=r"run.db.blobs: the directory of the store's blobs is not there"):
        async with SqliteStore(path).open():
            pass
    store = SqliteStore(path)
    assert list(await store.records()) == log(0, 1)
    assert await store.blobs() == []
    with pytest.raises(BlobMissingError):
        await store.get(blob)


# -- small blobs, many to a file


def packs(path: Path) -> list[Path]:
    return sorted(beside(path, ".blobs").glob("packs/*"))


async def test_small_blobs_share_a_file_that_the_next_records_wait_for(path):
    store, reader = SqliteStore(path), SqliteStore(path)
    async with store.open():
        small = [await store.put(b"%d" % number) for number in range(20)]
        assert await store.get(small[0]) == b"0"
        assert await reader.blobs() == []
        await store.append([record(0)])
        assert await reader.blobs() == sorted(small)
        assert [await reader.get(blob) for blob in small] == [b"%d" % number for number in range(20)]
        assert len(packs(path)) == 1
        await store.delete(small)
        assert await store.blobs() == []
        assert await reader.blobs() == sorted(small)
        await store.append([record(1)])
        assert await reader.blobs() == []
        assert packs(path) == []
    assert not list(beside(path, ".blobs").glob("??"))


@pytest.mark.parametrize(("kept", "anew"), [(4, True), (16, False)])
async def test_a_file_of_small_blobs_is_written_anew_when_little_of_it_is_wanted(path, kept, anew):
    store = SqliteStore(path)
    async with store.open():
        blobs = [await store.put(bytes([number]) * 10_000) for number in range(20)]
        await store.append([record(0)])
        [before] = packs(path)
        await store.delete(blobs[kept:])
        await store.append([record(1)])
        [after] = packs(path)
        assert (after != before) is anew
        assert list(await store.blobs()) == sorted(blobs[:kept])
        assert [await store.get(blob) for blob in blobs[:kept]] == [bytes([n]) * 10_000 for n in range(kept)]
    assert await SqliteStore(path).get(blobs[0]) == bytes(10_000)


async def test_a_small_blob_that_changed_is_named_and_put_again_is_whole(path):
    store = SqliteStore(path)
    async with store.open():
        small = await store.put(b"small")
        await store.append([record(0)])
        [pack] = packs(path)
        flip(pack, -1)
        for one in (store, SqliteStore(path)):
            with pytest.raises(StoreDamagedError, match=rf"packs: the content \(5 bytes\) of blob {small} is not what"):
                await one.get(small)
        await store.put(b"small")
        await store.append([record(1)])
        assert await SqliteStore(path).get(small) == b"small"


@pytest.mark.parametrize("place", [3, 9, 13, None])
async def test_a_damaged_index_of_small_blobs_is_named(path, place):
    store = SqliteStore(path)
    async with store.open():
        small = await store.put(bytes(1000))
        await store.append([record(0)])
    [pack] = packs(path)
    if place is None:
        os.truncate(pack, 40)
    else:
        flip(pack, place)
    with pytest.raises(StoreDamagedError, match=f"^{pack}: this file of small blobs does not have the index"):
        await SqliteStore(path).get(small)
    with pytest.raises(StoreDamagedError, match="does not have the index"):
        async with SqliteStore(path).open():
            pass


async def test_a_store_of_before_small_blobs_is_read_and_gone_on_with(path):
    await write(path, 2)
    edit(path, "UPDATE tierwise_store SET format = 1")
    beside(path, ".blobs").joinpath("packs").rmdir()
    old = BlobDirectory(beside(path, ".blobs")).put(b"old")
    assert await SqliteStore(path).get(old) == b"old"
    assert await SqliteStore(path).blobs() == [old]
    store = SqliteStore(path)
    async with store.open():
        new = await store.put(b"new")
        await store.append([record(2)])
        assert list(await store.blobs()) == sorted([old, new])
        assert await store.get(old) == b"old"
        await store.delete([old])
    assert await SqliteStore(path).blobs() == [new]
    assert await SqliteStore(path).records() == log(0, 3)
    with contextlib.closing(sqlite3.connect(path)) as connected:
        assert connected.execute("SELECT format FROM tierwise_store").fetchall() == [(2,)]


@given(st.lists(st.tuples(st.sampled_from(["put", "remove", "begin", "end"]), st.integers(0, 2)), max_size=30))
def test_whatever_is_said_while_a_commit_runs_holds_after_it(steps):
    """What waits, applied to what is on the disk, is always what was said last."""
    waiting, disk, said, running = WaitingBlobs(), {}, {}, None
    for what, number in steps:
        blob = address(b"%d" % number)
        match what:
            case "put":
                waiting.put(blob, b"%d" % number)
                said[blob] = True
            case "remove":
                waiting.remove([blob])
                said[blob] = False
            case "begin" if running is None:
                running = waiting.changes()
            case "end" if running is not None:
                disk = {one: content for one, content in disk.items() if one not in running.removed}
                disk |= running.written
                waiting.committed(running)
                running = None
        assert waiting.applied_to(disk) == {one for one, there in said.items() if there}
    for last in (running, None):
        last = waiting.changes() if last is None else last
        disk = {one: content for one, content in disk.items() if one not in last.removed} | last.written
        waiting.committed(last)
    assert disk.keys() == {one for one, there in said.items() if there}
    assert not waiting.changes()


# -- shared, cancelled, adopted


async def test_only_the_owner_can_read_it(path):
    before = os.umask(0)
    try:
        store = SqliteStore(path)
        async with store.open():
            await store.append([record(0)])
            blob = await store.put(bytes(300_000))
            spooled = store.incoming / "update"
            spooled.write_bytes(b"spooled")
            await store.adopt(spooled)
            found = [(file.stat().st_mode, file.name) for file in path.parent.rglob("*")]
    finally:
        os.umask(before)
    assert {blob[2:], "run.db", "run.db-wal", "run.db-shm", "run.db.witness", "run.db.lock"} <= {
        name for _, name in found
    }
    for mode, name in found:
        assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), name


async def test_two_names_of_a_store_are_one_store(path, tmp_path):
    await write(path)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    async with SqliteStore(path).open():
        with pytest.raises(StoreHeldError):
            async with SqliteStore(link).open():
                pass


async def test_who_writes_past_the_lock_is_noticed(path):
    await write(path, 1)
    store = SqliteStore(path)
    async with store.open():
        edit(path, "INSERT INTO records VALUES (1, 0, 1, x'', x'')")
        with pytest.raises(StoreError, match="a record of that number is there already: something else than this coo"):
            await store.append([record(1)])


async def test_only_the_next_record_is_taken(path):
    await write(path, 3)
    store = SqliteStore(path)
    async with store.open():
        for wrong in (log(2, 4), log(4, 5), [record(3), record(5)]):
            with pytest.raises(StoreError, match="the log's next record is"):
                await store.append(wrong)
        await store.append(log(3, 5))
        assert list(await store.records()) == log(0, 5)


async def test_nothing_is_written_to_a_store_that_is_not_open(path, tmp_path):
    await write(path)
    store = SqliteStore(path)
    for attempt in (store.append([record(40)]), store.put(b""), store.delete([]), store.adopt(tmp_path / "x")):
        with pytest.raises(StoreError, match=r"run.db can only be changed within the context of its open\(\)"):
            await attempt


async def test_an_append_that_is_cancelled_is_there_as_a_whole_or_not(path):
    moments = random.Random(3)
    store = SqliteStore(path)
    for _ in range(40):
        async with store.open():
            count = len(await store.records())
            with anyio.move_on_after(moments.random() * 0.01):
                while True:
                    await store.append(step(count, 20))
                    count += 20
            assert len(await store.records()) in (count, count + 20)


async def test_a_task_that_is_cancelled_leaves_the_store_to_the_next(path):
    # asyncio's own cancellation does not wait for the thread, so the store has to.
    moments = random.Random(4)

    async def live():
        store = SqliteStore(path)
        async with store.open():
            count = len(await store.records())
            while True:
                await store.append(step(count, 20))
                count += 20

    for _ in range(40):
        task = asyncio.create_task(live())
        await asyncio.sleep(moments.random() * 0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(200):  # its thread may still be letting go
            with contextlib.suppress(StoreHeldError):
                async with SqliteStore(path).open():
                    break
            await asyncio.sleep(0.005)
        else:
            raise AssertionError("the store was never let go")
        assert len(await SqliteStore(path).records()) % 20 == 0


async def test_the_event_loop_goes_on_while_the_disk_is_waited_for(path):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await anyio.sleep(0.001)
            ticks += 1

    store = SqliteStore(path)
    async with store.open(), anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        await store.put(np.random.default_rng(0).bytes(50_000_000))
        tasks.cancel_scope.cancel()
    assert ticks > 10


async def test_a_record_is_written_however_many_blobs_are(path, monkeypatch):
    free = threading.Event()

    def put(blobs, data):
        assert free.wait(30)
        return address(data)

    monkeypatch.setattr(BlobDirectory, "put", put)
    store = SqliteStore(path)
    async with store.open(), anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(store.put, b"%d" % number)
        await anyio.wait_all_tasks_blocked()
        try:
            with anyio.fail_after(20):
                await store.append(log(0, 3))
        finally:
            free.set()
    assert await store.records() == log(0, 3)


async def test_a_spooled_file_is_adopted_without_a_copy(path):
    store = SqliteStore(path)
    async with store.open():
        spooled = store.incoming / "update"
        spooled.write_bytes(b"spooled" * 100_000)
        inode = spooled.stat().st_ino
        blob = await store.adopt(spooled)
        assert blob == address(b"spooled" * 100_000)
        assert file_of(path, blob).stat().st_ino == inode
        assert not spooled.exists()
        spooled.write_bytes(b"spooled" * 100_000)
        assert await store.adopt(spooled) == blob
        assert not spooled.exists()
        assert await store.get(blob) == b"spooled" * 100_000
        with pytest.raises(StoreError, match="update cannot be adopted: No such file"):
            await store.adopt(spooled)


async def test_what_was_being_spooled_is_collected(path):
    store = SqliteStore(path)
    async with store.open():
        (store.incoming / "update").write_bytes(b"half")
    async with store.open():
        assert list(store.incoming.iterdir()) == []


async def test_a_file_on_another_disk_is_not_adopted(path):
    elsewhere = Path("/dev/shm") / f"tierwise-test-{os.getpid()}"
    elsewhere.write_bytes(b"data")
    try:
        if elsewhere.stat().st_dev == path.parent.stat().st_dev:
            return
        store = SqliteStore(path)
        async with store.open():
            with pytest.raises(
                StoreError, match=r"is not on the disk of .*: write what is to be adopted into .*/incoming"
            ):
                await store.adopt(elsewhere)
        assert elsewhere.read_bytes() == b"data"
    finally:
        elsewhere.unlink()
