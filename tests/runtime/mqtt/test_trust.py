"""What is not from whom it says, or not meant for us, is dropped and counted."""

import aiomqtt
import pytest

from tests.runtime.broker import needs_mosquitto
from tests.runtime.mqtt.ends import (
    LARGE,
    Keys,
    agent,
    connected,
    coordinator,
    first,
    next_envelope,
    noise,
    settings,
    until,
)
from tierwise.core.edges import ConnectionLost
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.transfer import Chunk, Outline, Whole, encode
from tierwise.runtime.security.keys import COORDINATOR, Identity
from tierwise.runtime.security.signing import (
    TO_COORDINATOR,
    TO_EVERYONE,
    Rejection,
    Signer,
    UnsignedSigner,
    to_device,
    to_group,
)
from tierwise.runtime.transports.mqtt import kinds
from tierwise.runtime.transports.mqtt.coordinator import REVOKED
from tierwise.runtime.transports.mqtt.presence import Presence

pytestmark = [pytest.mark.anyio, needs_mosquitto]
A, B, G1 = DeviceId("a"), DeviceId("b"), GroupId("g1")
WORD = encode(Whole(size=3), b"bad")


@pytest.fixture
def given(broker):
    return settings(broker)


@pytest.fixture
def keys():
    return Keys()


async def publish(broker, topic, *payloads, retain=False):
    """Be somebody else on the same broker."""
    async with aiomqtt.Client(broker.host, broker.port) as client:
        for payload in payloads:
            await client.publish(topic, payload, qos=1, retain=retain)


async def test_what_others_say_in_a_devices_name(broker, given, keys):
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    thief = Signer("a", "test", Identity.make().signing, 99)
    other = Signer("b", "test", keys.devices.setdefault("b", Identity.make()).signing, 99)
    elsewhere = Signer("a", "another", keys.devices["a"].signing, 99)
    async with connected(here, there):
        await publish(
            broker,
            given.topics.ctl(A),
            thief.sign(WORD, kind=kinds.CTL, recipient=TO_COORDINATOR),
            UnsignedSigner("a", "test").sign(WORD, kind=kinds.CTL, recipient=TO_COORDINATOR),
            other.sign(WORD, kind=kinds.CTL, recipient=TO_COORDINATOR),
            elsewhere.sign(WORD, kind=kinds.CTL, recipient=TO_COORDINATOR),
            WORD,
            b"",
        )
        await there.send(b"good")
        assert await next_envelope(here) == (A, b"good")
    assert here.rejected == {
        Rejection.FORGED: 1,
        Rejection.SCHEME: 1,
        Rejection.SENDER: 1,
        Rejection.FEDERATION: 1,
        Rejection.MALFORMED: 2,
    }


async def test_who_was_revoked_counts_as_lost(broker, given, keys):
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    async with connected(here, there):
        await there.send(b"good")
        assert await next_envelope(here) == (A, b"good")
        keys.revoked.add(A)
        await there.send(b"not any more")
        assert await first(here) == ConnectionLost(A, REVOKED, shut_out=True)
    assert here.rejected[Rejection.REVOKED]


async def test_a_person_is_told_once_of_a_wrong_key_and_never_of_what_he_cannot_mend(broker, given, keys, caplog):
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    thief = Signer("a", "test", Identity.make().signing, 99)
    forged = [thief.sign(WORD, kind=kinds.CTL, recipient=TO_COORDINATOR) for _ in range(5)]
    async with connected(here, there):
        await publish(broker, given.topics.ctl(A), *forged, WORD, b"noise")
        await there.send(b"good")
        assert await next_envelope(here) == (A, b"good")
    assert here.rejected == {Rejection.FORGED: 5, Rejection.MALFORMED: 2}
    (told,) = [record.getMessage() for record in caplog.records if "dropped a frame" in record.getMessage()]
    assert "from 'a': the signature is not its sender's" in told


async def test_what_others_say_in_the_coordinators_name(broker, given, keys):
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    thief = Signer(COORDINATOR, "test", Identity.make().signing, 99)
    async with connected(here, there):
        await there.follow(G1)
        await publish(broker, given.topics.down(A), thief.sign(WORD, kind=kinds.DOWN, recipient=to_device(A)))
        await publish(broker, given.topics.model(G1), thief.sign(WORD, kind=kinds.MANIFEST, recipient=to_group(G1)))
        presence = thief.sign(Presence(online=True).encode(), kind=kinds.PRESENCE, recipient=TO_EVERYONE)
        await publish(broker, given.topics.coordinator, presence)
        await here.send(A, b"good")
        assert await first(there) == b"good"
    assert there.rejected == {Rejection.FORGED: 3}


async def test_what_was_said_before_and_to_others(broker, given, keys):
    here, there, other = coordinator(given, keys=keys), agent(given, A, keys), agent(given, B, keys)
    async with (
        connected(here, there, other),
        aiomqtt.Client(broker.host, broker.port) as spy,
    ):
        await spy.subscribe(given.topics.ctl(A), qos=1)
        await there.send(b"good")
        assert await next_envelope(here) == (A, b"good")
        recorded = (await anext(spy.messages)).payload
        await publish(broker, given.topics.ctl(A), recorded)  # again
        await publish(broker, given.topics.ctl(B), recorded)  # for somebody else
        await publish(broker, given.topics.down(B), recorded)  # elsewhere
        await other.send(b"good, too")
        assert await next_envelope(here) == (B, b"good, too")
        await until(lambda: other.rejected.total() == 1)
    assert here.rejected == {Rejection.REPLAYED: 1, Rejection.SENDER: 1}
    assert other.rejected == {Rejection.RECIPIENT: 1}


async def test_an_old_model_that_is_put_up_again(broker, given, keys):
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    async with (
        connected(here, there),
        aiomqtt.Client(broker.host, broker.port) as spy,
    ):
        await spy.subscribe(given.topics.model(G1), qos=1)
        await there.follow(G1)
        await here.broadcast(G1, b"old")
        assert await first(there) == b"old"
        recorded = (await anext(spy.messages)).payload
        await here.broadcast(G1, b"new")
        assert await first(there) == b"new"
        await publish(broker, given.topics.model(G1), recorded)
        await until(lambda: there.dropped.stale == 1)
        await here.broadcast(G1, b"newer")
        assert await first(there) == b"newer"


async def test_pieces_that_nobody_asked_for_and_wrong_ones(broker, given, keys):
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    unknown, model = Outline.of(noise(1000)), Outline.of(noise(LARGE))
    async with connected(here, there):
        await publish(
            broker,
            given.topics.chunk(A),
            encode(Chunk(transfer=unknown.transfer, index=0), noise(1000)),
            encode(Whole(size=3), b"bad"),
            b"nonsense",
        )
        await there.follow(G1)
        wrong = encode(Chunk(transfer=model.transfer, index=1), noise(120_000, 9))
        await publish(broker, given.topics.group_chunk(G1), wrong, b"nonsense", WORD)
        await here.broadcast(G1, noise(LARGE))
        assert await first(there) == noise(LARGE)
        await until(lambda: here.dropped.unreadable == 1)
    assert here.link_counters.unknown_transfer == 1
    assert (here.dropped.misplaced, here.dropped.unreadable) == (1, 1)
    assert (there.dropped.misplaced, there.dropped.unreadable) == (1, 1)
    assert there.link_counters[0].wrong_hash == 1


async def test_what_a_device_may_not_say(broker, given, keys):
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    async with connected(here, there):
        await until(lambda: A in here.present)
        own = Signer("a", "test", keys.devices["a"].signing, 99)
        huge = encode(Whole(size=130_000), noise(130_000))
        misplaced = encode(Chunk(transfer=Outline.of(b"x").transfer, index=0), b"x")
        await publish(
            broker,
            given.topics.ctl(A),
            *(own.sign(one, kind=kinds.CTL, recipient=TO_COORDINATOR) for one in (huge, misplaced, b"nonsense")),
        )
        await publish(broker, f"{given.topics.prefix}/test/up/{A}/else", b"")
        nonsense = own.sign(b"nonsense", kind=kinds.PRESENCE, recipient=TO_COORDINATOR)
        await publish(broker, given.topics.presence(A), nonsense)
        await until(lambda: here.dropped.total == 5)
    assert (here.dropped.oversized, here.dropped.misplaced, here.dropped.unreadable) == (1, 2, 2)


async def test_what_is_sealed_can_be_read_by_the_coordinator_alone(broker, given, keys):
    here, there = coordinator(given, keys=keys), agent(given, A, keys)
    async with (
        connected(here, there),
        aiomqtt.Client(broker.host, broker.port) as spy,
    ):
        await spy.subscribe(given.topics.own(A), qos=1)
        await there.send(b"a secret of the kitchen")
        assert await next_envelope(here) == (A, b"a secret of the kitchen")
        await there.send(b"a secret of the kitchen" * 10_000)
        assert await next_envelope(here) == (A, b"a secret of the kitchen" * 10_000)
        seen = spy._queue
        assert seen.qsize() > 3
        while seen.qsize():
            assert b"secret" not in (await anext(spy.messages)).payload


async def test_what_is_sealed_to_another_key_or_to_none(given, keys, caplog):
    other = Identity.make(sealing=True).public.sealing_key()
    here, there = coordinator(given, keys=keys), agent(given, A, keys, seal_to=other)
    async with connected(here, there):
        await there.send(b"small")
        await there.send(noise(LARGE))
        await until(lambda: here.dropped.unsealable == 2)
    here, there = coordinator(given, keys=keys, sealing_key=None), agent(given, A, keys)
    async with connected(here, there):
        await there.send(b"small")
        await until(lambda: here.dropped.unsealable == 1)
    assert "it must be enrolled anew" in caplog.text
    assert "this coordinator has no key for it" in caplog.text


async def test_a_device_that_floods_takes_no_room_of_others(given, keys):
    here, a, b = coordinator(given, keys=keys, sealing_key=None), agent(given, A, keys, seal_to=None), None
    b = agent(given, B, keys, seal_to=None)
    async with connected(here, a, b):
        for number in range(100):
            await a.send(b"%d" % number)
            await until(lambda: a._uplink.first() is None)
        await until(lambda: here.dropped.overflowing == 36)
        await b.send(b"hello")
        envelopes = [await next_envelope(here) for _ in range(65)]
    assert envelopes == [*((A, b"%d" % number) for number in range(64)), (B, b"hello")]
