"""Tells what passes between an agent and its coordinator."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing

from tierwise.core.edges import AgentTransport, Reconnected
from tierwise.core.envelope import open_from_coordinator, open_from_device
from tierwise.core.errors import ProtocolError
from tierwise.core.ids import GroupId
from tierwise.runtime.cli.logging import Level, Log


class Overheard:
    """An agent's transport whose messages are told to a log; nothing else is different.

    Parameters
    ----------
    transport
        Carries the messages.
    log
        Where they are told, without their bodies.
    """

    def __init__(self, transport: AgentTransport, log: Log) -> None:
        self._transport = transport
        self._log = log

    def connect(self) -> AbstractAsyncContextManager[None]:
        """Be connected as long as the context lasts."""
        return self._transport.connect()

    async def receive(self) -> AsyncGenerator[bytes | memoryview | Reconnected, None]:
        """Yield what arrives."""
        async with aclosing(self._transport.receive()) as arrivals:
            async for arrived in arrivals:
                if isinstance(arrived, Reconnected):
                    self._log.remark("the broker or the coordinator is back")
                else:
                    self._tell_received(arrived)
                yield arrived

    async def send(self, data: bytes) -> None:
        """Send an envelope to the coordinator."""
        message, _ = open_from_device(data)
        self._log.said(message, sent=True)
        await self._transport.send(data)

    async def follow(self, group: GroupId) -> None:
        """Listen to a group's topic."""
        await self._transport.follow(group)

    def _tell_received(self, data: bytes | memoryview) -> None:
        try:
            message, _ = open_from_coordinator(data)
        except ProtocolError as error:
            self._log.remark(str(error), Level.WARNING)
        else:
            self._log.said(message, sent=False)
