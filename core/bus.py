"""The event bus: typed subscriptions, one order for all, backpressure, lossy observers.

Every subscription has a mailbox (`tierwise.core.mailbox`). ``publish`` looks up the mailboxes of the event's class
and delivers to all of them at once, so the order of the calls is the order in every mailbox, whatever tasks they come
from.

The rule for this file: between the look-up of mailboxes and the last delivery there is no ``await``.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from traceback import format_exception_only
from typing import Final, TypeVar, final

import anyio
from anyio.abc import TaskStatus

from tierwise.core.events import Notice
from tierwise.core.mailbox import Mailbox, Subscription, Ticket

E = TypeVar("E")

__all__ = ["EventBus", "SubscriberFailed", "Subscription"]


class SubscriberFailed(Notice, frozen=True, kw_only=True, tag="subscriber-failed"):
    """A handler that :meth:`EventBus.serve` runs raised an exception; it goes on with its next event."""

    subscriber: str
    """The name under which the handler is served."""
    event_type: str
    """The name of the class of the event that it failed on."""
    error: str
    """The exception's class and message."""


@final
class EventBus:
    """Takes events from whoever publishes to whoever subscribed to their class.

    An event is any object. It goes once to each subscriber that asked for its class or one of its bases;
    it is shared and not copied, so it should be immutable.

    - *Order.* Every subscriber sees events in the order of the ``publish`` calls, from whatever tasks.
    - *Memory.* A subscriber's buffer holds at most `limit` events. Beside it a lossless one holds one
      event for each ``publish`` call that is still waiting.
    - *Ownership.* The bus starts no tasks: what runs, runs in its callers' task groups, on one event
      loop of any of anyio's back-ends. It is not safe to use from several threads.

    `limit` (at least 1) is what a buffer holds where the subscription does not say otherwise.
    """

    def __init__(self, *, limit: int = 1024) -> None:
        self._limit: Final = _checked(limit)
        self._mailboxes: list[Mailbox] = []
        self._routes: dict[type, tuple[Mailbox, ...]] = {}  # a cache, emptied when subscriptions change
        self._closed = False

    async def publish(self, event: object) -> None:
        """Deliver `event` to its subscribers; wait while a lossless one has no room for it.

        It yields to the loop, and can be cancelled, only if it waits; so a task that does nothing but
        publish must yield by itself. Cancelled while it waits, it has delivered to every subscriber that
        had room or has made some meanwhile, takes the event back from the others, and repeats nothing.

        A subscriber that publishes what comes back to it, directly or round a circle of lossless
        subscribers, waits for itself once the buffers are full: break the circle with an observer, or
        publish from another task than the one that reads.

        Raises
        ------
        anyio.ClosedResourceError
            The bus is closed; nobody gets the event.
        """
        if self._closed:
            raise anyio.ClosedResourceError(f"{type(event).__name__} not published: the event bus is closed")
        try:
            route = self._routes[type(event)]
        except KeyError:
            route = self._route(type(event))
        full = []
        # This loop is the price of a delivery: `offer` is spelt out for the usual case.
        for mailbox in route:
            buffer = mailbox.buffer
            if len(buffer) < mailbox.limit:
                buffer.append(event)
                if mailbox.idle is not None:
                    mailbox.wake()
            elif not mailbox.offer(event):
                full.append(mailbox)
        if full:
            await self._wait_for_room(event, full)

    @asynccontextmanager
    async def subscribe(
        self, *types: type[E], observer: bool = False, limit: int | None = None, name: str = ""
    ) -> AsyncIterator[Subscription[E]]:
        """Subscribe to the given classes and all that derive from them, for an ``async with`` block.

        It receives what is published after the block is entered. When the block is left, whatever was
        not read is gone, and publishers stop waiting for it. Exceptions of the block pass through.

        Parameters
        ----------
        *types : type
            At least one class; ``object`` stands for every event.
        observer : bool
            Lossy by declaration, and never makes ``publish`` wait: when the buffer is full, the oldest
            event in it is lost (who watches wants the present), and counted in `Subscription.dropped`.
        limit : int, optional
            How many events the buffer holds.
        name : str
            For messages and reports.
        """
        with self._attached(types, name, observer, limit) as mailbox:
            yield Subscription(mailbox)

    async def serve(
        self,
        handler: Callable[[E], Awaitable[object]],
        *types: type[E],
        name: str,
        essential: bool = False,
        observer: bool = False,
        limit: int | None = None,
        task_status: TaskStatus[Subscription[E]] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Await `handler` for each event in turn until the bus is closed; to be run by a task group.

        ``await task_group.start(partial(bus.serve, handler, ..., name=...))`` gives the subscription as
        soon as it receives. An `Exception` from the handler is raised here, and takes the task group down,
        if the handler is `essential`. Otherwise it is published as :class:`SubscriberFailed`, and the next
        event's turn comes. So that a failure can neither block nor multiply, such a report

        - never waits: a lossless subscriber without room misses it, and counts it as dropped;
        - does not go to the subscriber that it is about;
        - is not made of a failure on a report that itself tells of a failure on a report.

        While subscribers drain a closed bus, a report reaches those that have not come to their end.
        """
        with self._attached(types, name, observer, limit) as mailbox:
            subscription = Subscription[E](mailbox)
            task_status.started(subscription)
            async for event in subscription:
                try:
                    await handler(event)
                except Exception as error:
                    if essential:
                        raise
                    self._report(mailbox, event, error)

    def close(self) -> None:
        """End publishing and subscribing; subscribers read what there is, then their iteration ends.

        What waiting ``publish`` calls hold is delivered too. Closing again does nothing.
        """
        self._closed = True
        for mailbox in self._mailboxes:
            mailbox.ending = True
            mailbox.wake()

    @contextmanager
    def _attached(self, types: tuple[type, ...], name: str, observer: bool, limit: int | None) -> Iterator[Mailbox]:
        if not types or not all(isinstance(cls, type) for cls in types):
            raise TypeError(f"a subscription takes one or more event classes ('object' for all), not {types!r}")
        name = name or ", ".join(cls.__name__ for cls in types)
        if self._closed:
            raise anyio.ClosedResourceError(f"{name!r} cannot subscribe: the event bus is closed")
        mailbox = Mailbox(types, name, observer, self._limit if limit is None else _checked(limit))
        self._mailboxes.append(mailbox)
        self._routes.clear()
        try:
            yield mailbox
        finally:
            self._mailboxes.remove(mailbox)
            self._routes.clear()
            mailbox.leave()

    def _route(self, event_class: type) -> tuple[Mailbox, ...]:
        route = tuple(mailbox for mailbox in self._mailboxes if issubclass(event_class, mailbox.types))
        self._routes[event_class] = route
        return route

    @staticmethod
    async def _wait_for_room(event: object, full: list[Mailbox]) -> None:
        ticket = Ticket(len(full))
        for mailbox in full:
            mailbox.waiting[ticket] = event
        try:
            await ticket.done.wait()
        finally:
            if ticket.missing:
                for mailbox in full:
                    mailbox.waiting.pop(ticket, None)

    def _report(self, failed: Mailbox, event: object, error: Exception) -> None:
        if isinstance(event, SubscriberFailed) and event.event_type == SubscriberFailed.__name__:
            return
        # This formatting survives an exception whose own str() raises.
        text = "".join(format_exception_only(error)).strip()
        report = SubscriberFailed(subscriber=failed.name, event_type=type(event).__name__, error=text)
        for mailbox in self._route(SubscriberFailed):
            if mailbox is not failed and not mailbox.offer(report):
                mailbox.dropped += 1


def _checked(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"limit is {limit}; a buffer must hold at least 1 event")
    return limit
