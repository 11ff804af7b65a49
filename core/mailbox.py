"""A subscriber's side of the event bus: its mailbox, and the subscription that reads it.

A *mailbox* is a bounded buffer of events. A lossless one without room keeps the event in a second queue, with the
*ticket* of the ``publish`` call, which waits. Whenever the reader takes an event, the first of that queue moves up. So
order holds while publishers wait, and no publisher waits for a subscriber that is not its own.

The rule for this file: tickets wait at a mailbox only while its buffer is full, so who takes from a buffer must admit
one.
"""

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, final

import anyio

E = TypeVar("E")


@dataclass(eq=False, slots=True)
class Ticket:
    """One ``publish`` call that waits until no mailbox is `missing` its event any more."""

    missing: int
    done: anyio.Event = field(default_factory=anyio.Event)

    def settle_one(self) -> None:
        """Count one mailbox less that misses the event."""
        self.missing -= 1
        if not self.missing:
            self.done.set()


@dataclass(eq=False, slots=True)
class Mailbox:
    """A subscription as the bus sees it."""

    types: tuple[type, ...]
    name: str
    observer: bool
    limit: int
    buffer: deque[Any] = field(default_factory=deque)
    waiting: OrderedDict[Ticket, Any] = field(default_factory=OrderedDict)
    dropped: int = 0
    idle: anyio.Event | None = None  # set while the reader sleeps and nobody has woken it yet
    left: bool = False  # the reader has left its `async with` block
    ending: bool = False  # the bus is closed

    def offer(self, event: object) -> bool:
        """Deliver if there is room; an observer makes some by losing its oldest event."""
        if len(self.buffer) >= self.limit:
            if not self.observer:
                return False
            self.buffer.popleft()
            self.dropped += 1
        self.buffer.append(event)
        self.wake()
        return True

    def wake(self) -> None:
        """Wake the reader if it sleeps."""
        # Forgetting the anyio.Event makes the reader's waking cost nothing for the rest of a burst.
        if self.idle is not None:
            self.idle.set()
            self.idle = None

    def admit_one(self) -> None:
        """Move the first waiting event into the buffer."""
        ticket, event = self.waiting.popitem(last=False)
        self.buffer.append(event)
        ticket.settle_one()

    def leave(self) -> None:
        """Give up what is unread, and let publishers that wait for room go on."""
        self.left = True
        self.buffer.clear()
        for ticket in self.waiting:
            ticket.settle_one()
        self.waiting.clear()
        self.wake()


@final
class Subscription(Generic[E]):
    """One subscriber's events in the order in which they were published; an async iterator.

    Iteration ends when the bus is closed and everything published before has been read. Reading waits,
    and so yields to the loop or can be cancelled, only while there is no event: a reader that is
    cancelled loses none. One task reads at a time; a second that must wait gets `BusyResourceError`.
    """

    __slots__ = ("_buffer", "_mailbox")

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox: Final = mailbox
        self._buffer: Final[deque[E]] = mailbox.buffer

    @property
    def name(self) -> str:
        """As given, or else the names of the classes subscribed to."""
        return self._mailbox.name

    @property
    def dropped(self) -> int:
        """How many events were missed for want of room.

        For an observer: events read, buffered and dropped add up to those published. A lossless
        subscriber can miss only reports of failed handlers (see :meth:`EventBus.serve`).
        """
        return self._mailbox.dropped

    async def receive(self) -> E:
        """Take the next event; wait for it if need be.

        Raises
        ------
        anyio.EndOfStream
            The bus is closed and everything has been read.
        anyio.ClosedResourceError
            The ``async with`` block of this subscription has been left.
        """
        if not self._buffer and not await self._filled():
            raise anyio.EndOfStream
        return self._take()

    def receive_nowait(self) -> E:
        """Take the next event, as :meth:`receive`; raise `anyio.WouldBlock` if there is none yet."""
        if not self._buffer:
            raise anyio.EndOfStream if self._ended() else anyio.WouldBlock
        return self._take()

    def __aiter__(self) -> AsyncIterator[E]:
        return self

    async def __anext__(self) -> E:
        if not self._buffer and not await self._filled():
            raise StopAsyncIteration
        return self._take()

    def _take(self) -> E:
        event = self._buffer.popleft()
        if self._mailbox.waiting:
            self._mailbox.admit_one()
        return event

    def _ended(self) -> bool:
        if self._mailbox.left:
            raise anyio.ClosedResourceError(f"subscription {self.name!r} is read outside its 'async with'")
        return self._mailbox.ending

    async def _filled(self) -> bool:
        """Wait for an event; False if none will come."""
        mailbox = self._mailbox
        while not self._buffer:
            if self._ended():
                return False
            if mailbox.idle is not None:
                raise anyio.BusyResourceError("reading from")
            idle = mailbox.idle = anyio.Event()
            try:
                await idle.wait()
            finally:
                if mailbox.idle is idle:
                    mailbox.idle = None
        return True
