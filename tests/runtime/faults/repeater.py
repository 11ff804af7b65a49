"""Somebody on the broker who hears everything, and says it all once more: at once, and much later."""

import functools
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt
import anyio
from anyio.abc import TaskGroup
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.runtime.broker import Broker
from tierwise.runtime.transports.mqtt.topics import Channel, Topics

LATER = 300
"""So many messages later, a message comes for the last time: some rounds."""


class Repeater:
    """Publishes each message of a federation again: as soon as it comes, and once more when `LATER` others have come.

    As it publishes on the topics that it listens to, MQTT 5's *no local* keeps it from hearing itself.

    Attributes
    ----------
    repeated
        How many messages were said again at once, by what their topics are for; `late` likewise, much later.
    """

    def __init__(self, broker: Broker, topics: Topics) -> None:
        self.repeated: Counter[Channel] = Counter()
        self.late: Counter[Channel] = Counter()
        self._broker = broker
        self._topics = topics
        self._kept: deque[tuple[str, bytes]] = deque()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Repeat as long as the context lasts; at its end, all that was said has reached the broker."""
        client = aiomqtt.Client(self._broker.host, self._broker.port, protocol=aiomqtt.ProtocolVersion.V5)
        client.pending_calls_threshold = 10_000
        async with client, anyio.create_task_group() as saying:
            options = SubscribeOptions(qos=1, noLocal=True)
            await client.subscribe(f"{self._topics.prefix}/{self._topics.federation}/#", options=options)
            async with anyio.create_task_group() as hearing:
                hearing.start_soon(self._repeat, client, saying)
                yield
                hearing.cancel_scope.cancel()

    async def _repeat(self, client: aiomqtt.Client, saying: TaskGroup) -> None:
        async for message in client.messages:
            topic, payload = str(message.topic), bytes(message.payload)
            if not payload:
                continue  # what is retained is cleared
            said = [(self.repeated, topic, payload)]
            self._kept.append((topic, payload))
            if len(self._kept) > LATER:
                said.append((self.late, *self._kept.popleft()))
            for counter, *message in said:
                place = self._topics.place(message[0])
                assert place is not None
                counter[place.channel] += 1
                saying.start_soon(functools.partial(client.publish, *message, qos=1))
