"""Blobs on their way into the log: kept while somebody writes, deleted when no record names them."""

import hashlib

import anyio
import pytest

from tierwise.core.federation import Federation
from tierwise.core.ids import BlobHash
from tierwise.runtime.spool import Spool
from tierwise.runtime.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def store():
    return MemoryStore()


class Needing(Federation):
    """A federation that needs what a test says."""

    def __init__(self):
        super().__init__()
        self.needs = set()

    def live_blobs(self):
        return self.needs


@pytest.fixture
def federation():
    return Needing()


@pytest.fixture
def spool(store, federation):
    return Spool(store, federation)


async def put(writing, data):
    blob = BlobHash(hashlib.sha256(data).hexdigest())
    await writing.put(data, blob)
    return blob


def log(writing, federation, blob):
    """Do what the coordinator does when a record names a blob."""
    federation.needs.add(blob)
    writing.logged = True


async def test_what_is_being_written_is_not_deleted_by_a_commit_that_frees_the_same_bytes(store, spool, federation):
    async with spool.writing() as writing:
        blob = await put(writing, b"delta")
        await spool.discard([blob])
        assert await store.blobs() == [blob]
        log(writing, federation, blob)
    assert await store.blobs() == [blob]
    federation.needs.clear()
    await spool.discard([blob])
    assert await store.blobs() == []


async def test_what_is_freed_before_its_writer_hears_that_it_is_logged_is_deleted_all_the_same(
    store, spool, federation
):
    async with spool.writing() as first, spool.writing() as second:
        blob = await put(first, b"delta")
        await put(second, b"delta")
        log(first, federation, blob)
        log(second, federation, blob)
        federation.needs.clear()  # the round was abandoned at once
        await spool.discard([blob])
        assert await store.blobs() == [blob]
    assert await store.blobs() == []


async def test_what_was_not_logged_is_deleted(store, spool):
    async with spool.writing() as writing:
        await put(writing, b"one")
        await put(writing, b"two")
    assert await store.blobs() == []


async def test_of_two_writers_of_the_same_bytes_the_last_one_counts(store, spool, federation):
    async with spool.writing() as first:
        blob = await put(first, b"delta")
        async with spool.writing() as second:
            await put(second, b"delta")
        assert await store.blobs() == [blob]
        log(first, federation, blob)
    assert await store.blobs() == [blob]


async def test_a_writer_that_is_interrupted_holds_nothing(store, spool):
    with anyio.move_on_after(0.01):
        async with spool.writing() as writing:
            blob = await put(writing, b"delta")
            await anyio.sleep_forever()
    await spool.discard([blob])  # as the next coordinator does
    assert await store.blobs() == []


async def test_nothing_is_deleted_while_it_is_being_put():
    class Slow(MemoryStore):
        async def put(self, data):
            blob = await super().put(data)
            await anyio.sleep(0.02)
            return blob

    store, federation = Slow(), Needing()
    spool = Spool(store, federation)
    blob = await MemoryStore().put(b"delta")

    async def commit():
        await anyio.sleep(0.01)
        await spool.discard([blob])

    async with anyio.create_task_group() as tasks, spool.writing() as writing:
        tasks.start_soon(commit)
        await put(writing, b"delta")
        await anyio.sleep(0.02)
        log(writing, federation, blob)
    assert await store.blobs() == [blob]


async def test_what_is_written_anew_while_it_is_being_deleted_is_there_afterwards():
    class Slow(MemoryStore):
        async def delete(self, blobs):
            await anyio.sleep(0.02)
            await super().delete(blobs)

    store, federation = Slow(), Needing()
    spool = Spool(store, federation)
    blob = await store.put(b"delta")
    async with anyio.create_task_group() as tasks, spool.writing() as writing:
        tasks.start_soon(spool.discard, [blob])
        await anyio.sleep(0.01)
        await put(writing, b"delta")
        log(writing, federation, blob)
    assert await store.blobs() == [blob]


async def test_different_blobs_are_written_at_the_same_time():
    class Meeting(MemoryStore):
        """A disk on which two have to write at once."""

        def __init__(self):
            super().__init__()
            self.writers, self.met = 0, anyio.Event()

        async def put(self, data):
            self.writers += 1
            if self.writers == 2:
                self.met.set()
            await self.met.wait()
            return await super().put(data)

    spool = Spool(Meeting(), Needing())
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, spool.writing() as first, spool.writing() as second:
            tasks.start_soon(put, first, b"one")
            await put(second, b"two")


async def test_what_is_freed_is_deleted_by_the_sweeper_and_one_can_wait_for_that(store, spool, federation):
    with anyio.fail_after(10):
        await spool.swept()  # nothing is to be waited for
    one, other, needed = [await store.put(data) for data in (b"one", b"other", b"needed")]
    federation.needs.add(needed)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spool.sweep)
        spool.free([one, needed])
        spool.free([other])
        assert len(await store.blobs()) == 3, "nobody waited"
        with anyio.fail_after(10):
            await spool.swept()
        assert await store.blobs() == [needed]
        tasks.cancel_scope.cancel()


async def test_what_is_held_is_there_until_it_is_known_what_becomes_of_it():
    store, federation = MemoryStore(), Federation()
    spool = Spool(store, federation)
    assert spool.holds
    spool.hold(memoryview(b"delta"), BlobHash("name"))
    await spool.discard(["name"])
    assert await store.get("name") == b"delta"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(spool.sweep)
        spool.settle(BlobHash("name"), logged=False)
        await spool.swept()
        tasks.cancel_scope.cancel()
    assert await store.blobs() == []


async def test_what_is_held_and_logged_stays_and_is_read_only():
    store, federation = MemoryStore(), Federation()
    spool = Spool(store, federation)
    spool.hold(memoryview(bytearray(b"delta")), BlobHash("name"))
    spool.settle(BlobHash("name"), logged=True)
    held = await store.get("name")
    assert held == b"delta"
    assert held.readonly
