"""What waits for the federation's machine, in batches that a log can take in one commit."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import anyio

from tierwise.core import inputs as i
from tierwise.core.deciding import Rejected

BATCH_LIMIT: Final = 256
"""Inputs that are judged together."""


@dataclass(slots=True, eq=False)
class Submitted:
    """An input, and who is told of the judgement, if anybody is: the refusal, or None."""

    given: i.Input
    answer: Callable[[Rejected | None], None] | None = None


def tell(judged: asyncio.Future[None], rejected: Rejected | None) -> None:
    """Say what became of an input to whoever waits for a future, unless he is gone."""
    if judged.done():
        return
    if rejected is None:
        judged.set_result(None)
    else:
        judged.set_exception(rejected)


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

    async def filled(self) -> None:
        """Wait until something is there."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()

    async def gather(self, enough: Callable[[i.Input], bool], within_s: float) -> None:
        """Wait for more to come: until one of the inputs that are there is enough, for so many seconds at the most.

        ``enough`` is asked once for each, in their order.
        """
        asked = 0
        with anyio.move_on_after(within_s):
            while True:
                for submitted in list(self._waiting)[asked:]:
                    if enough(submitted.given):
                        return
                    asked += 1
                self._filled.clear()
                await self._filled.wait()

    async def get(self) -> list[Submitted]:
        """Take the next batch; wait for it."""
        await self.filled()
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
