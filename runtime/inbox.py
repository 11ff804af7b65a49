"""What waits for the federation's machine, in batches that a log can take in one commit."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tierwise.core import inputs as i
from tierwise.core.deciding import Rejected

BATCH_LIMIT: Final = 256
"""Inputs that are judged together."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """An input, and who is told of the judgement, if anybody is: the refusal, or None."""

    given: i.Input
    answer: Callable[[Rejected | None], None] | None = None


class Inbox:
    """A queue of inputs, taken in their order: one by one, but those about different devices together.

    While one batch is being written to the disk, the next one gathers.
    """

    def __init__(self) -> None:
        self._waiting: deque[Submitted] = deque()
        self._filled = asyncio.Event()

    def put(self, submitted: Submitted) -> None:
        """Put an input in."""
        self._waiting.append(submitted)
        self._filled.set()

    async def get(self) -> list[Submitted]:
        """Take the next batch; wait for it."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        batch = [self._waiting.popleft()]
        devices = set()
        if isinstance(batch[0].given, i.DeviceInput):
            devices.add(batch[0].given.device)
            while self._waiting and len(batch) < BATCH_LIMIT:
                given = self._waiting[0].given
                if not isinstance(given, i.DeviceInput) or given.device in devices:
                    break
                devices.add(given.device)
                batch.append(self._waiting.popleft())
        return batch
