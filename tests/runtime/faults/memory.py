"""What a process has of the machine, watched while something happens to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import psutil


@dataclass
class Having:
    """What a process has.

    Attributes
    ----------
    rss
        Bytes of memory, those of mapped files among them.
    own
        Bytes of memory that no file stands for.
    files, threads
        How many are open, and run.
    """

    rss: int
    own: int
    files: int
    threads: int


def having(pid: int) -> Having:
    """Look at a process."""
    process = psutil.Process(pid)
    with process.oneshot():
        memory = process.memory_info()
        return Having(memory.rss, memory.rss - memory.shared, process.num_fds(), process.num_threads())


@dataclass
class Peak:
    """The most memory of its own that a process had, in bytes."""

    own: int = 0


@asynccontextmanager
async def peak_of(pid: int) -> AsyncIterator[Peak]:
    """Watch a process as long as the context lasts."""
    peak = Peak()

    async def watch() -> None:
        while True:
            peak.own = max(peak.own, having(pid).own)
            await anyio.sleep(0.02)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        yield peak
        tasks.cancel_scope.cancel()
