"""What every store keeps to."""

import hashlib

import anyio
import pytest

from tierwise.core import events as e
from tierwise.core.errors import BlobMissingError, StoreError
from tierwise.core.ids import BlobHash, DeviceId
from tierwise.runtime.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def store():
    return MemoryStore()


def record(number):
    return e.Record(sequence=number, at=float(number), event=e.DeviceEnrolled(device=DeviceId(f"d{number}")))


def address(data):
    return BlobHash(hashlib.sha256(data).hexdigest())


async def test_records_come_back_in_their_order(store):
    async with store.open():
        assert await store.records() == []
        await store.append([record(0), record(1)])
        await store.append([record(2)])
        await store.append([])
        assert await store.records() == [record(0), record(1), record(2)]


async def test_records_and_blobs_outlive_their_coordinator(store):
    async with store.open():
        await store.append([record(0)])
        blob = await store.put(b"data")
    async with store.open():
        assert await store.records() == [record(0)]
        assert bytes(await store.get(blob)) == b"data"


async def test_a_record_that_cannot_be_written_leaves_none_of_its_step(store):
    broken = e.Record(sequence=1, at=1.0, event=e.DeviceEnrolled(device=object()))
    async with store.open():
        with pytest.raises(TypeError):
            await store.append([record(0), broken])
        assert await store.records() == []


async def test_a_blobs_address_is_its_hash(store):
    async with store.open():
        assert await store.put(b"data") == address(b"data")
        assert await store.put(memoryview(bytearray(b"data"))) == address(b"data")
        assert await store.blobs() == [address(b"data")]


async def test_a_blob_is_a_copy_and_read_only(store):
    async with store.open():
        data = bytearray(b"data")
        blob = await store.put(memoryview(data))
        data[:] = b"DATA"
        found = await store.get(blob)
        assert bytes(found) == b"data"
        assert found.readonly


async def test_blobs_are_listed_sorted_and_forgotten(store):
    async with store.open():
        blobs = [await store.put(bytes([number])) for number in range(20)]
        assert await store.blobs() == sorted(blobs)
        await store.delete([*blobs[:19], address(b"never there")])
        assert await store.blobs() == [blobs[19]]
        with pytest.raises(BlobMissingError, match=f"^blob {blobs[0]} is not in the store: it was deleted, or"):
            await store.get(blobs[0])


async def test_a_blob_that_is_read_stays_readable_after_it_was_deleted(store):
    async with store.open():
        found = await store.get(await store.put(b"data"))
        await store.delete([address(b"data")])
        assert bytes(found) == b"data"


async def test_one_coordinator_at_a_time_has_it(store):
    async with store.open():
        with pytest.raises(StoreError, match=r"^another coordinator holds this store: give each federation a store"):
            async with store.open():
                pass
        await store.append([record(0)])  # the first one is not disturbed
    async with store.open():
        pass


async def test_it_is_let_go_whatever_happens(store):
    with pytest.raises(ZeroDivisionError):
        async with store.open():
            raise ZeroDivisionError
    with anyio.move_on_after(0.01):
        async with store.open():
            await anyio.sleep_forever()
    async with store.open():
        pass
