"""Envelopes from one end to the other, through a real broker."""

import gc
from pathlib import Path

import aiomqtt
import anyio
import pytest

from tests.runtime.broker import Broker, needs_mosquitto
from tests.runtime.mqtt.ends import (
    LARGE,
    WAIT_S,
    Keys,
    agent,
    connected,
    coordinator,
    failing,
    first,
    next_envelope,
    next_reconnection,
    noise,
    settings,
    take,
    until,
)
from tierwise.core.edges import ConnectionLost, Reconnected
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.transfer import DownloadSettings
from tierwise.runtime.transports.mqtt import spooling

pytestmark = [pytest.mark.anyio, needs_mosquitto]
PATIENT = DownloadSettings(quiet_s=WAIT_S)
"""For tests that count what is sent: a busy machine is no reason to ask for pieces again."""
A, B, G1, G2 = DeviceId("a"), DeviceId("b"), GroupId("g1"), GroupId("g2")


@pytest.fixture(params=["unsigned", "signed and sealed"])
def keys(request):
    return None if request.param == "unsigned" else Keys()


@pytest.fixture(params=["3.1.1", "5"])
def given(request, broker):
    return settings(broker, protocol=request.param)


async def test_small_envelopes_both_ways_in_order(given, keys):
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    async with connected(here, there):
        for number in range(30):
            await there.send(b"up %d" % number)
        arrived = await take(here, 30)
        assert [bytes(one.data) for one in arrived] == [b"up %d" % number for number in range(30)]
        assert {one.device for one in arrived} == {A}
        assert all(one.at <= anyio.current_time() for one in arrived)
        for number in range(30):
            await here.send(A, b"down %d" % number)
        assert await take(there, 30) == [b"down %d" % number for number in range(30)]
    assert here.dropped.total == there.dropped.total == 0


async def test_large_envelopes_both_ways(given, keys, tmp_path):
    here, there = coordinator(given, tmp_path, keys), agent(given, A, keys, download=PATIENT)
    model, update = noise(LARGE), noise(LARGE, 2)
    async with connected(here, there):
        await there.follow(G1)
        await here.broadcast(G1, model)
        assert await first(there) == model
        await there.send(update)
        arrived = await first(here)
        assert arrived.data.readonly
        assert arrived.data == update
        assert here.published_model_bytes == LARGE
    assert here.dropped.total == there.dropped.total == 0
    assert here.link_counters.dropped == 0
    assert [counters.dropped for counters in there.link_counters] == [0, 0, 0]


async def test_it_is_known_since_when_something_waits(broker, keys, tmp_path):
    here, there = coordinator(settings(broker), tmp_path, keys), agent(settings(broker), A, keys)
    async with connected(here, there):
        assert here.arriving_since() is None
        before = anyio.current_time()
        await there.send(noise(LARGE))
        await until(lambda: here.arriving_since() is not None)
        since = here.arriving_since()
        assert before < since <= anyio.current_time()
        await there.send(b"small")
        (arrived,) = await take(here)
        assert (arrived.at, len(arrived.data)) == (since, LARGE)
        await until(lambda: here.arriving_since() is not None)
        assert here.arriving_since() > since
        await take(here)
        assert here.arriving_since() is None


async def test_a_large_envelope_for_one_device(broker, keys):
    given = settings(broker)
    here, there, other = coordinator(given, keys=keys), agent(given, A, keys), agent(given, B, keys)
    async with connected(here, other, there):
        await here.send(A, noise(LARGE))
        await here.send(A, b"goodbye")
        await here.send(B, b"for b")
        assert await take(there, 2) == [noise(LARGE), b"goodbye"]  # what is small does not overtake it
        assert await first(other) == b"for b"
    assert other.dropped.total == 0


async def test_the_spool_has_no_names_and_its_space_is_freed(broker, tmp_path):
    given = settings(broker)
    spool = tmp_path / "spool"
    spool.mkdir()
    here, there = coordinator(given, spool), agent(given, A)
    gc.collect()  # what earlier tests left open
    open_before = _open_files()
    async with connected(here, there):
        await there.send(noise(LARGE))
        arrived = await first(here)
        assert not list(spool.iterdir())
        assert arrived.data == noise(LARGE)
        assert _mappings_of(spool)
        del arrived
        gc.collect()
        assert not _mappings_of(spool)
    await anyio.lowlevel.checkpoint()
    assert _open_files() <= open_before


def _open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def _mappings_of(directory):
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if str(directory) in line]


async def test_a_disk_that_is_full_for_a_moment_costs_only_time(broker, monkeypatch, tmp_path):
    failures = 3
    write_all = spooling._write_all

    def failing(file, data):
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(28, "No space left on device")
        write_all(file, data)

    monkeypatch.setattr(spooling, "_write_all", failing)
    given = settings(broker)
    here, there = coordinator(given, tmp_path), agent(given, A)
    async with connected(here, there):
        await there.send(noise(LARGE))
        assert await next_envelope(here) == (A, noise(LARGE))
    assert here.dropped.unspooled == 3


# -- groups


async def test_a_group_hears_its_own_and_who_comes_later_gets_the_latest(given):
    here, a, b = coordinator(given), agent(given, A), agent(given, B)
    async with connected(here, a, b):
        await a.follow(G1)
        await b.follow(G2)
        await here.broadcast(G1, b"one")
        await here.broadcast(G2, b"two")
        assert (await first(a), await first(b)) == (b"one", b"two")
        await here.broadcast(G1, noise(LARGE))
        assert await first(a) == noise(LARGE)
        await b.follow(G1)  # the manifest is retained, the pieces it asks for
        assert await first(b) == noise(LARGE)
        await b.follow(G2)
        assert await first(b) == b"two"
        await here.broadcast(G1, b"three")
        assert await first(a) == b"three"


async def test_who_follows_a_group_again_gets_what_it_missed_and_nothing_twice(broker, keys):
    here, there = coordinator(settings(broker), keys=keys), agent(settings(broker), A, keys)
    async with connected(here, there):
        await there.follow(G1)
        await here.broadcast(G1, noise(LARGE))
        assert await first(there) == noise(LARGE)
        await there.follow(G1)
        await there._connection.unsubscribe(settings(broker).topics.model(G1))  # it will not hear of the next one
        await here.broadcast(G1, b"a second model")
        await here.send(A, b"word")
        assert await first(there) == b"word"
        await there.follow(G1)
        assert await first(there) == b"a second model"


async def test_a_guest_hears_several_groups_and_each_ones_pieces_are_its_own(broker, keys):
    here, there = coordinator(settings(broker), keys=keys), agent(settings(broker), A, keys, download=PATIENT)
    async with connected(here, there):
        await here.broadcast(G2, noise(LARGE, 2))
        await there.follow(G1, G2)
        assert await first(there) == noise(LARGE, 2)  # it came later, and asks for the pieces
        await here.broadcast(G1, noise(LARGE, 3))
        await here.broadcast(G2, noise(LARGE, 4))
        assert set(await take(there, 2)) == {noise(LARGE, 3), noise(LARGE, 4)}
        await there.follow(G1)
        await here.broadcast(G2, b"for others")
        await here.broadcast(G1, b"for us")
        assert await first(there) == b"for us"
        await there.follow(G1, G2)
        assert await first(there) == b"for others"
    assert await _retained(broker) == set()


@pytest.mark.parametrize("devices", [3, 9])
async def test_what_is_published_does_not_grow_with_the_number_of_devices(broker, devices):
    given = settings(broker)
    here, there = coordinator(given), [agent(given, f"d{number}", download=PATIENT) for number in range(devices)]
    async with connected(here, *there):
        for one in there:
            await one.follow(G1)
        await here.broadcast(G1, noise(LARGE))
        for one in there:
            assert await first(one) == noise(LARGE)
        assert here.published_model_bytes == LARGE


async def test_a_clean_end_leaves_nothing_on_the_broker(broker, keys):
    given = settings(broker)
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    async with connected(here, there):
        await there.follow(G1)
        await here.broadcast(G1, b"model")
        await first(there)
    assert await _retained(broker) == set()


async def test_a_coordinator_that_fails_leaves_its_models_for_the_next(broker):
    given = settings(broker)
    here = coordinator(given)
    async with failing(here):
        await here.broadcast(G1, b"model")
    assert f"{given.prefix}/{given.federation}/group/g1/model" in await _retained(broker)
    late = agent(given, B)
    async with late.connect():
        await late.follow(G1)
        assert await first(late) == b"model"


async def test_a_broker_that_forgets_what_it_retained_is_told_again(broker):
    given = settings(broker)
    here, there = coordinator(given), agent(given, A)
    async with here.connect():
        await here.broadcast(G1, b"model")
        broker.stop(kill=True)
        broker.start()
        async with there.connect():
            await there.follow(G1)
            while await first(there) != b"model":
                pass


async def _retained(broker):
    found = set()
    async with aiomqtt.Client(broker.host, broker.port) as client:
        await client.subscribe("#", qos=1)
        await client.publish("mark", b"end", qos=1)
        async for message in client.messages:
            if str(message.topic) == "mark":
                break
            found.add(str(message.topic))
    return found


async def test_what_is_missing_at_the_end_is_still_given(broker, monkeypatch):
    given = settings(broker)
    here, there = coordinator(given), agent(given, A)
    take_piece, missed = there._take_piece, 0

    def miss_some(payload, group):
        nonlocal missed
        missed += 1
        if missed > 3:
            take_piece(payload, group)

    monkeypatch.setattr(there, "_take_piece", miss_some)
    async with anyio.create_task_group() as tasks, there.connect(), here.connect():
        await there.follow(G1)
        tasks.start_soon(_leave_after, there, [noise(LARGE), b"it is over"])
        await until(lambda: A in here.present)
        await here.broadcast(G1, noise(LARGE))
        await here.send(A, b"it is over")
    assert LARGE < here.published_model_bytes < 2 * LARGE


async def _leave_after(there, expected):
    assert [one for one in await take(there, 3) if one != Reconnected()] == expected  # it was there first
    await there._say_offline("enough")


async def test_an_end_can_be_connected_again(broker, keys):
    given = settings(broker)
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    for _ in range(2):
        async with connected(here, there):
            await there.follow(G1)
            await here.broadcast(G1, b"model")
            assert await first(there) == b"model"
            await there.send(b"update")
            assert await next_envelope(here) == (A, b"update")


# -- presence


async def test_who_leaves_is_reported_lost(broker, keys):
    given = settings(broker)
    here = coordinator(given, keys=keys)
    async with here.connect():
        async with agent(given, A, keys).connect():
            pass
        assert await first(here) == ConnectionLost(A, "its agent disconnected")
        async with failing(agent(given, A, keys)):
            pass
        assert await first(here) == ConnectionLost(A, "its agent was stopped")
        assert here.dropped.total == 0


async def test_who_is_cancelled_takes_leave(broker, keys):
    here, there = coordinator(settings(broker), keys=keys), agent(settings(broker), A, keys)
    watching = agent(settings(broker), B, keys)
    async with connected(watching):
        with anyio.CancelScope() as whole:
            async with connected(here):
                with anyio.CancelScope() as one:
                    async with connected(there):
                        await until(lambda: A in here.present)
                        one.cancel()
                        await anyio.sleep_forever()
                lost = await first(here)
                assert lost == ConnectionLost(A, "its agent was stopped")
                await until(lambda: watching.coordinator_there is True)
                whole.cancel()
                await anyio.sleep_forever()
        await until(lambda: watching.coordinator_there is False)


async def test_an_agent_whose_connection_breaks_is_lost_and_says_hello_again(broker, keys):
    given = settings(broker)
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    async with connected(here, there):
        _break(there)
        assert await first(here) == ConnectionLost(A, "its connection broke")
        assert await first(there) == Reconnected()
        await there.send(b"hello")
        assert await next_envelope(here) == (A, b"hello")


def _break(end):
    """Close the socket as a network would: without a word."""
    end._connection._link.client._client.socket().shutdown(2)


async def test_another_coordinator_is_said_hello_to(broker, keys):
    given = settings(broker)
    there = agent(given, A, keys)
    async with there.connect():
        async with coordinator(given, keys=keys).connect():
            assert await first(there) == Reconnected()  # it came after us
        here = coordinator(given, keys=keys)
        async with here.connect():
            assert await first(there) == Reconnected()
            late = agent(given, B, keys)
            async with late.connect():
                await here.send(B, b"welcome")
                assert await first(late) == b"welcome"  # and no word of a coordinator that was there before


# -- a broker that goes and comes


async def test_a_broker_that_is_restarted_amid_everything(broker, keys):
    given = settings(broker, chunk_bytes=20_000)
    here, a, b = coordinator(given, keys=keys), agent(given, A, keys), agent(given, B, keys)
    async with connected(here, a, b):
        await a.follow(G1)
        await b.follow(G1)
        await a.send(noise(LARGE))
        await until(lambda: here.link_counters.accepted >= 20)
        broker.stop(kill=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.broadcast, G1, noise(LARGE, 2))
            assert here.link_counters.accepted < LARGE // 20_000
            broker.start()
            tasks.start_soon(_insist, a, b"hello", b"welcome", noise(LARGE, 2))
            tasks.start_soon(_insist, b, b"hello", b"welcome", noise(LARGE, 2))
            left = {(A, b"hello"), (A, noise(LARGE)), (B, b"hello")}
            while left:
                device, said = await next_envelope(here)
                left.discard((device, said))
                if said == b"hello":
                    await here.send(device, b"welcome")


async def _insist(there, hello, *expected):
    """Say hello again whenever the contract asks for it, until everything that is expected has come."""
    left, greeted = set(expected), False
    while left or not greeted:
        item = await first(there)
        if item == Reconnected():
            greeted = True
            await there.send(hello)
        left.discard(item)


async def test_ends_that_have_no_broker_any_more_can_leave(broker, keys):
    given = settings(broker)
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    with anyio.fail_after(4):
        async with connected(here, there):
            broker.stop()
            await until(lambda: not here.connected and not there.connected)
            await here.send(A, b"nobody hears it")
            await there.send(b"nor this")


async def test_an_upload_goes_on_where_it_stood(broker, keys):
    given = settings(broker, chunk_bytes=20_000)
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    async with connected(here, there):
        await there.send(noise(LARGE))
        await until(lambda: here.link_counters.accepted >= 100)
        _break(there)
        await next_reconnection(there)
        await there.send(noise(LARGE))  # the agent says it again: the same transfer
        assert await next_envelope(here) == (A, noise(LARGE))
        chunks = -(-LARGE // 20_000)
        assert chunks <= here.link_counters.accepted <= chunks + 1  # sealing adds a little


async def test_a_receipt_that_was_lost_is_said_again_to_who_uploads_again(broker, keys):
    given = settings(broker)
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    async with connected(here, there):
        await there.send(noise(LARGE))
        await first(here)
        await here.send(A, b"receipt")
        assert await first(there) == b"receipt"
        accepted = here.link_counters.accepted
        await there.send(noise(LARGE))  # as if it had not come
        assert await first(there) == b"receipt"
        assert here.link_counters.accepted == accepted


async def test_a_coordinator_that_knows_nothing_gets_the_upload_from_the_beginning(broker, keys):
    given = settings(broker, chunk_bytes=20_000)
    there = agent(given, A, keys)
    async with there.connect():
        here = coordinator(given, keys=keys)
        async with failing(here):
            await there.send(noise(LARGE))
            await until(lambda: here.link_counters.accepted >= 20)
        again = coordinator(given, keys=keys)
        async with again.connect():
            assert await next_envelope(again) == (A, noise(LARGE))


# -- not for us


async def test_two_federations_on_one_broker(broker: Broker):
    one, two = settings(broker, "one"), settings(broker, "two")
    here, there = (coordinator(one), agent(one, A)), (coordinator(two), agent(two, A))
    async with connected(*here, *there):
        for which, (end, device) in (("one", here), ("two", there)):
            await device.follow(G1)
            await end.broadcast(G1, which.encode())
            await device.send(f"up {which}".encode())
        for which, (end, device) in (("one", here), ("two", there)):
            assert await first(device) == which.encode()
            assert await next_envelope(end) == (A, f"up {which}".encode())
    assert [end.dropped.total for end in (*here, *there)] == [0, 0, 0, 0]


async def test_small_chunks_carry_what_large_ones_do(broker):
    given = settings(broker, chunk_bytes=1024)
    here, there = coordinator(given), agent(given, A)
    async with connected(here, there):
        await there.follow(G1)
        await here.broadcast(G1, noise(300_000))
        assert await first(there) == noise(300_000)
        await there.send(noise(300_000, 2))
        assert await next_envelope(here) == (A, noise(300_000, 2))
