"""What arrived and was not taken yet."""

from collections import Counter, deque
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue that bounds what waits of each sender, so that none takes the room of the others.

    Parameters
    ----------
    limit
        Of a sender's waiting envelopes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[tuple[str, T]] = deque()
        self._of: Counter[str] = Counter()
        self._filled: anyio.Event | None = None
        """There while somebody waits."""

    def put(self, sender: str, item: T) -> bool:
        """Put something in, unless too much of its sender waits already; tell which."""
        if self._of[sender] >= self._limit:
            return False
        self._of[sender] += 1
        self._waiting.append((sender, item))
        if self._filled is not None:
            self._filled.set()
            self._filled = None
        return True

    async def get(self) -> T:
        """Take the oldest; wait for one if there is none."""
        while not self._waiting:
            self._filled = self._filled or anyio.Event()
            await self._filled.wait()
        sender, item = self._waiting.popleft()
        self._of[sender] -= 1
        if not self._of[sender]:
            del self._of[sender]
        return item
