"""Runs what waits on the network until it ends, or until the program is told to."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from tierwise.core.learning import FitStopped, StopToken
from tierwise.runtime.cli.interrupt import run_abandonable
from tierwise.runtime.exceptions import unwrapped

T = TypeVar("T")

PARTING_S: Final = 8.0
"""How long taking leave may take, after the signal: of the broker, of the disk. A second signal ends it at once."""
_GLANCE_S: Final = 0.1


def run_until_told(main: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine on an event loop of its own, and cancel it at SIGINT or SIGTERM.

    Returns
    -------
    object
        What ``main`` returned.

    Raises
    ------
    Interrupted
        After a signal, when everything is closed, or `PARTING_S` later.
    """
    return run_abandonable(lambda stop: anyio.run(_heeding, main, stop), patience_s=PARTING_S)


async def _heeding(main: Callable[[], Awaitable[T]], stop: StopToken) -> T:
    results: list[T] = []
    with unwrapped():
        async with anyio.create_task_group() as tasks:

            async def heed() -> None:
                while not _told(stop):  # noqa: ASYNC110  (a token cannot wake anybody)
                    await anyio.sleep(_GLANCE_S)
                tasks.cancel_scope.cancel()

            tasks.start_soon(heed)
            results.append(await main())
            tasks.cancel_scope.cancel()
    if not results:
        raise FitStopped
    return results[0]


def _told(stop: StopToken) -> bool:
    try:
        stop.check()
    except FitStopped:
        return True
    return False
