"""The event bus beside what one would use in its place, all on one asyncio loop.

One publisher, 1 or 10 subscribers, each of which counts what it gets.

- *burst*: events per second from the first ``publish`` until the last subscriber has the last event.
- *latency*: from the call of ``publish`` to each subscriber's having the event, when the next event is only
  published after all have it; the median.

"serve" is the bus as the coordinator uses it: handlers whose failures are caught and reported; "iterate" is a bare
``async for``. Both apply backpressure and isolate subscribers from each other. Of the others, queues and streams
have backpressure as well (1024 events each, as the bus); blinker calls handlers one after the other inside
the publisher; pyee starts a task for every event and handler, so its bursts wait after every 1,000 events.

Every repetition runs them all, one after the other, and ratios are medians over repetitions, so that a machine
whose speed wanders does not decide the result.
"""

# ruff: noqa: D102
# A method means the same in every candidate; what differs is in the docstring of its class.

import asyncio
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator
from typing import Any

import anyio
import msgspec
from anyio.abc import ObjectReceiveStream
from blinker import Signal
from pyee.asyncio import AsyncIOEventEmitter
from report import Row, arguments, compared, report

from tierwise.core.bus import EventBus

Subscriber = Coroutine[Any, Any, None]

LIMIT = 1024
BASELINE = "asyncio.Queue put_nowait"


class UpdateAccepted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An event of the size that a coordinator publishes."""

    device: str
    group: int
    round: int
    samples: int


EVENT = UpdateAccepted(device="pi-zero-2-w-17", group=0, round=12, samples=240)


class Sink:
    """Counts what all subscribers get, and says when that is all."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.published_at: float | None = None  # set while latency is measured
        self.expect(0)

    def expect(self, deliveries: int) -> None:
        self.missing = deliveries
        self.complete = asyncio.Event()

    def hit(self, _: object) -> None:
        if self.published_at is not None:
            self.latencies.append(time.perf_counter() - self.published_at)
        self.missing -= 1
        if not self.missing:
            self.complete.set()


class Candidate(ABC):
    """A way to take events from a publisher to subscribers."""

    name: str
    window = 1 << 30  # how many events may be published before waiting for all to arrive

    def __init__(self, n_subscribers: int, tasks: asyncio.TaskGroup) -> None:
        self.sink = Sink()
        self.n_subscribers = n_subscribers
        self.tasks = [tasks.create_task(task) for task in self.start()]

    def start(self) -> list[Subscriber]:
        """Return what the subscribers run, if they are tasks."""
        return []

    @abstractmethod
    async def publish(self, event: UpdateAccepted) -> None: ...

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()

    async def burst(self, n_events: int) -> float:
        start = time.perf_counter()
        for first in range(0, n_events, self.window):
            n = min(self.window, n_events - first)
            self.sink.expect(n * self.n_subscribers)
            for _ in range(n):
                await self.publish(EVENT)
            await self.sink.complete.wait()
        return n_events / (time.perf_counter() - start)

    async def latency(self, n_events: int) -> float:
        self.sink.latencies.clear()
        for _ in range(n_events):
            self.sink.expect(self.n_subscribers)
            self.sink.published_at = time.perf_counter()
            await self.publish(EVENT)
            await self.sink.complete.wait()
        self.sink.published_at = None
        return statistics.median(self.sink.latencies)


class Serve(Candidate):
    """The bus with handlers whose failures it isolates."""

    name = "tierwise serve"

    def start(self) -> list[Subscriber]:
        self.bus = EventBus(limit=LIMIT)
        return [self.bus.serve(self.handle, UpdateAccepted, name=str(i)) for i in range(self.n_subscribers)]

    async def handle(self, event: UpdateAccepted) -> None:
        self.sink.hit(event)

    async def publish(self, event: UpdateAccepted) -> None:
        await self.bus.publish(event)


class Iterate(Serve):
    """The bus with plain subscriptions."""

    name = "tierwise iterate"

    def start(self) -> list[Subscriber]:
        self.bus = EventBus(limit=LIMIT)
        return [self.read() for _ in range(self.n_subscribers)]

    async def read(self) -> None:
        async with self.bus.subscribe(UpdateAccepted) as subscription:
            async for event in subscription:
                self.sink.hit(event)


class QueuePut(Candidate):
    """One queue for each subscriber."""

    name = "asyncio.Queue put"

    def start(self) -> list[Subscriber]:
        self.queues: list[asyncio.Queue[UpdateAccepted]] = [asyncio.Queue(LIMIT) for _ in range(self.n_subscribers)]
        return [self.read(queue) for queue in self.queues]

    async def read(self, queue: asyncio.Queue[UpdateAccepted]) -> None:
        while True:
            self.sink.hit(await queue.get())

    async def publish(self, event: UpdateAccepted) -> None:
        for queue in self.queues:
            await queue.put(event)


class QueuePutNowait(QueuePut):
    """The same, awaiting only when a queue is full."""

    name = BASELINE

    async def publish(self, event: UpdateAccepted) -> None:
        for queue in self.queues:
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                await queue.put(event)


class StreamSend(Candidate):
    """One memory stream for each subscriber."""

    name = "anyio stream send"

    def start(self) -> list[Subscriber]:
        pairs = [anyio.create_memory_object_stream[UpdateAccepted](LIMIT) for _ in range(self.n_subscribers)]
        self.senders = [sender for sender, _ in pairs]
        self.receivers = [receiver for _, receiver in pairs]
        return [self.read(receiver) for receiver in self.receivers]

    async def read(self, receiver: ObjectReceiveStream[UpdateAccepted]) -> None:
        async with receiver:
            async for event in receiver:
                self.sink.hit(event)

    async def publish(self, event: UpdateAccepted) -> None:
        for sender in self.senders:
            await sender.send(event)

    def stop(self) -> None:
        for sender in self.senders:
            sender.close()


class StreamSendNowait(StreamSend):
    """The same, awaiting only when a stream is full."""

    name = "anyio stream send_nowait"

    async def publish(self, event: UpdateAccepted) -> None:
        for sender in self.senders:
            try:
                sender.send_nowait(event)
            except anyio.WouldBlock:
                await sender.send(event)


class Blinker(Candidate):
    """Handlers awaited by the publisher."""

    name = "blinker send_async"

    def start(self) -> list[Subscriber]:
        self.signal = Signal()
        for _ in range(self.n_subscribers):

            async def handle(_sender: object, event: UpdateAccepted) -> None:
                self.sink.hit(event)

            self.signal.connect(handle, weak=False)
        return []

    async def publish(self, event: UpdateAccepted) -> None:
        await self.signal.send_async(self, event=event)


class Pyee(Candidate):
    """A task for each event and handler."""

    name = "pyee emit"
    window = 1000

    def start(self) -> list[Subscriber]:
        self.emitter = AsyncIOEventEmitter()
        for _ in range(self.n_subscribers):

            async def handle(event: UpdateAccepted) -> None:
                self.sink.hit(event)

            self.emitter.add_listener("event", handle)
        return []

    async def publish(self, event: UpdateAccepted) -> None:
        self.emitter.emit("event", event)


CANDIDATES: tuple[type[Candidate], ...] = (
    Serve,
    QueuePutNowait,
    Iterate,
    QueuePut,
    StreamSend,
    StreamSendNowait,
    Blinker,
    Pyee,
)


async def measure(n_subscribers: int, repetitions: int, n_burst: int, n_latency: int) -> Iterator[Row]:
    rates: dict[str, list[float]] = {cls.name: [] for cls in CANDIDATES}
    latencies: dict[str, list[float]] = {cls.name: [] for cls in CANDIDATES}
    async with asyncio.TaskGroup() as tasks:
        candidates = [cls(n_subscribers, tasks) for cls in CANDIDATES]
        await asyncio.sleep(0)  # every subscriber starts
        for repetition in range(repetitions + 1):
            # Each goes first as often as any other, whatever the one before leaves behind.
            turn = repetition % len(candidates)
            for candidate in candidates[turn:] + candidates[:turn]:
                rate, latency = await candidate.burst(n_burst), await candidate.latency(n_latency)
                if repetition:  # the first warms up
                    rates[candidate.name].append(rate)
                    latencies[candidate.name].append(latency * 1e6)
        for candidate in candidates:
            candidate.stop()
    return rows(n_subscribers, rates, latencies)


def rows(n_subscribers: int, rates: dict[str, list[float]], latencies: dict[str, list[float]]) -> Iterator[Row]:
    subscribers = f"{n_subscribers} subscriber{'s' * (n_subscribers > 1)}"
    for ours in (Iterate.name, Serve.name):
        others = [name for name in rates if name not in {Iterate.name, Serve.name}]
        for other in others if ours == Serve.name else [BASELINE]:
            yield compared(
                f"{ours}: burst, {subscribers}",
                statistics.median(rates[ours]),
                "events/s",
                baseline=other,
                baseline_value=statistics.median(rates[other]),
                ratio=statistics.median(a / b for a, b in zip(rates[ours], rates[other], strict=True)),
                at_least=1 if other == BASELINE and n_subscribers == 10 else None,
            )
        for other in others if ours == Serve.name else [BASELINE]:
            yield compared(
                f"{ours}: latency, {subscribers}",
                statistics.median(latencies[ours]),
                "us",
                baseline=other,
                baseline_value=statistics.median(latencies[other]),
                ratio=statistics.median(a / b for a, b in zip(latencies[ours], latencies[other], strict=True)),
            )


def main() -> None:
    options = arguments("Measure tierwise.core.bus.").parse_args()
    size = (3, 2_000, 100) if options.quick else (7, 5_000, 300)
    results = [row for n in (1, 10) for row in asyncio.run(measure(n, *size))]
    report("Event bus, one publisher, asyncio", results, options.json)


if __name__ == "__main__":
    main()
