"""What the coordinator says: messages into envelopes, and off in order."""

import asyncio
from dataclasses import dataclass

from tierwise.core import messages as m
from tierwise.core.edges import CoordinatorTransport, LetterTransport
from tierwise.core.envelope import PROTOCOL_VERSION, Letter, seal
from tierwise.core.events import Refusal
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
        Carries the envelopes; one that takes letters gets those, without a stay in the outbox.
    """

    def __init__(self, transport: CoordinatorTransport | LetterTransport) -> None:
        self._latest = Letter(m.Refused(refusal=Refusal.STALE, reason=""))
        # Asking what it takes costs more than posting does, so that is asked once.
        self._direct = transport if isinstance(transport, LetterTransport) else None
        self._transport = None if isinstance(transport, LetterTransport) else transport
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
        if self._direct is not None:
            if message is not self._latest.message or body:
                self._latest = Letter(message, body, version=version)
            self._direct.hand(device, self._latest)  # the same letter, when many are told the same
        else:
            self._queue.put_nowait(_ToDevice(device, seal(message, body, version=version)))

    def to_group(self, group: GroupId, message: m.CoordinatorMessage, body: bytes | memoryview = b"") -> None:
        """Post a message once for all devices of a group."""
        if self._direct is not None:
            self._direct.hand_round(group, Letter(message, body))
        else:
            self._queue.put_nowait(_ToGroup(group, seal(message, body)))

    async def deliver(self) -> None:
        """Send what was posted, in order, for ever."""
        while True:
            outgoing = await self._queue.get()
            assert self._transport is not None, "letters do not stay here"
            if isinstance(outgoing, _ToDevice):
                await self._transport.send(outgoing.device, outgoing.data)
            else:
                await self._transport.broadcast(outgoing.group, outgoing.data)
            self._queue.task_done()

    async def flush(self) -> None:
        """Wait until everything posted so far has been sent."""
        await self._queue.join()
