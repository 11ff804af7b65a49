"""A client that is kept connected."""

import asyncio
import logging
import math
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import aiomqtt
import anyio
from anyio import CancelScope
from anyio.abc import TaskStatus
from paho.mqtt.reasoncodes import ReasonCode

from tierwise.core.errors import TransportError
from tierwise.core.transfer.backoff import Backoff
from tierwise.runtime.exceptions import unwrapped
from tierwise.runtime.transports.mqtt.dialling import Retained, dialled, make_client
from tierwise.runtime.transports.mqtt.faults import explain
from tierwise.runtime.transports.mqtt.settings import MqttSettings

_LOG: Final = logging.getLogger(__name__)

ATTEMPT_S: Final = 10.0
"""How long the broker has to answer an attempt."""
STABLE_S: Final = 10.0
"""A connection that lasted for so long was a good one: the waits begin anew after it."""
FAILURE_CODES: Final = 128
"""A broker's answer to a subscription from this on is a refusal."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that arrived; ``retained`` if it was there before the subscription."""

    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a connection asks and tells whose it is.

    Attributes
    ----------
    will
        Gives what the broker shall say if the next connection breaks; called before each attempt.
    take
        Takes what arrived. It is quick.
    greet
        Notes that there is a connection, with its subscriptions; told whether it is the first.
    """

    will: Callable[[], Retained]
    take: Callable[[Incoming], None]
    greet: Callable[[bool], None]


@dataclass(slots=True, eq=False)
class _Link:
    """One connection. What waits for the broker does so in a scope, so that it stops when the connection is lost."""

    client: aiomqtt.Client
    waiting: set[CancelScope] = field(default_factory=set)
    lost: bool = False

    async def wait_for(self, answer: Awaitable[object]) -> bool:
        """Wait for the broker; tell whether its answer came before the connection was lost."""
        with CancelScope() as scope:
            self.waiting.add(scope)
            try:
                await answer
            finally:
                self.waiting.discard(scope)
        return not scope.cancelled_caught

    def lose(self) -> None:
        self.lost = True
        for scope in self.waiting:
            scope.cancel()


class Connection:
    """One client of a broker, connected again whenever the connection breaks.

    The broker keeps its session, and it keeps its subscriptions.

    Parameters
    ----------
    settings
        Where to, and how.
    identifier
        The client's; two with the same one push each other out.
    hooks
        Whose it is.
    """

    def __init__(self, settings: MqttSettings, identifier: str, hooks: Hooks) -> None:
        self._settings = settings
        self._identifier = identifier
        self._hooks = hooks
        self._link: _Link | None = None
        self._up = anyio.Event()
        self._subscriptions: dict[str, int] = {}
        self._tls: ssl.SSLContext | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._link is not None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Be connected, and connected again, as long as the context lasts.

        Raises
        ------
        TransportError
            If the first connection does not come about.
        ConfigurationError
            If what TLS needs cannot be read.
        """
        keeping = CancelScope(shield=True)
        self._tls = await anyio.to_thread.run_sync(self._settings.tls_context)
        with unwrapped():
            async with anyio.create_task_group() as tasks:
                try:
                    await tasks.start(self._keep, keeping)
                    yield
                finally:
                    keeping.cancel()

    async def wait_connected(self) -> None:
        """Wait until there is a connection."""
        while self._link is None:
            await self._up.wait()

    async def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> bool:
        """Publish once, if there is a connection.

        Returns
        -------
        bool
            Whether the message was written to the network, with QoS 1 acknowledged by the broker. With False it may
            or may not have arrived.
        """
        link = self._link
        if link is None:
            return False
        try:
            publishing = link.client.publish(topic, payload, qos=qos, retain=retain, timeout=math.inf)
            return await link.wait_for(publishing)
        except aiomqtt.MqttError:
            self._note_lost(link)
            return False

    async def deliver(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish until the broker has acknowledged it, over as many connections as that takes."""
        while not await self.publish(topic, payload, qos=1, retain=retain):
            await self.wait_connected()

    async def subscribe(self, topic: str, qos: int) -> None:
        """Subscribe, in this connection and all later ones; what is retained there comes, and comes again.

        Raises
        ------
        TransportError
            If the broker refuses it.
        """
        self._subscriptions[topic] = qos
        if self._link is not None:
            with suppress(aiomqtt.MqttError):  # the next connection does it
                await self._link.wait_for(self._ask(self._link.client, {topic: qos}))

    async def unsubscribe(self, topic: str) -> None:
        """Take a subscription back."""
        self._subscriptions.pop(topic, None)
        if self._link is not None:
            with suppress(aiomqtt.MqttError):  # what comes nevertheless is dropped
                await self._link.wait_for(self._link.client.unsubscribe(topic))

    # -- keeping

    async def _keep(self, keeping: CancelScope, *, task_status: TaskStatus[None]) -> None:
        # Whoever is cancelled takes leave before he goes, for which he needs the connection until then.
        with keeping:
            await self._keep_connected(task_status)

    async def _keep_connected(self, task_status: TaskStatus[None]) -> None:
        settings = self._settings
        backoff = Backoff(settings.reconnect_s, settings.reconnect_limit_s, random.random)
        until = _now() + settings.patience_s
        first = True
        while True:
            began_at = _now()
            timeout_s = min(ATTEMPT_S, max(until - began_at, 1.0)) if first else ATTEMPT_S
            error = await self._hold(first, timeout_s, task_status)
            stable = error is None and _now() - began_at >= STABLE_S
            if stable:
                backoff.reset()
            wait_s = backoff.wait_s()
            if error is None:
                first = False
                hint = "" if stable else f" (if this goes on: is another client named {self._identifier!r}?)"
                _LOG.warning("the connection to the broker %s is lost; connecting again%s", settings.url, hint)
            else:
                fault = explain(error, settings)
                if first and (fault.lasting or _now() + wait_s > until):
                    raise TransportError(fault.text) from error
                _LOG.warning("%s; trying again in %.1f s", fault.text, wait_s)
            await anyio.sleep(wait_s)

    async def _hold(self, first: bool, timeout_s: float, task_status: TaskStatus[None]) -> Exception | None:
        """Connect and stay so; return when the connection is lost, or with the error if there was none."""
        client = make_client(self._settings, self._identifier, tls=self._tls, will=self._hooks.will(), take=self._take)
        link: _Link | None = None
        try:
            async with dialled(client, timeout_s):
                await self._ask(client, self._subscriptions)
                link = self._link = _Link(client)
                self._up.set()
                self._hooks.greet(first)
                if first:
                    task_status.started()
                async for _ in client.messages:
                    raise AssertionError("messages are taken before they are queued")
        except (aiomqtt.MqttError, TransportError) as error:
            return error if link is None else None
        finally:
            if link is not None:
                self._note_lost(link)
        return None

    def _note_lost(self, link: _Link) -> None:
        link.lose()
        if self._link is link:
            self._link = None
            self._up = anyio.Event()

    async def _ask(self, client: aiomqtt.Client, subscriptions: dict[str, int]) -> None:
        if not subscriptions:
            return
        answers = await client.subscribe(list(subscriptions.items()))
        codes = [answer.value if isinstance(answer, ReasonCode) else answer for answer in answers]
        for topic, code in zip(subscriptions, codes, strict=True):
            if code >= FAILURE_CODES:
                raise TransportError(
                    f"the broker {self._settings.url} does not let {self._identifier!r} read {topic}: check its access "
                    "list (`tierwise acl` makes one)"
                )

    def _take(self, message: aiomqtt.Message) -> None:
        try:
            payload = message.payload
            if isinstance(payload, bytes | bytearray):
                self._hooks.take(Incoming(str(message.topic), bytes(payload), message.retain))
        except Exception:  # it would break the connection, again and again if the message is retained
            _LOG.exception("a message on %s could not be handled", message.topic)


def _now() -> float:
    return asyncio.get_running_loop().time()
