"""The proxy is as bad a network as it says."""

import socket
import threading
import time

import pytest

from tests.runtime.faults.proxy import HOST, Proxy


@pytest.fixture
def proxy():
    """A proxy before a server that says everything back."""
    with socket.create_server((HOST, 0)) as server:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        with Proxy(HOST, server.getsockname()[1]).running() as running:
            yield running
        server.shutdown(socket.SHUT_RDWR)


def _echo(server):
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo_one, args=(client,), daemon=True).start()


def _echo_one(client):
    with client:
        while data := _received(client):
            client.sendall(data)


def _received(client, size=65536):
    try:
        return client.recv(size)
    except ConnectionError:
        return b""


def connect(proxy, timeout=20.0):
    return socket.create_connection((HOST, proxy.port), timeout=timeout)


def exchange(client, data):
    """Say something, wait until it is back, and return how long that took."""
    began = time.monotonic()
    client.sendall(data)
    back = b""
    while len(back) < len(data):
        back += client.recv(65536)
    assert back == data
    return time.monotonic() - began


def test_a_good_network(proxy):
    with connect(proxy) as one, connect(proxy) as other:
        assert exchange(one, b"x" * 2_000_000) < 10  # it does not get in the way
        exchange(other, b"y")
    assert proxy.connections == 2
    assert proxy.sent_bytes == 2_000_001
    assert proxy.carried_bytes == 2 * 2_000_001


def test_a_cut(proxy):
    with connect(proxy) as client:
        exchange(client, b"before")
        proxy.cut()
        assert _received(client) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.mend()
    with connect(proxy) as client:
        exchange(client, b"after")


def test_what_is_held_back_comes_later_and_nobody_is_told(proxy):
    with connect(proxy) as client:
        exchange(client, b"before")
        proxy.stall()
        client.sendall(b"held back")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(9)
        with connect(proxy, 0.3) as late:
            late.sendall(b"late")
            with pytest.raises(TimeoutError):
                late.recv(4)
        proxy.mend()
        client.settimeout(20)
        assert client.recv(9) == b"held back"


def test_a_slow_link_and_a_long_one(proxy):
    with connect(proxy) as client:
        proxy.slow_down(20_000)
        assert exchange(client, b"x" * 10_000) > 0.5
        proxy.mend()
        proxy.delay(0.2)
        assert exchange(client, b"x") > 0.4
        proxy.mend()
        exchange(client, b"x" * 10_000)
