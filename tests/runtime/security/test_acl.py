"""The access list on a real mosquitto: what it must refuse it refuses, and what must work works."""

from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.runtime.broker import Broker, needs_mosquitto, running
from tierwise.core.ids import DeviceId, GroupId
from tierwise.runtime.security.acl import mosquitto_acl
from tierwise.runtime.transports.mqtt.topics import Topics

pytestmark = needs_mosquitto

TOPICS = Topics("site/lab", "digits")
A, B = DeviceId("a"), DeviceId("b.x-1_")
NAMES = ("coordinator", A, B, "stranger")
WAIT_S = 10.0


class Client:
    """A paho client whose calls wait for the broker's answer."""

    def __init__(self, broker: Broker, user: str, version: MQTTProtocolVersion, will: str = "") -> None:
        self.received: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"{user}-{id(self)}", protocol=version)
        self._client.username_pw_set(user, f"password of {user}")
        self._client.on_connect = lambda *answer: self._answers.put(answer[3])
        self._client.on_subscribe = lambda *answer: self._answers.put(answer[3])
        self._client.on_message = lambda _client, _data, message: self.received.put((message.topic, message.payload))
        if will:
            self._client.will_set(will, b"gone", qos=1)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert not self._answers.get(timeout=WAIT_S).is_failure

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)
        self._answers.get(timeout=WAIT_S)  # mosquitto grants every subscription, and delivers what may be read

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WAIT_S)

    def next(self) -> tuple[str, bytes]:
        return self.received.get(timeout=WAIT_S)

    def nothing_more(self) -> bool:
        try:
            self.received.get_nowait()
        except Empty:
            return True
        return False

    def lose_connection(self) -> None:
        """Break off without a DISCONNECT, so that the broker publishes the will."""
        self._client.loop_stop()
        sock = self._client.socket()
        assert sock is not None
        sock.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    users = {name: f"password of {name}" for name in NAMES}
    with running(tmp_path_factory.mktemp("broker"), users=users, acl=mosquitto_acl(TOPICS, [A, B])) as broker:
        yield broker


Connect = Callable[..., Client]


@pytest.fixture(params=[MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5], ids=["3.1.1", "5"])
def connect(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Give a function that connects as a user."""
    clients: list[Client] = []

    def made(user: str, **options: str) -> Client:
        clients.append(Client(broker, user, request.param, **options))
        return clients[-1]

    yield made
    for client in clients:
        client.close()


def test_a_device_writes_its_own_topics(connect: Connect) -> None:
    coordinator, device = connect("coordinator"), connect(A)
    coordinator.subscribe(TOPICS.all_up)
    for topic in (TOPICS.ctl(A), TOPICS.chunk(A), TOPICS.presence(A)):
        device.publish(topic, b"mine")
        assert coordinator.next() == (topic, b"mine")


def test_a_device_that_writes_anothers_topic_is_refused(connect: Connect) -> None:
    """What one client publishes is handled in order: when the last message is there, the others will not come."""
    coordinator, device, other = connect("coordinator"), connect(A), connect(B)
    coordinator.subscribe(TOPICS.all_up)
    for topic in (TOPICS.down(B), TOPICS.all_groups, TOPICS.coordinator):
        other.subscribe(topic)
    for topic in (
        TOPICS.ctl(B), TOPICS.chunk(B), TOPICS.presence(B), TOPICS.down(B), TOPICS.down(A),
        TOPICS.model(GroupId("g1")), TOPICS.group_chunk(GroupId("g1")), TOPICS.coordinator,
    ):  # fmt: skip
        device.publish(topic, b"forged")
    device.publish(TOPICS.ctl(A), b"mine")
    assert coordinator.next() == (TOPICS.ctl(A), b"mine")
    assert coordinator.nothing_more()
    coordinator.publish(TOPICS.down(B), b"after")
    assert other.next() == (TOPICS.down(B), b"after")
    assert other.nothing_more()


def test_a_device_cannot_leave_a_retained_message_elsewhere(connect: Connect) -> None:
    device = connect(A)
    device.publish(TOPICS.model(GroupId("g9")), b"forged", retain=True)
    late, coordinator = connect(B), connect("coordinator")
    late.subscribe(TOPICS.all_groups)
    coordinator.publish(TOPICS.model(GroupId("g8")), b"real")
    assert late.next() == (TOPICS.model(GroupId("g8")), b"real")
    assert late.nothing_more()


def test_a_device_that_listens_to_what_is_not_for_it_hears_nothing(connect: Connect) -> None:
    coordinator, device, spy = connect("coordinator"), connect(A), connect(B)
    for topic in (TOPICS.down(A), TOPICS.all_down, TOPICS.all_up, TOPICS.ctl(A), "#"):
        spy.subscribe(topic)
    device.subscribe(TOPICS.down(A))
    coordinator.publish(TOPICS.down(A), b"for a")
    assert device.next() == (TOPICS.down(A), b"for a")
    device.publish(TOPICS.ctl(A), b"for the coordinator")
    coordinator.publish(TOPICS.coordinator, b"for all")
    assert spy.next() == (TOPICS.coordinator, b"for all")
    assert spy.nothing_more()


def test_every_device_reads_every_group_and_the_coordinators_presence(connect: Connect) -> None:
    coordinator, devices = connect("coordinator"), [connect(A), connect(B)]
    for device in devices:
        device.subscribe(TOPICS.all_groups)
        device.subscribe(TOPICS.coordinator)
    said = [TOPICS.model(GroupId("g1")), TOPICS.group_chunk(GroupId("g2")), TOPICS.coordinator]
    for topic in said:
        coordinator.publish(topic, b"for all")
    for device in devices:
        assert [device.next()[0] for _ in said] == said


def test_a_last_will_reaches_the_coordinator_from_its_own_topic_alone(connect: Connect) -> None:
    coordinator = connect("coordinator")
    coordinator.subscribe(TOPICS.all_up)
    forger, device = connect(A, will=TOPICS.presence(B)), connect(A, will=TOPICS.presence(A))
    forger.lose_connection()
    device.lose_connection()
    assert coordinator.next() == (TOPICS.presence(A), b"gone")
    assert coordinator.nothing_more()


def test_a_user_who_is_not_enrolled_may_do_nothing(connect: Connect) -> None:
    coordinator, device, stranger = connect("coordinator"), connect(A), connect("stranger")
    coordinator.subscribe(TOPICS.all_up)
    stranger.subscribe("#")
    for topic in (TOPICS.ctl(A), TOPICS.ctl(DeviceId("stranger")), TOPICS.coordinator):
        stranger.publish(topic, b"forged")
    device.subscribe(TOPICS.coordinator)
    device.publish(TOPICS.ctl(A), b"mine")
    assert coordinator.next() == (TOPICS.ctl(A), b"mine")
    assert coordinator.nothing_more()
    coordinator.publish(TOPICS.coordinator, b"for all")
    assert device.next() == (TOPICS.coordinator, b"for all")
    assert stranger.nothing_more()


def test_a_revoked_device_is_shut_out_when_the_broker_reads_the_list_again(connect: Connect, broker: Broker) -> None:
    coordinator, device, other = connect("coordinator"), connect(A), connect(B)
    coordinator.subscribe(TOPICS.all_up)
    broker.set_acl(mosquitto_acl(TOPICS, [B]))
    broker.reload()
    try:
        device.publish(TOPICS.ctl(A), b"still here")
        other.publish(TOPICS.ctl(B), b"mine")
        assert coordinator.next() == (TOPICS.ctl(B), b"mine")
        assert coordinator.nothing_more()
    finally:
        broker.set_acl(mosquitto_acl(TOPICS, [A, B]))
        broker.reload()
