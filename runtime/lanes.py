"""Handles what comes of many senders side by side, and what comes of one sender in order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from anyio.abc import TaskGroup

T = TypeVar("T")

LANES: Final = 32
"""Senders whose things are handled at the same time: so many decisions may share one commit of the log."""
WAITING_LIMIT: Final = 256
"""Things that wait; who brings more has to wait himself."""


class Lanes(Generic[T]):
    """A fixed number of tasks that take turns over the senders.

    A sender that brings much waits for itself: a task takes one thing of one sender, who then goes to the end of the
    queue.

    Parameters
    ----------
    handle
        Handles one thing.
    """

    def __init__(self, handle: Callable[[T], Awaitable[None]]) -> None:
        self._handle = handle
        self._of: dict[str, deque[T]] = {}
        """What waits, by sender; a sender is here as long as anything of it waits or is handled."""
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        """Senders of whom something waits and nothing is handled."""
        self._room = asyncio.Semaphore(WAITING_LIMIT)

    def __contains__(self, sender: str) -> bool:
        """Tell whether anything of a sender waits or is handled."""
        return sender in self._of

    def start(self, tasks: TaskGroup) -> None:
        """Begin; it ends with ``tasks``."""
        for _ in range(LANES):
            tasks.start_soon(self._run)

    async def put(self, sender: str, thing: T) -> None:
        """Have a thing handled; wait for room if too many wait already."""
        await self._room.acquire()
        if sender in self._of:
            self._of[sender].append(thing)
        else:
            self._of[sender] = deque((thing,))
            self._ready.put_nowait(sender)

    async def _run(self) -> None:
        while True:
            sender = await self._ready.get()
            waiting = self._of[sender]
            thing = waiting.popleft()
            self._room.release()
            await self._handle(thing)
            if waiting:
                self._ready.put_nowait(sender)
            else:
                del self._of[sender]
