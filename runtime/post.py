"""What the coordinator says: messages into envelopes, and off in order."""

import asyncio
from dataclasses import dataclass

from tierwise.core import messages as m
from tierwise.core.edges import CoordinatorTransport
from tierwise.core.envelope import PROTOCOL_VERSION, seal
from tierwise.core.ids import DeviceId, GroupId


@dataclass(frozen=True, slots=True)
class _ToDevice:
    device: DeviceId
    data: bytes


@dataclass(frozen=True, slots=True)
class _ToGroup:
    group: GroupId
    data: bytes


class Post:
    """An outbox: posting never waits, so the coordinator goes on while a transport is slow.

    Parameters
    ----------
    transport
        Carries the envelopes.
    """

    def __init__(self, transport: CoordinatorTransport) -> None:
        self._transport = transport
        self._queue: asyncio.Queue[_ToDevice | _ToGroup] = asyncio.Queue()

    def to_device(
        self,
        device: DeviceId,
        message: m.CoordinatorMessage,
        body: bytes | memoryview = b"",
        *,
        version: int = PROTOCOL_VERSION,
    ) -> None:
        """Post a message for one device."""
        self._queue.put_nowait(_ToDevice(device, seal(message, body, version=version)))

    def to_group(self, group: GroupId, message: m.CoordinatorMessage, body: bytes | memoryview = b"") -> None:
        """Post a message once for all devices of a group."""
        self._queue.put_nowait(_ToGroup(group, seal(message, body)))

    async def deliver(self) -> None:
        """Send what was posted, in order, for ever."""
        while True:
            outgoing = await self._queue.get()
            if isinstance(outgoing, _ToDevice):
                await self._transport.send(outgoing.device, outgoing.data)
            else:
                await self._transport.broadcast(outgoing.group, outgoing.data)
            self._queue.task_done()

    async def flush(self) -> None:
        """Wait until everything posted so far has been sent."""
        await self._queue.join()
