"""Tells what passes between an agent and its coordinator."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing

import anyio

from tierwise.core.edges import AgentTransport, Reconnected
from tierwise.core.envelope import open_from_coordinator, open_from_device
from tierwise.core.errors import ProtocolError
from tierwise.core.ids import GroupId
from tierwise.core.messages import Hello, Welcome
from tierwise.runtime.cli.logging import Level, Log


class Overheard:
    """An agent's transport whose messages are told to a log; nothing else is different.

    Parameters
    ----------
    transport
        Carries the messages.
    log
        Where they are told, without their bodies.

    Attributes
    ----------
    asked_at
        When a hello was sent, by the event loop's clock; the first one since whoever waits for the answer has set this
        to None, since the latest connection.
    """

    def __init__(self, transport: AgentTransport, log: Log) -> None:
        self._transport = transport
        self._log = log
        self.asked_at: float | None = None
        self._heard = False
        """Whether the coordinator has ever said anything: only who was there can be back."""
        self._waits = False
        """Whether it was told that this device waits, which each answer to a hello says again."""

    def connect(self) -> AbstractAsyncContextManager[None]:
        """Be connected as long as the context lasts."""
        return self._transport.connect()

    async def receive(self) -> AsyncGenerator[bytes | memoryview | Reconnected, None]:
        """Yield what arrives."""
        async with aclosing(self._transport.receive()) as arrivals:
            async for arrived in arrivals:
                if isinstance(arrived, Reconnected):
                    self.asked_at = None  # a hello comes next
                    self._log.remark(f"the broker or the coordinator is {'back' if self._heard else 'there now'}")
                else:
                    self._tell_received(arrived)
                yield arrived

    async def send(self, data: bytes) -> None:
        """Send an envelope to the coordinator."""
        message, _ = open_from_device(data)
        self._log.said(message, sent=True)
        if isinstance(message, Hello) and self.asked_at is None:
            self.asked_at = anyio.current_time()
        await self._transport.send(data)

    async def follow(self, group: GroupId, *also: GroupId) -> None:
        """Listen to groups' topics."""
        await self._transport.follow(group, *also)

    def link(self) -> Mapping[str, float]:
        """Return what was learnt of the link."""
        return self._transport.link()

    def _tell_received(self, data: bytes | memoryview) -> None:
        try:
            message, _ = open_from_coordinator(data)
        except ProtocolError as error:
            self._log.remark(str(error), Level.WARNING)
        else:
            self._heard = True
            self._log.said(message, sent=False)
            if isinstance(message, Welcome) and message.assignment is None and not self._waits:
                self._waits = True
                self._log.remark("waiting for a group, which there is once enough devices have joined")
