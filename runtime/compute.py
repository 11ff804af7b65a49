"""Where work that takes long is done."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


class ThreadCompute:
    """Work in worker threads: the event loop stays responsive. What is cancelled is abandoned.

    Parameters
    ----------
    workers
        Threads at the most; None leaves it to anyio (40 for the whole event loop).
    """

    def __init__(self, workers: int | None = None) -> None:
        self._limiter = None if workers is None else anyio.CapacityLimiter(workers)

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a worker thread."""
        return await anyio.to_thread.run_sync(function, abandon_on_cancel=True, limiter=self._limiter)


class InlineCompute:
    """Work right here, on the event loop: for simulations, where time stands still meanwhile."""

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function``."""
        return function()
