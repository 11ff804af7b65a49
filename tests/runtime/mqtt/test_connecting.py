"""Connections that do not come about, and what they say; those that do, and how they go on."""

import logging
import socket
import time

import anyio
import pytest

from tests.runtime.broker import free_port, needs_mosquitto, running
from tests.runtime.mqtt.certificates import Authority
from tests.runtime.mqtt.ends import agent, connected, coordinator, first, settings, until
from tierwise.core.errors import TransportError
from tierwise.core.ids import DeviceId

pytestmark = [pytest.mark.anyio, needs_mosquitto]
A = DeviceId("a")


async def failure(end):
    """Return what connecting fails with, and that it does so without a delay."""
    with pytest.raises(TransportError) as caught:
        async with end.connect():
            pass
    return str(caught.value)


# -- what fails


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_a_wrong_password(tmp_path, protocol):
    with running(tmp_path, users={"kitchen": "right"}) as broker:
        wrong = settings(broker, username="kitchen", password="wrong", protocol=protocol)
        said = await failure(agent(wrong, A))
        assert said.startswith(f"the broker mqtt://127.0.0.1:{broker.port} refuses user 'kitchen' (")
        assert "check `username` and `password`" in said
        assert "refuses clients without a user name" in await failure(agent(settings(broker, protocol=protocol), A))
        right = settings(broker, username="kitchen", password="right", protocol=protocol)
        async with agent(right, A).connect():
            pass


async def test_a_host_that_is_not_there(broker, monkeypatch):
    def unknown(*arguments, **more):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    said = await failure(agent(settings(broker, broker="mqtt://nowhere.example", insecure=True), A))
    assert said == "there is no host named 'nowhere.example': check the broker's URL mqtt://nowhere.example:1883"


async def test_a_host_that_cannot_be_looked_up_at_the_moment(broker, monkeypatch):
    asked = 0

    def unsure(*arguments, **more):
        nonlocal asked
        asked += 1
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unsure)
    given = settings(broker, broker="mqtt://nowhere.example", insecure=True, patience_s=0.3)
    assert "cannot be reached ([Errno -3] Temporary failure" in await failure(agent(given, A))
    assert asked > 1


async def test_a_port_where_nobody_listens(broker):
    port = free_port()
    began = time.monotonic()
    said = await failure(agent(settings(broker, broker=f"mqtt://127.0.0.1:{port}", patience_s=0.3), A))
    assert said == (f"nobody listens at mqtt://127.0.0.1:{port}: start the broker, or check host and port in its URL")
    assert time.monotonic() - began < 2


async def test_a_port_that_does_not_answer(broker):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        given = settings(broker, broker=f"mqtt://127.0.0.1:{mute.getsockname()[1]}", patience_s=1)
        assert "does not answer: check host and port, and that this port is not one for TLS" in await failure(
            agent(given, A)
        )


async def test_a_broker_that_comes_within_the_patience(broker):
    broker.stop()
    async with anyio.create_task_group() as tasks:
        here = coordinator(settings(broker))
        tasks.start_soon(_connect_and_leave, here)
        await anyio.sleep(0.1)
        assert not here.connected
        broker.start()


async def _connect_and_leave(end):
    async with end.connect():
        assert end.connected


async def test_a_host_that_is_found_only_after_longer_than_the_keep_alive(broker, monkeypatch):
    lookup = socket.getaddrinfo

    def slow(*arguments, **more):
        time.sleep(1.5)
        return lookup(*arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    there = agent(settings(broker, keepalive_s=1), A)
    async with there.connect():
        assert there.connected


async def test_giving_up_while_connecting_leaves_nothing(broker):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        given = settings(broker, broker=f"mqtt://127.0.0.1:{mute.getsockname()[1]}")
        with anyio.move_on_after(0.2) as given_up:
            async with agent(given, A).connect():
                pass
        assert given_up.cancelled_caught


async def test_a_topic_that_may_not_be_read(broker, monkeypatch):
    import aiomqtt

    async def refused(self, topics, *arguments, **more):
        return [128 for _ in topics]

    monkeypatch.setattr(aiomqtt.Client, "subscribe", refused)
    said = await failure(agent(settings(broker), A))
    assert "does not let 'tierwise/test/a' read tierwise/test/down/a: check its access list" in said


# -- TLS


@pytest.fixture
def tls(tmp_path):
    """A broker with a second listener for TLS, and one that asks for a certificate besides."""
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.issue("broker")
    plain, asking = free_port(), free_port()
    lines = f"cafile {authority.file}\ncertfile {certificate}\nkeyfile {key}\n"
    more = f"listener {plain} 127.0.0.1\n{lines}listener {asking} 127.0.0.1\n{lines}require_certificate true\n"
    with running(tmp_path, more=more) as broker:
        broker.authority, broker.tls_port, broker.asking_port = authority, plain, asking
        yield broker


def over_tls(broker, port=None, **changed):
    return settings(broker, broker=f"mqtts://127.0.0.1:{port or broker.tls_port}", **changed)


async def test_tls_by_file_and_by_text(tls):
    ca = tls.authority.file
    here = coordinator(over_tls(tls, ca_file=str(ca)))
    there = agent(over_tls(tls, ca=ca.read_text()), A)
    async with connected(here, there):
        await there.send(b"x" * 100_000)
        assert len((await first(here)).data) == 100_000


async def test_a_client_with_a_certificate_and_one_without(tls, tmp_path):
    certificate, key = tls.authority.issue("kitchen")
    ca = str(tls.authority.file)
    given = over_tls(tls, tls.asking_port, ca_file=ca, cert_file=str(certificate), key_file=str(key))
    async with agent(given, A).connect():
        pass
    said = await failure(agent(over_tls(tls, tls.asking_port, ca_file=ca, patience_s=1), A))
    assert f"mqtts://127.0.0.1:{tls.asking_port}" in said


async def test_a_certificate_of_somebody_else(tls, tmp_path):
    other = Authority(tmp_path, "other")
    said = await failure(agent(over_tls(tls, ca_file=str(other.file)), A))
    assert "cannot be trusted (" in said
    assert "`ca_file`" in said
    assert "cannot be trusted" in await failure(agent(over_tls(tls), A))  # nor do the system's authorities know it


async def test_a_certificate_for_another_host(tls):
    ca = str(tls.authority.file)
    given = settings(tls, broker=f"mqtts://localhost:{tls.tls_port}", ca_file=ca)
    assert "the host's name as it is certified" in await failure(agent(given, A))


async def test_tls_with_a_port_that_has_none(tls):
    ca = str(tls.authority.file)
    said = await failure(agent(over_tls(tls, tls.port, ca_file=ca, patience_s=0.5), A))
    assert f"mqtts://127.0.0.1:{tls.port}" in said
    assert "check host and port, and that this port is the one for TLS" in said


# -- what goes on


async def test_nagle_is_off(broker):
    there = agent(settings(broker), A)
    async with there.connect():
        sock = there._connection._link.client._client.socket()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_message_that_cannot_be_handled_does_not_break_the_connection(broker, caplog, monkeypatch):
    here, there = coordinator(settings(broker)), agent(settings(broker), A)
    async with connected(here, there):
        with monkeypatch.context() as patched:
            patched.setattr(here, "_take_frame", None)
            await there.send(b"first")
            await until(lambda: bool(caplog.records))
        await there.send(b"second")
        assert (await first(here)).data == b"second"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "could not be handled" in caplog.text
