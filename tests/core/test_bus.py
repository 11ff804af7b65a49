"""What the bus promises, through its public face, on each back-end. No test sleeps."""

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle
from typing import TypeVar

import anyio
import msgspec
import pytest
from anyio import wait_all_tasks_blocked
from anyio.abc import TaskGroup, TaskStatus
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.bus import EventBus, SubscriberFailed, Subscription

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    n: int = 0


class Joined(Event, frozen=True, kw_only=True, tag=True):
    pass


class Left(Event, frozen=True, kw_only=True, tag=True):
    pass


E = TypeVar("E", bound=Event)


def publish_at_once(bus: EventBus, event: object) -> None:
    """Publish; fail if that wants to wait, or so much as yields to the loop."""
    with pytest.raises(StopIteration):
        bus.publish(event).send(None)


def read_all(subscription: Subscription[E]) -> list[int]:
    """Take whatever is there without waiting."""
    taken = []
    while True:
        try:
            taken.append(subscription.receive_nowait().n)
        except (anyio.WouldBlock, anyio.EndOfStream):
            return taken


class Call:
    """One call of publish that runs beside the test."""

    def __init__(self) -> None:
        self._done = False
        self.scope = anyio.CancelScope()

    async def run(self, bus: EventBus, event: object) -> None:
        with self.scope:
            await bus.publish(event)
            self._done = True

    def done(self) -> bool:
        return self._done


# --- who gets what -------------------------------------------------------------------------------------


async def test_an_event_goes_to_the_subscribers_of_its_class_and_its_bases() -> None:
    bus = EventBus()
    async with (
        bus.subscribe(Joined) as joined,
        bus.subscribe(Left) as left,
        bus.subscribe(Event) as events,
        bus.subscribe(object) as everything,
    ):
        for event in (Joined(n=1), Left(n=2), Event(n=3), "a plain object"):
            publish_at_once(bus, event)
        assert read_all(joined) == [1]
        assert read_all(left) == [2]
        assert read_all(events) == [1, 2, 3]
        assert [everything.receive_nowait() for _ in range(4)][3] == "a plain object"


async def test_overlapping_classes_deliver_once() -> None:
    bus = EventBus()
    async with bus.subscribe(Event, Joined, Joined) as subscription:
        publish_at_once(bus, Joined(n=1))
        assert read_all(subscription) == [1]


async def test_a_subscription_gets_what_is_published_while_it_lasts() -> None:
    bus = EventBus()
    publish_at_once(bus, Joined(n=1))
    async with bus.subscribe(Joined) as first:
        publish_at_once(bus, Joined(n=2))
        async with bus.subscribe(Event) as second:
            publish_at_once(bus, Joined(n=3))
        publish_at_once(bus, Joined(n=4))
        assert read_all(first) == [2, 3, 4]
    with pytest.raises(anyio.ClosedResourceError):
        second.receive_nowait()


async def test_a_subscription_is_an_async_iterator_and_has_a_name() -> None:
    bus = EventBus()
    async with bus.subscribe(Joined, Left) as unnamed, bus.subscribe(Joined, name="log") as named:
        assert (unnamed.name, named.name) == ("Joined, Left", "log")
        publish_at_once(bus, Joined(n=1))
        publish_at_once(bus, Left(n=2))
        bus.close()
        assert [event.n async for event in unnamed] == [1, 2]
        assert (await named.receive()).n == 1


@pytest.mark.parametrize("types", [(), ("Joined",), (Joined(),), (Joined | Left,)])
async def test_a_subscription_needs_classes(types: tuple[type, ...]) -> None:
    with pytest.raises(TypeError, match="one or more event classes"):
        async with EventBus().subscribe(*types):
            pass


async def test_a_buffer_holds_at_least_one_event() -> None:
    with pytest.raises(ValueError, match="limit is 0"):
        EventBus(limit=0)
    with pytest.raises(ValueError, match="limit is -1"):
        async with EventBus().subscribe(Joined, limit=-1):
            pass


# --- order, backpressure, memory -----------------------------------------------------------------------


async def test_publish_waits_only_while_a_lossless_buffer_is_full() -> None:
    bus = EventBus(limit=2)
    async with bus.subscribe(Joined) as slow, bus.subscribe(Joined) as quick, anyio.create_task_group() as tg:
        publish_at_once(bus, Joined(n=1))
        publish_at_once(bus, Joined(n=2))
        assert read_all(quick) == [1, 2]
        third = Call()
        tg.start_soon(third.run, bus, Joined(n=3))
        await wait_all_tasks_blocked()
        assert not third.done()
        assert read_all(quick) == [3], "who has room need not wait for who has none"
        assert slow.receive_nowait().n == 1
        await wait_all_tasks_blocked()
        assert third.done()
        assert read_all(slow) == [2, 3]


async def test_a_full_subscriber_holds_up_only_its_own_events() -> None:
    bus = EventBus(limit=1)
    async with bus.subscribe(Joined), bus.subscribe(Left) as left, anyio.create_task_group() as tg:
        publish_at_once(bus, Joined())
        waiting = Call()
        tg.start_soon(waiting.run, bus, Joined())
        await wait_all_tasks_blocked()
        publish_at_once(bus, Left(n=1))
        assert read_all(left) == [1]
        assert not waiting.done()
        waiting.scope.cancel()


async def test_order_is_that_of_the_calls_while_publishers_wait() -> None:
    bus = EventBus(limit=1)
    async with (
        bus.subscribe(Joined) as slow,
        bus.subscribe(Joined, limit=9) as roomy,
        anyio.create_task_group() as tg,
    ):
        calls = [Call() for _ in range(5)]
        for n, call in enumerate(calls):
            tg.start_soon(call.run, bus, Joined(n=n))
            await wait_all_tasks_blocked()
        assert [call.done() for call in calls] == [True, False, False, False, False]
        assert slow.receive_nowait().n == 0
        # The freed place belongs to the first that waits, not to the next that comes.
        late = Call()
        tg.start_soon(late.run, bus, Joined(n=5))
        await wait_all_tasks_blocked()
        assert [call.done() for call in [*calls, late]] == [True, True, False, False, False, False]
        assert read_all(slow) == [1, 2, 3, 4, 5]
        assert read_all(roomy) == [0, 1, 2, 3, 4, 5]


async def test_an_observer_loses_the_oldest_and_counts() -> None:
    bus = EventBus()
    async with (
        bus.subscribe(Joined, observer=True, limit=2) as watcher,
        bus.subscribe(Joined, limit=5) as lossless,
    ):
        for n in range(5):
            publish_at_once(bus, Joined(n=n))
        assert (read_all(watcher), watcher.dropped) == ([3, 4], 3)
        assert (read_all(lossless), lossless.dropped) == ([0, 1, 2, 3, 4], 0)


async def test_a_sleeping_observer_wakes() -> None:
    bus = EventBus()
    async with bus.subscribe(Joined, observer=True, limit=1) as watcher, anyio.create_task_group() as tg:
        seen: list[Joined] = []

        async def watch() -> None:
            seen.append(await watcher.receive())

        tg.start_soon(watch)
        await wait_all_tasks_blocked()
        for n in range(3):
            publish_at_once(bus, Joined(n=n))
    assert ([event.n for event in seen], watcher.dropped) == ([2], 2)


# --- leaving and cancellation --------------------------------------------------------------------------


async def test_an_exception_in_the_block_is_the_callers_and_frees_publishers() -> None:
    bus = EventBus(limit=1)
    waiting = Call()

    async def fail(tg: TaskGroup) -> None:
        async with bus.subscribe(Joined):
            publish_at_once(bus, Joined())
            tg.start_soon(waiting.run, bus, Joined())
            await wait_all_tasks_blocked()
            raise ZeroDivisionError("mine")

    async with anyio.create_task_group() as tg:
        with pytest.raises(ZeroDivisionError, match="mine"):
            await fail(tg)
    assert waiting.done()
    publish_at_once(bus, Joined())


async def test_a_publisher_waits_for_the_last_of_several_full_subscribers() -> None:
    bus = EventBus(limit=1)
    waiting = Call()
    async with bus.subscribe(Joined) as first, anyio.create_task_group() as tg:
        async with bus.subscribe(Joined):
            publish_at_once(bus, Joined(n=0))
            tg.start_soon(waiting.run, bus, Joined(n=1))
            await wait_all_tasks_blocked()
            assert read_all(first) == [0, 1]
            await wait_all_tasks_blocked()
            assert not waiting.done()
        await wait_all_tasks_blocked()
        assert waiting.done()


async def test_a_cancelled_publisher_takes_its_event_back() -> None:
    bus = EventBus(limit=1)
    async with (
        bus.subscribe(Joined) as reading,
        bus.subscribe(Joined) as stuck,
        bus.subscribe(Joined, limit=9) as roomy,
        anyio.create_task_group() as tg,
    ):
        calls = [Call() for _ in range(4)]
        for n, call in enumerate(calls):
            tg.start_soon(call.run, bus, Joined(n=n))
            await wait_all_tasks_blocked()
        assert reading.receive_nowait().n == 0  # takes event 1 in; 2 and 3 still wait
        for call in calls[1:3]:
            call.scope.cancel()
        await wait_all_tasks_blocked()
        assert read_all(reading) == [1, 3]
        assert read_all(stuck) == [0, 3]
        assert read_all(roomy) == [0, 1, 2, 3]
    assert [call.done() for call in calls] == [True, False, False, True]


async def test_giving_up_again_and_again_does_not_fill_memory() -> None:
    bus = EventBus(limit=1)
    async with bus.subscribe(object):
        publish_at_once(bus, "first")
        references = []
        for _ in range(3):
            event = Handler()  # any object that can be weakly referenced
            references.append(weakref.ref(event))
            with anyio.move_on_after(0):
                await bus.publish(event)
            del event
        gc.collect()
        # The traceback of the last cancellation may still be about.
        assert [reference() for reference in references[:-1]] == [None, None]


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_cancelled_reader_loses_nothing(cancelled_first: bool) -> None:
    bus = EventBus()
    seen: list[Joined] = []

    async def read() -> None:
        seen.append(await subscription.receive())

    async with bus.subscribe(Joined) as subscription:
        async with anyio.create_task_group() as tg:
            tg.start_soon(read)
            await wait_all_tasks_blocked()
            # Both in one step of the loop: the reader learns of them together.
            if cancelled_first:
                tg.cancel_scope.cancel()
            publish_at_once(bus, Joined(n=1))
            tg.cancel_scope.cancel()
        publish_at_once(bus, Joined(n=2))
        assert [event.n for event in seen] + read_all(subscription) == [1, 2]


async def test_one_task_waits_at_a_time() -> None:
    bus = EventBus()
    async with bus.subscribe(Joined) as subscription, anyio.create_task_group() as tg:
        tg.start_soon(subscription.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError, match="reading from"):
            await subscription.receive()
        publish_at_once(bus, Joined())


async def test_a_reader_can_take_a_cancelled_ones_place() -> None:
    bus = EventBus()
    async with bus.subscribe(Joined) as subscription, anyio.create_task_group() as tg:
        for _ in range(2):
            with anyio.move_on_after(0):
                await subscription.receive()
        got = []

        async def take_its_place() -> None:
            got.append(await subscription.receive())

        tg.start_soon(take_its_place)
        await wait_all_tasks_blocked()
        publish_at_once(bus, Joined())
    assert got == [Joined()]


async def test_reading_after_leaving_is_an_error() -> None:
    bus = EventBus()

    async def read() -> None:
        with pytest.raises(anyio.ClosedResourceError, match="'log' is read outside"):
            await subscription.receive()

    async with anyio.create_task_group() as tg:
        async with bus.subscribe(Joined, name="log") as subscription:
            tg.start_soon(read)
            await wait_all_tasks_blocked()
        await read()


# --- closing -------------------------------------------------------------------------------------------


async def test_a_closed_bus_takes_no_events_and_no_subscribers() -> None:
    bus = EventBus()
    bus.close()
    bus.close()
    with pytest.raises(anyio.ClosedResourceError, match="Joined not published: the event bus is closed"):
        await bus.publish(Joined())
    with pytest.raises(anyio.ClosedResourceError, match="'log' cannot subscribe: the event bus is closed"):
        async with bus.subscribe(Joined, name="log"):
            pass


async def test_closing_lets_subscribers_drain_and_waiting_publishers_finish() -> None:
    bus = EventBus(limit=1)
    async with bus.subscribe(Joined) as subscription, anyio.create_task_group() as tg:
        calls = [Call() for _ in range(3)]
        for n, call in enumerate(calls):
            tg.start_soon(call.run, bus, Joined(n=n))
            await wait_all_tasks_blocked()
        bus.close()
        assert [event.n async for event in subscription] == [0, 1, 2]
        with pytest.raises(anyio.EndOfStream):
            await subscription.receive()
        with pytest.raises(anyio.EndOfStream):
            subscription.receive_nowait()
    assert all(call.done() for call in calls)


async def test_closing_ends_sleeping_readers() -> None:
    bus = EventBus()
    async with bus.subscribe(Joined) as subscription, anyio.create_task_group() as tg:
        with pytest.raises(anyio.WouldBlock):
            subscription.receive_nowait()

        async def read() -> None:
            with pytest.raises(anyio.EndOfStream):
                await subscription.receive()

        tg.start_soon(read)
        await wait_all_tasks_blocked()
        bus.close()


# --- handlers ------------------------------------------------------------------------------------------


class Handler:
    """Records what it is given and fails on it if told to."""

    def __init__(self, fails: Callable[[object], bool] = lambda _: False) -> None:
        self.seen: list[object] = []
        self.fails = fails

    async def __call__(self, event: object) -> None:
        self.seen.append(event)
        if self.fails(event):
            raise ValueError(f"no good: {type(event).__name__}")


def always(_: object) -> bool:
    return True


async def test_a_served_handler_gets_every_event_from_its_start_to_the_closing() -> None:
    bus, handler = EventBus(limit=1), Handler()
    async with anyio.create_task_group() as tg:
        subscription = await tg.start(partial(bus.serve, handler, Joined, name="log"))
        assert subscription.name == "log"
        for n in range(5):
            await bus.publish(Joined(n=n))
        bus.close()
    assert handler.seen == [Joined(n=n) for n in range(5)]


async def test_a_failing_handler_is_reported_and_goes_on() -> None:
    bus, handler = EventBus(), Handler(lambda event: event == Joined(n=1))
    async with bus.subscribe(SubscriberFailed) as failures:
        async with anyio.create_task_group() as tg:
            await tg.start(partial(bus.serve, handler, Joined, name="planner"))
            for n in range(3):
                publish_at_once(bus, Joined(n=n))
            bus.close()
        assert handler.seen == [Joined(n=0), Joined(n=1), Joined(n=2)]
        assert [report async for report in failures] == [
            SubscriberFailed(subscriber="planner", event_type="Joined", error="ValueError: no good: Joined")
        ]


async def test_an_error_that_cannot_be_printed_is_still_reported() -> None:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    async def handler(_: object) -> None:
        raise UnprintableError

    bus = EventBus()
    async with bus.subscribe(SubscriberFailed) as failures, anyio.create_task_group() as tg:
        await tg.start(partial(bus.serve, handler, Joined, name="planner"))
        publish_at_once(bus, Joined())
        assert "UnprintableError" in (await failures.receive()).error
        bus.close()


async def test_a_report_wakes_who_sleeps_and_travels_as_data() -> None:
    bus, watched = EventBus(), Handler()
    async with anyio.create_task_group() as tg:
        await tg.start(partial(bus.serve, watched, SubscriberFailed, name="watch"))
        await tg.start(partial(bus.serve, Handler(always), Joined, name="planner"))
        publish_at_once(bus, Joined())
        await wait_all_tasks_blocked()
        bus.close()
    (report,) = watched.seen
    assert msgspec.json.decode(msgspec.json.encode(report), type=SubscriberFailed) == report
    assert msgspec.to_builtins(report)["notice"] == "subscriber-failed"


async def test_an_essential_handlers_error_takes_its_owner_down() -> None:
    bus, handler = EventBus(), Handler(always)

    async def own() -> None:
        async with anyio.create_task_group() as tg:
            await tg.start(partial(bus.serve, handler, Joined, name="planner", essential=True, limit=1))
            publish_at_once(bus, Joined())

    async with bus.subscribe(SubscriberFailed) as failures:
        with pytest.raises(ExceptionGroup) as caught:
            await own()
        assert caught.group_contains(ValueError, match="no good: Joined")
        with pytest.raises(anyio.WouldBlock):
            failures.receive_nowait()
    for _ in range(3):
        publish_at_once(bus, Joined())  # it has left: nobody waits for it
    assert len(handler.seen) == 1


async def test_a_handler_can_be_an_observer() -> None:
    bus, handler = EventBus(), Handler()
    async with anyio.create_task_group() as tg:
        subscription = await tg.start(partial(bus.serve, handler, Joined, name="page", observer=True, limit=2))
        for n in range(5):
            publish_at_once(bus, Joined(n=n))
        await wait_all_tasks_blocked()
        assert (handler.seen, subscription.dropped) == ([Joined(n=3), Joined(n=4)], 3)
        bus.close()


async def test_a_handler_that_fails_on_reports_does_not_go_round_in_circles() -> None:
    bus, alone = EventBus(), Handler(always)
    async with anyio.create_task_group() as tg:
        await tg.start(partial(bus.serve, alone, Joined, SubscriberFailed, name="alone"))
        publish_at_once(bus, Joined())
        await wait_all_tasks_blocked()
        bus.close()
    assert alone.seen == [Joined()], "nobody is told of his own failure"


async def test_handlers_that_fail_on_each_others_reports_come_to_an_end() -> None:
    bus, one, two, calm = EventBus(), Handler(always), Handler(always), Handler()
    async with anyio.create_task_group() as tg:
        await tg.start(partial(bus.serve, one, Joined, SubscriberFailed, name="one"))
        await tg.start(partial(bus.serve, two, SubscriberFailed, name="two"))
        await tg.start(partial(bus.serve, calm, SubscriberFailed, name="calm"))
        publish_at_once(bus, Joined())
        await wait_all_tasks_blocked()
        bus.close()
    assert [(e.subscriber, e.event_type) for e in calm.seen if isinstance(e, SubscriberFailed)] == [
        ("one", "Joined"),
        ("two", "SubscriberFailed"),
    ]


async def test_reporting_never_waits_not_even_for_full_subscribers_that_fail() -> None:
    bus = EventBus(limit=1)
    gate = anyio.Event()

    async def handler(_: object) -> None:
        await gate.wait()
        raise ValueError

    async with (
        bus.subscribe(SubscriberFailed) as failures,
        bus.subscribe(SubscriberFailed, observer=True) as watcher,
        anyio.create_task_group() as tg,
    ):
        first = await tg.start(partial(bus.serve, handler, Joined, SubscriberFailed, name="first"))
        second = await tg.start(partial(bus.serve, handler, Joined, SubscriberFailed, name="second"))
        calls = [Call() for _ in range(4)]
        for call in calls:  # one in each handler's hands, one in its buffer, two waiting behind that
            tg.start_soon(call.run, bus, Joined())
            await wait_all_tasks_blocked()
        assert [call.done() for call in calls] == [True, True, False, False]
        gate.set()
        await wait_all_tasks_blocked()
        assert all(call.done() for call in calls)
        # How many reports the two missed of each other depends on whose turn it was; all others add up.
        assert failures.receive_nowait().event_type == "Joined"
        assert failures.dropped == watcher.dropped >= 7
        assert first.dropped + second.dropped <= 8
        bus.close()


async def test_a_cancelled_handler_leaves_nothing_behind() -> None:
    bus = EventBus(limit=1)
    waiting = Call()
    async with bus.subscribe(SubscriberFailed) as failures, anyio.create_task_group() as outer:
        async with anyio.create_task_group() as tg:

            async def handler(_: object) -> None:
                await anyio.sleep_forever()

            await tg.start(partial(bus.serve, handler, Joined, name="planner"))
            publish_at_once(bus, Joined())
            await wait_all_tasks_blocked()
            publish_at_once(bus, Joined())
            outer.start_soon(waiting.run, bus, Joined())
            await wait_all_tasks_blocked()
            assert not waiting.done()
            tg.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        assert waiting.done()
        with pytest.raises(anyio.WouldBlock):
            failures.receive_nowait()


# --- any interleaving, any cancellation ----------------------------------------------------------------


@dataclass(kw_only=True)
class Actor:
    """A task that pauses as told between its steps, and may be cancelled after some scheduling points."""

    pauses: list[int]
    cancel_after: int | None = None
    scope: anyio.CancelScope = field(init=False)
    finished: bool = False

    async def cancel_in_time(self) -> None:
        if self.cancel_after is not None:
            for _ in range(self.cancel_after):
                await checkpoint()
            self.scope.cancel()


@dataclass(kw_only=True)
class Publisher(Actor):
    """Publishes one event after each pause."""


@dataclass(kw_only=True)
class Reader(Actor):
    """Pauses after each event; stops when the bus is closed."""

    limit: int = 1
    observer: bool = False
    served: bool = False
    seen: list[int] = field(default_factory=list)
    dropped: Callable[[], int] = int


class Scenario:
    """Publishers and readers on one bus, and what must be true of them whatever happens."""

    def __init__(self, publishers: list[Publisher], readers: list[Reader]) -> None:
        self.bus = EventBus()
        self.publishers = publishers
        self.readers = readers
        self.called: list[int] = []  # events in the order in which publish was called
        self.returned: set[int] = set()

    async def run(self) -> None:
        for actor in [*self.publishers, *self.readers]:
            actor.scope = anyio.CancelScope()
        with anyio.fail_after(20):  # real seconds: only a deadlock takes that long
            async with anyio.create_task_group() as readers:
                for reader in self.readers:
                    await readers.start(self.read, reader)
                for actor in [*self.publishers, *self.readers]:
                    readers.start_soon(actor.cancel_in_time)
                async with anyio.create_task_group() as publishers:
                    for publisher in self.publishers:
                        publishers.start_soon(self.publish, publisher)
                self.bus.close()
        for reader in self.readers:
            self.check_order(reader)

    async def publish(self, publisher: Publisher) -> None:
        with publisher.scope:
            for pause in publisher.pauses:
                for _ in range(pause):
                    await checkpoint()
                n = len(self.called)
                self.called.append(n)
                await self.bus.publish(Joined(n=n))
                self.returned.add(n)
                self.check_memory()
            publisher.finished = True

    async def read(self, reader: Reader, *, task_status: TaskStatus[None]) -> None:
        pauses = cycle(reader.pauses)

        async def handle(event: Joined) -> None:
            reader.seen.append(event.n)
            for _ in range(next(pauses)):
                await checkpoint()

        class Started(TaskStatus[Subscription[Joined]]):
            def started(self, value: Subscription[Joined] | None = None) -> None:
                assert value is not None
                reader.dropped = lambda: value.dropped
                task_status.started()

        with reader.scope:
            if reader.served:
                await self.bus.serve(
                    handle,
                    Joined,
                    name="",
                    observer=reader.observer,
                    limit=reader.limit,
                    task_status=Started(),
                )
            else:
                async with self.bus.subscribe(Joined, observer=reader.observer, limit=reader.limit) as subscription:
                    Started().started(subscription)
                    async for event in subscription:
                        await handle(event)
            reader.finished = True

    def check_memory(self) -> None:
        for reader in self.readers:
            if not reader.scope.cancel_called:
                assert len(self.returned.difference(reader.seen)) - reader.dropped() <= reader.limit

    def check_order(self, reader: Reader) -> None:
        seen = set(reader.seen)
        assert reader.seen == [n for n in self.called if n in seen], "out of order, or twice"
        due = self.called if reader.finished else self.called[: 1 + max(reader.seen, default=-1)]
        if not reader.observer:
            assert reader.dropped() == 0
            assert not self.returned.intersection(due) - seen, "published and lost"
        elif reader.finished:
            assert len(reader.seen) + reader.dropped() == len(self.called)


pauses = st.lists(st.integers(0, 2), min_size=1, max_size=8)
never_or_sometime = st.none() | st.integers(0, 15)
publishers = st.builds(Publisher, pauses=pauses, cancel_after=never_or_sometime)
readers = st.builds(
    Reader,
    pauses=pauses,
    cancel_after=never_or_sometime,
    limit=st.integers(1, 3),
    observer=st.booleans(),
    served=st.booleans(),
)


@given(publishers=st.lists(publishers, min_size=1, max_size=4), readers=st.lists(readers, min_size=1, max_size=4))
@settings(deadline=None, max_examples=150)
async def test_order_and_completeness_in_any_interleaving(publishers: list[Publisher], readers: list[Reader]) -> None:
    await Scenario(publishers, readers).run()


@pytest.mark.parametrize("victim", range(5))
async def test_cancellation_at_any_await_harms_nobody_else(victim: int) -> None:
    for cancel_after in count():
        publishers = [Publisher(pauses=[0, 1, 0, 0]), Publisher(pauses=[0, 0, 2, 0])]
        readers = [
            Reader(pauses=[0, 1], limit=1),
            Reader(pauses=[2, 0], limit=2, served=True),
            Reader(pauses=[1], limit=1, observer=True),
        ]
        actors: list[Actor] = [*publishers, *readers]
        actors[victim].cancel_after = cancel_after
        await Scenario(publishers, readers).run()
        assert all(actor.finished for i, actor in enumerate(actors) if i != victim)
        if actors[victim].finished:
            break
    assert cancel_after > 3, "the victim was never caught at work"
