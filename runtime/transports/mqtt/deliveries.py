"""Messages that have to reach the broker."""

from typing import Final

import anyio
from anyio.abc import TaskGroup

from tierwise.runtime.transports.mqtt.connection import Connection

LIMIT: Final = 20
"""Messages that the broker has not acknowledged yet; paho's own limit, and so the most that helps."""


class Deliveries:
    """Publishes with QoS 1, several messages at a time: one after the other, each would wait for the broker's answer.

    They leave in the order in which they were posted, and are repeated after a loss of connection.

    Parameters
    ----------
    connection
        What carries them.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._room = anyio.Semaphore(LIMIT)
        self._under_way = 0
        self._done = anyio.Event()

    async def post(self, tasks: TaskGroup, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish a message in the background; wait for room if too many are under way."""
        await self._room.acquire()
        self._under_way += 1
        tasks.start_soon(self._deliver, topic, payload, retain)

    async def drain(self) -> None:
        """Wait until all have been acknowledged."""
        while self._under_way:
            await self._done.wait()

    async def _deliver(self, topic: str, payload: bytes, retain: bool) -> None:
        try:
            await self._connection.deliver(topic, payload, retain=retain)
        finally:
            self._under_way -= 1
            self._room.release()
            self._done.set()
            self._done = anyio.Event()
