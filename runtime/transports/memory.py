"""A transport within one process: for embedding, examples and tests.

Envelopes pass as bytes, as they would over a wire, in order. A device whose queue is full misses what is sent to it,
as it would at a broker; its agent asks again.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from tierwise.core.edges import AgentTransport, Arrived, ConnectionLost, CoordinatorTransport
from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId, GroupId

QUEUE_LIMIT: Final = 64
"""Envelopes that wait for a device at the most."""


class MemoryNetwork:
    """Connects one coordinator with any number of agents.

    Give `coordinator` to a `tierwise.runtime.Coordinator`, and one `agent` to each `tierwise.runtime.Agent`. What is
    said while the coordinator is away waits for it.
    """

    def __init__(self) -> None:
        self._inbound = _Inbound()
        self._agents: dict[DeviceId, MemoryObjectSendStream[bytes]] = {}
        self._following: dict[DeviceId, tuple[GroupId, ...]] = {}
        self._retained: dict[GroupId, bytes] = {}

    def coordinator(self) -> CoordinatorTransport:
        """Return the coordinator's end."""
        return _CoordinatorEnd(self)

    def agent(self, device: DeviceId) -> AgentTransport:
        """Return a device's end."""
        return _AgentEnd(self, device)

    @asynccontextmanager
    async def attached(self, device: DeviceId) -> AsyncIterator[MemoryObjectReceiveStream[bytes]]:
        """Give a device its queue; afterwards it counts as lost."""
        if device in self._agents:
            raise ConfigurationError(f"a device {device!r} is connected already: give each agent a name of its own")
        send, receive = anyio.create_memory_object_stream[bytes](QUEUE_LIMIT)
        self._agents[device] = send
        try:
            with send, receive:
                yield receive
        finally:
            del self._agents[device]
            self._following.pop(device, None)
            self._inbound.put(ConnectionLost(device, "its agent disconnected"))

    def follow(self, device: DeviceId, groups: tuple[GroupId, ...]) -> None:
        """Subscribe a device to these groups' topics, in place of its old ones."""
        before, self._following[device] = self._following.get(device, ()), groups
        for group in newly_followed(before, groups):
            if group in self._retained:
                self.deliver(device, self._retained[group])

    def broadcast(self, group: GroupId, data: bytes) -> None:
        """Put an envelope into the queues of all who follow a group, and keep it for those who will."""
        self._retained[group] = data
        for device, followed in self._following.items():
            if group in followed:
                self.deliver(device, data)

    def deliver(self, device: DeviceId, data: bytes) -> None:
        """Put an envelope into a device's queue; one that is not connected, or whose queue is full, misses it."""
        queue = self._agents.get(device)
        if queue is not None:
            with suppress(anyio.WouldBlock, anyio.BrokenResourceError):
                queue.send_nowait(data)

    def report(self, arrived: Arrived) -> None:
        """Put an envelope into the coordinator's queue."""
        self._inbound.put(arrived)

    async def next_arrival(self) -> Arrived | ConnectionLost:
        """Take what waits for the coordinator."""
        return await self._inbound.get()


def newly_followed(before: tuple[GroupId, ...], groups: tuple[GroupId, ...]) -> tuple[GroupId, ...]:
    """Return whose retained envelopes a device gets that follows these groups from now on.

    Who follows the same ones once more has missed something, and gets all.
    """
    return tuple(group for group in groups if group not in before) or groups


class _Inbound:
    """The coordinator's queue, which outlives every coordinator.

    It has no limit, because the word that a connection broke must never wait. An agent says little at a time: it
    waits for a receipt before it works on.
    """

    def __init__(self) -> None:
        self._waiting: deque[Arrived | ConnectionLost] = deque()
        self._filled: anyio.Event | None = None  # set while somebody waits

    def put(self, arrived: Arrived | ConnectionLost) -> None:
        self._waiting.append(arrived)
        if self._filled is not None:
            self._filled.set()
            self._filled = None

    async def get(self) -> Arrived | ConnectionLost:
        while not self._waiting:
            self._filled = self._filled or anyio.Event()
            await self._filled.wait()
        return self._waiting.popleft()


class _CoordinatorEnd:
    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        yield

    async def receive(self) -> AsyncGenerator[Arrived | ConnectionLost, None]:
        while True:
            yield await self._network.next_arrival()

    def arriving_since(self) -> None:
        return None

    async def send(self, device: DeviceId, data: bytes) -> None:
        self._network.deliver(device, data)

    async def broadcast(self, group: GroupId, data: bytes) -> None:
        self._network.broadcast(group, data)


class _AgentEnd:
    def __init__(self, network: MemoryNetwork, device: DeviceId) -> None:
        self._network = network
        self._device = device
        self._queue: MemoryObjectReceiveStream[bytes] | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        async with self._network.attached(self._device) as self._queue:
            yield

    async def receive(self) -> AsyncGenerator[bytes, None]:
        assert self._queue is not None, "receive() works within connect()"
        async for data in self._queue:
            yield data

    async def send(self, data: bytes) -> None:
        self._network.report(Arrived(self._device, data))

    async def follow(self, group: GroupId, *also: GroupId) -> None:
        self._network.follow(self._device, (group, *also))

    def link(self) -> dict[str, float]:
        return {}  # there is none
