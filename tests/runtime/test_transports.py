"""The network in memory."""

import gc

import anyio
import pytest

from tierwise.core.edges import Arrived, ConnectionLost
from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId, GroupId
from tierwise.runtime.transports.memory import QUEUE_LIMIT, MemoryNetwork

pytestmark = pytest.mark.anyio
A, B, G1, G2 = DeviceId("a"), DeviceId("b"), GroupId("g1"), GroupId("g2")


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def take(end, count=1):
    """Take what arrives at an end, then close its stream as its users do."""
    stream = end.receive()
    try:
        with anyio.fail_after(1):
            return [await anext(stream) for _ in range(count)]
    finally:
        await stream.aclose()


async def nothing(end):
    with pytest.raises(TimeoutError):
        await take(end)
    return True


@pytest.fixture
def network():
    return MemoryNetwork()


async def test_what_a_device_sends_arrives_in_order_with_its_name(network):
    coordinator = network.coordinator()
    async with coordinator.connect(), network.agent(A).connect():
        for number in range(100):
            await network.agent(A).send(bytes([number]))
        assert await take(coordinator, 100) == [Arrived(A, bytes([number])) for number in range(100)]


async def test_what_is_sent_to_a_device_arrives_there_only(network):
    a, b = network.agent(A), network.agent(B)
    async with a.connect(), b.connect():
        await network.coordinator().send(A, b"1")
        await network.coordinator().send(A, b"2")
        assert await take(a, 2) == [b"1", b"2"]
        assert await nothing(b)


async def test_a_broadcast_reaches_those_who_follow(network):
    a, b = network.agent(A), network.agent(B)
    async with a.connect(), b.connect():
        await a.follow(G1)
        await b.follow(G2)
        await network.coordinator().broadcast(G1, b"model")
        assert await take(a) == [b"model"]
        assert await nothing(b)


async def test_who_follows_later_gets_the_latest_broadcast(network):
    a = network.agent(A)
    await network.coordinator().broadcast(G1, b"old")
    await network.coordinator().broadcast(G1, b"new")
    async with a.connect():
        await a.follow(G1)
        assert await take(a) == [b"new"]
        await network.coordinator().broadcast(G1, b"newer")
        assert await take(a) == [b"newer"]
    async with a.connect():
        assert await nothing(a)  # a new connection follows nothing yet
        await a.follow(G1)
        assert await take(a) == [b"newer"]


async def test_following_another_group_ends_following_the_first(network):
    a = network.agent(A)
    async with a.connect():
        await a.follow(G1)
        await a.follow(G2)
        await network.coordinator().broadcast(G1, b"1")
        await network.coordinator().broadcast(G2, b"2")
        assert await take(a) == [b"2"]


async def test_several_groups_are_followed_at_once_and_only_what_is_new_comes_again(network):
    a, coordinator = network.agent(A), network.coordinator()
    async with a.connect():
        await coordinator.broadcast(G1, b"1")
        await coordinator.broadcast(G2, b"2")
        await a.follow(G2)
        assert await take(a) == [b"2"]
        await a.follow(G2, G1)
        assert await take(a) == [b"1"]
        await a.follow(G2, G1)
        assert await take(a, 2) == [b"2", b"1"]
        await coordinator.broadcast(G1, b"3")
        assert await take(a) == [b"3"]
        await a.follow(G2)
        assert await take(a) == [b"2"]
        await coordinator.broadcast(G1, b"4")
        assert await nothing(a)


async def test_who_leaves_is_reported_and_misses_what_is_sent_meanwhile(network):
    coordinator, a = network.coordinator(), network.agent(A)
    async with a.connect():
        pass
    assert await take(coordinator) == [ConnectionLost(A, "its agent disconnected")]
    await coordinator.send(A, b"lost")
    async with a.connect():
        await coordinator.send(A, b"found")
        assert await take(a) == [b"found"]


async def test_what_is_said_while_the_coordinator_is_away_waits_for_it(network):
    async with network.agent(A).connect():
        await network.agent(A).send(b"first")
        async with network.coordinator().connect():
            pass
        await network.agent(A).send(b"second")
        assert [one.data for one in await take(network.coordinator(), 2)] == [b"first", b"second"]


async def test_a_device_that_does_not_read_misses_what_its_queue_cannot_hold_and_stalls_nobody(network):
    a, b = network.agent(A), network.agent(B)
    async with a.connect(), b.connect():
        for number in range(QUEUE_LIMIT + 10):
            await network.coordinator().send(A, bytes([number]))
        await network.coordinator().send(B, b"b")
        assert await take(b) == [b"b"]
        assert await take(a, QUEUE_LIMIT) == [bytes([number]) for number in range(QUEUE_LIMIT)]
        assert await nothing(a)


async def test_two_agents_cannot_have_one_name(network):
    first = network.agent(A)
    async with first.connect():
        with pytest.raises(ConfigurationError, match=r"^a device 'a' is connected already: give each agent a name"):
            async with network.agent(A).connect():
                pass
        await network.coordinator().send(A, b"still there")
        assert await take(first) == [b"still there"]


async def test_a_reader_that_is_cancelled_loses_nothing(network):
    coordinator = network.coordinator()
    assert await nothing(coordinator)
    async with network.agent(A).connect():
        await network.agent(A).send(b"data")
        assert await take(coordinator) == [Arrived(A, b"data")]


async def test_a_network_that_is_dropped_leaves_no_warning():
    network = MemoryNetwork()
    async with network.agent(A).connect():
        await network.agent(A).send(b"data")
    del network
    gc.collect()  # a stream that nobody closed would warn here, and warnings are errors


def test_a_network_can_be_made_before_there_is_a_loop_and_used_in_several():
    network = MemoryNetwork()

    async def talk():
        async with network.agent(A).connect():
            await network.agent(A).send(b"data")
        return await take(network.coordinator(), 2)

    assert anyio.run(talk) == anyio.run(talk)
