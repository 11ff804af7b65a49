"""What every store keeps to: a test class to be derived from, with the store as a fixture.

::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda: MyStore(tmp_path / "store")  # each call opens the same one

A store that keeps nothing beyond its object returns that object again and again.
"""

import hashlib

import anyio
import numpy as np
import pytest

from tierwise.core import events as e
from tierwise.core.errors import BlobMissingError, StoreError
from tierwise.core.framing import unframe
from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, ModelVersion, RoundNumber, TierName
from tierwise.core.metrics import Metric
from tierwise.core.tiers import Cost, Tier
from tierwise.core.weights import Layout

from .helpers import profile, run_with_agents, settings, targets_of


def record(number: int, event: e.Event | None = None) -> e.Record:
    event = event or e.DeviceEnrolled(device=DeviceId(f"d{number}"))
    return e.Record(sequence=number, at=number / 3, event=event)


def log(start: int, stop: int) -> list[e.Record]:
    return [record(number) for number in range(start, stop)]


def address(data: bytes | memoryview) -> BlobHash:
    return BlobHash(hashlib.sha256(data).hexdigest())


D0, D1, G1, G2 = DeviceId("d0"), DeviceId("d1"), GroupId("g1"), GroupId("g2")
C1, R1, V1 = CohortId("g1.r1"), RoundNumber(1), ModelVersion(1)
BLOB = address(b"a model")
METRICS = {"accuracy": Metric(sum=3.0, count=4), "log_loss": Metric(sum=float("inf"), count=4)}
ENVELOPE = HardwareEnvelope.of([profile(0), profile(5)])
TIER = Tier(
    name=TierName("mlp-2"),
    learner="mlp",
    options={"hidden": [2], "names": {"é": None}},
    layout=Layout.of({"a": (2, 3), "b": (4,)}),
    cost=Cost(parameters=10, fit_flops_per_sample=60.5, evaluate_flops_per_sample=20.0, bytes=40, memory_bytes=2**40),
)
EVENTS: list[e.Event] = [
    e.FederationOpened(
        settings=settings(),
        plugins=(e.PluginUsed(kind="tier provider", name="mlp", distribution="tierwise", version="1"),),
    ),
    e.DeviceEnrolled(device=D0),
    e.HardwareReported(device=D0, profile=profile(0)),
    e.DeviceLost(device=D0, reason="a reason in 日本語"),
    e.DeviceReturned(device=D0),
    e.DeviceRemoved(device=D0, reason=""),
    e.DeviceFaulted(device=D0, cohort=None, refusal=e.Refusal.MALFORMED, reason="garbage"),
    e.DeviceFaulted(device=D0, cohort=C1, refusal=e.Refusal.WRONG_BASE, reason="an old model"),
    e.DeviceQuarantined(device=D0, reason="garbage"),
    e.DeviceReleased(device=D0),
    e.GroupingOpened(devices=(D0, D1)),
    e.GroupsFormed(groups=(e.GroupFormed(group=G1, devices=(D0,), envelope=ENVELOPE),), unplaced={D1: "too weak"}),
    e.DevicePlaced(device=D1, group=G1),
    e.DeviceUnplaced(device=D1, reason="too weak"),
    e.TierAssigned(group=G1, tier=TIER, model=BLOB),
    e.RoundOpened(
        group=G1,
        round=R1,
        cohort=C1,
        purpose=e.Purpose.EVALUATE,
        version=V1,
        model=BLOB,
        participants=(D0, D1),
        deadline_at=0.1 + 0.2,
        seed=2**63 - 1,
    ),
    e.UpdateAccepted(cohort=C1, device=D0, blob=BLOB, size_bytes=2**33, samples=5, metrics=METRICS),
    e.EvaluationAccepted(cohort=C1, device=D0, metrics={}),
    e.TaskDeclined(cohort=C1, device=D0, reason="busy"),
    e.CohortClosed(group=G1, cohort=C1, survivors=()),
    e.RoundAbandoned(group=G1, round=R1, cohort=C1, reason="nobody came"),
    e.RoundClosed(
        group=G1,
        round=R1,
        cohort=C1,
        version=V1,
        model=BLOB,
        optimizer_state=None,
        devices=3,
        samples=15,
        metrics=METRICS,
    ),
    e.RoundPostponed(group=G1, reason="1 of 3 devices is on mains"),
    e.ModelStandardised(group=G1, cohort=C1, model=BLOB),
    e.ModelExchanged(group=G1, version=V1, model=BLOB, teachers={G1: V1, G2: V1}),
    e.ModelTested(group=G1, version=V1, metrics=METRICS),
    e.PoliciesChanged(policies={"stop": {"rule": "rounds", "rounds": 20}}),
    e.StopChecked(group=G1, version=V1, reason=None),
    e.GroupShort(group=G1, reachable=2, grace_until=1e9),
    e.GroupRecovered(group=G1),
    e.GroupMerged(source=G2, target=G1, devices=(D1,)),
    e.GroupFinished(group=G1, reason="done", version=V1, model=None, metrics=METRICS, failed=True),
    e.FederationFinished(),
    e.FederationFailed(reason="too few", too_few_devices=2),
]


@pytest.mark.anyio
class StoreContract:
    """The suite; each test is a law."""

    @pytest.fixture
    def anyio_backend(self):
        return "asyncio"

    @pytest.fixture
    def make_store(self):
        raise NotImplementedError

    @pytest.fixture
    def store(self, make_store):
        return make_store()

    # -- the log

    async def test_a_new_log_is_empty(self, store):
        async with store.open():
            assert list(await store.records()) == []

    async def test_records_come_back_in_their_order(self, store):
        async with store.open():
            await store.append(log(0, 2))
            await store.append([record(2)])
            await store.append([])
            await store.append(log(3, 250))
            assert list(await store.records()) == log(0, 250)

    async def test_there_is_a_sample_of_every_event(self):
        assert {type(event) for event in EVENTS} == set(e.Event.__subclasses__())

    async def test_every_event_comes_back_as_it_was(self, make_store):
        written = [record(number, event) for number, event in enumerate(EVENTS)]
        store = make_store()
        async with store.open():
            await store.append(written)
            assert list(await store.records()) == written
        store = make_store()
        async with store.open():
            assert list(await store.records()) == written

    async def test_a_large_record(self, store):
        large = record(0, e.GroupingOpened(devices=tuple(DeviceId(f"d{number}") for number in range(50_000))))
        async with store.open():
            await store.append([large])
            assert list(await store.records()) == [large]

    async def test_records_that_cannot_be_written_leave_none_of_their_step(self, store):
        broken = record(2, e.DeviceEnrolled(device=object()))  # type: ignore[arg-type]
        async with store.open():
            await store.append([record(0)])
            with pytest.raises(TypeError):
                await store.append([record(1), broken])
            assert list(await store.records()) == [record(0)]
            await store.append(log(1, 3))
            assert list(await store.records()) == log(0, 3)

    async def test_what_was_returned_does_not_grow(self, store):
        async with store.open():
            await store.append([record(0)])
            before = await store.records()
            await store.append([record(1)])
            assert len(before) == 1

    # -- blobs

    async def test_a_blobs_address_is_its_hash(self, store):
        async with store.open():
            assert await store.put(b"data") == address(b"data")
            assert await store.put(memoryview(bytearray(b"data"))) == address(b"data")
            assert await store.blobs() == [address(b"data")]

    @pytest.mark.parametrize("size", [0, 1, 256 * 1024 - 1, 256 * 1024, 5_000_000])
    async def test_a_blob_of_any_size_comes_back(self, make_store, size):
        data = np.random.default_rng(size).bytes(size)
        store = make_store()
        async with store.open():
            blob = await store.put(data)
            assert blob == address(data)
            assert await store.get(blob) == data
        store = make_store()
        async with store.open():
            found = await store.get(blob)
            assert found == data
            assert found.nbytes == size
            assert found.readonly

    @pytest.mark.parametrize("shape", [(0,), (3, 0), (300, 300)])
    async def test_an_array_is_put_as_its_bytes(self, store, shape):
        array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        async with store.open():
            blob = await store.put(array.data)
            assert bytes(await store.get(blob)) == array.tobytes()
            assert blob == address(array.tobytes())

    @pytest.mark.parametrize("size", [4, 5_000_000])
    async def test_a_blob_is_a_copy_and_read_only(self, store, size):
        data = bytearray(b"data" * (size // 4))
        async with store.open():
            blob = await store.put(memoryview(data))
            data[:4] = b"DATA"
            found = await store.get(blob)
            assert bytes(found[:8]) == (b"datadata")[:size]
            assert found.readonly
            with pytest.raises(TypeError):
                found[0] = 0

    async def test_the_same_blob_twice_is_one(self, store):
        async with store.open():
            assert await store.put(b"same") == await store.put(b"same")
            assert await store.blobs() == [address(b"same")]
            await store.delete([address(b"same")])
            assert await store.blobs() == []

    async def test_blobs_written_at_the_same_time(self, store):
        async with store.open(), anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(store.put, bytes([number % 10]) * 1000)
        assert len(await store.blobs()) == 10

    async def test_blobs_are_listed_sorted_and_forgotten(self, store):
        async with store.open():
            blobs = [await store.put(bytes([number])) for number in range(20)]
            assert list(await store.blobs()) == sorted(blobs)
            await store.delete([*blobs[:19], blobs[0], address(b"never there")])
            assert list(await store.blobs()) == [blobs[19]]
            await store.delete([])

    async def test_a_missing_blob_is_named(self, store):
        async with store.open():
            blob = await store.put(b"data")
            await store.delete([blob])
            for missing in (blob, address(b"never there")):
                with pytest.raises(BlobMissingError, match=f"^blob {missing} is not in the store: ") as caught:
                    await store.get(missing)
                assert caught.value.blob == missing

    async def test_many_blobs_come_in_the_order_of_their_addresses_given(self, store):
        async with store.open():
            contents = [b"small", b"large" * 100_000, b"other", b"small"]
            blobs = [await store.put(content) for content in contents]
            await store.append([record(0)])  # what was written before and what waits are both there
            contents.append(b"new")
            blobs.append(await store.put(b"new"))
            found = await store.get_all(blobs)
            assert [bytes(view) for view in found] == contents
            assert all(view.readonly for view in found)
            assert list(await store.get_all([])) == []
            await store.delete([blobs[2]])
            with pytest.raises(BlobMissingError, match=blobs[2]):
                await store.get_all(blobs)

    async def test_what_is_no_address_is_not_there(self, store):
        async with store.open():
            for name in ("", "ab", "../../etc/passwd", "incoming", "A" * 64, "/" + "a" * 63):
                with pytest.raises(BlobMissingError):
                    await store.get(BlobHash(name))

    async def test_a_forgotten_blob_can_be_put_again(self, store):
        async with store.open():
            blob = await store.put(b"data")
            await store.delete([blob])
            assert await store.put(b"data") == blob
            assert await store.get(blob) == b"data"

    @pytest.mark.parametrize("size", [4, 5_000_000])
    async def test_a_blob_that_is_read_stays_readable_after_it_was_deleted(self, store, size):
        data = np.random.default_rng(0).bytes(size)
        async with store.open():
            found = await store.get(await store.put(data))
            await store.delete([address(data)])
            assert found == data

    # -- holding it

    async def test_one_coordinator_at_a_time_has_it(self, make_store):
        store = make_store()
        async with store.open():
            await store.append([record(0)])
            for second in (store, make_store()):
                with pytest.raises(StoreError, match=r"another coordinator .*holds this store: give each federation a"):
                    async with second.open():
                        pass
            await store.append([record(1)])  # the first one is not disturbed
        async with make_store().open():
            pass

    async def test_all_outlives_its_coordinator(self, make_store):
        store = make_store()
        for number in range(3):
            async with store.open():
                assert list(await store.records()) == log(0, number)
                await store.append([record(number)])
                await store.put(bytes([number]))
            store = make_store()
        assert list(await store.records()) == log(0, 3)
        assert set(await store.blobs()) == {address(bytes([number])) for number in range(3)}
        assert await store.get(address(b"\1")) == b"\1"

    async def test_it_can_be_read_when_nobody_holds_it(self, store):
        async with store.open():
            await store.append([record(0)])
            await store.put(b"data")
        assert list(await store.records()) == [record(0)]
        assert await store.get(address(b"data")) == b"data"

    async def test_it_is_let_go_whatever_happens(self, store):
        with pytest.raises(ZeroDivisionError):
            async with store.open():
                raise ZeroDivisionError
        with anyio.move_on_after(0.05):
            async with store.open():
                await anyio.sleep_forever()
        async with store.open():
            pass

    # -- in use

    async def test_a_federation_runs_with_it(self, store):
        result, records, _ = await run_with_agents(store)
        assert targets_of(records) == {group.group: group.identity for group in result.groups}
        for group in result.groups:
            assert unframe(await store.get(group.identity)).identity == group.identity
