"""One connection from its beginning to its end, with nothing left behind.

aiomqtt connects in a worker thread, which cannot be cancelled, and where connecting or parting takes too long, it
leaves the socket open and registered with the event loop. What it leaves is closed here; for that, its paho client is
reached into, which has no other way to close a socket at once. The same way, one race of it is mended, and a clock of
paho's that starts too early.
"""

import asyncio
import functools
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import aiomqtt
import anyio
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tierwise.runtime.transports.mqtt.settings import MqttSettings

if TYPE_CHECKING:
    from paho.mqtt.client import Client as Paho  # for type checkers only
    from paho.mqtt.client import SocketLike

PARTING_S: Final = 2.0
"""How long the broker has to take leave."""
PENDING_CALLS: Final = 10_000
"""aiomqtt warns above 10; what may be under way is bounded elsewhere."""
_NO_DELAY: Final = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
"""Without it, an acknowledged message takes 88 ms instead of 0.7: Nagle's algorithm waits for a delayed ACK."""

_VERSIONS: Final = {"3.1.1": aiomqtt.ProtocolVersion.V311, "5": aiomqtt.ProtocolVersion.V5}


@dataclass(frozen=True, slots=True)
class Retained:
    """A message that the broker keeps."""

    topic: str
    payload: bytes


class _HandOver(asyncio.Queue[aiomqtt.Message]):
    """A queue in front of which nobody waits: each message is taken the moment it arrives.

    So the time of arrival is right, and a message costs no task.
    """

    def __init__(self, take: Callable[[aiomqtt.Message], None], maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._take = take

    def put_nowait(self, item: aiomqtt.Message) -> None:
        self._take(item)


def make_client(
    settings: MqttSettings,
    identifier: str,
    *,
    tls: ssl.SSLContext | None,
    will: Retained,
    take: Callable[[aiomqtt.Message], None],
) -> aiomqtt.Client:
    """Return a client that is not connected yet.

    Each connection has a new one: an old one would repeat what it could not deliver, and who sent that does so, too.

    Parameters
    ----------
    settings
        Where to.
    identifier
        Names the session that the broker keeps.
    tls
        None for none.
    will
        What the broker says when the connection breaks.
    take
        Called with each message on arrival; it must not raise, or the connection would break.
    """
    five = settings.protocol == "5"
    properties = Properties(PacketTypes.CONNECT) if five else None  # type: ignore[no-untyped-call]
    if properties is not None:
        properties.SessionExpiryInterval = settings.session_s
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        username=settings.user,
        password=settings.secret,
        identifier=identifier,
        queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", functools.partial(_HandOver, take)),
        protocol=_VERSIONS[settings.protocol],
        will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=True),
        clean_session=None if five else False,
        clean_start=False if five else MQTT_CLEAN_START_FIRST_ONLY,
        properties=properties,
        keepalive=settings.keepalive_s,
        tls_context=tls,
        socket_options=_NO_DELAY,
    )
    client.pending_calls_threshold = PENDING_CALLS
    _mend_writing(client)
    _mend_keepalive(client)
    return client


@asynccontextmanager
async def dialled(client: aiomqtt.Client, timeout_s: float) -> AsyncIterator[None]:
    """Be connected as long as the context lasts.

    Parameters
    ----------
    client
        From `make_client`.
    timeout_s
        For looking up and reaching the host, and again for its answer.

    Raises
    ------
    aiomqtt.MqttError
        If there is no connection.
    """
    client._client.connect_timeout = client.timeout = timeout_s  # noqa: SLF001  (aiomqtt does not pass it on)
    try:
        await _connect(client)
        try:
            yield
        finally:
            with anyio.move_on_after(PARTING_S, shield=True):
                await client.__aexit__(None, None, None)
    finally:
        _close(client)


async def _connect(client: aiomqtt.Client) -> None:
    connecting = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        # The thread ends by itself; only then can be closed what it opened.
        client.timeout = 0.0
        if client._misc_task is not None:  # noqa: SLF001  (the thread has ended: what is missing is the answer)
            connecting.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([connecting])
        if not connecting.cancelled():
            connecting.exception()
        raise


def _close(client: aiomqtt.Client) -> None:
    client._client._sock_close()  # noqa: SLF001  (nothing happens if it is closed)
    if client._disconnected.done():  # noqa: SLF001
        client._disconnected.exception()  # noqa: SLF001  (or the loop complains that nobody has asked for it)


def _mend_writing(client: aiomqtt.Client) -> None:
    """Replace how aiomqtt waits until a socket can be written to.

    It registers the socket's number with the event loop one step later. By then, the connection may have broken, and
    the number be nobody's, or another connection's.
    """
    paho = client._client  # noqa: SLF001
    loop = asyncio.get_running_loop()

    def write() -> None:
        try:
            paho.loop_write()
        except Exception as error:  # as in aiomqtt: the connection is broken
            if not client._disconnected.done():  # noqa: SLF001
                client._disconnected.set_exception(error)  # noqa: SLF001

    def start(sock: "SocketLike") -> None:
        if sock is paho.socket():
            loop.add_writer(sock.fileno(), write)

    def register(_client: object, _data: object, sock: "SocketLike") -> None:
        loop.call_soon_threadsafe(start, sock)  # connecting is done in a thread

    paho.on_socket_register_write = register


def _mend_keepalive(client: aiomqtt.Client) -> None:
    """Have the keep-alive begin with the connection.

    paho has it begin before it looks for the host. When that takes longer than a keep-alive, as after a network was
    down, it closes the new connection before it has said a word, and aiomqtt goes on waiting for an answer.
    """
    paho = client._client  # noqa: SLF001
    opened = paho.on_socket_open
    assert opened is not None, "aiomqtt has set it"

    def begin(paho_client: "Paho", data: object, sock: "SocketLike") -> None:
        paho._last_msg_out = paho._last_bytes_received = time.monotonic()  # noqa: SLF001
        opened(paho_client, data, sock)

    paho.on_socket_open = begin
