"""An asyncio event loop on virtual time.

When nothing is runnable, the clock jumps to the next timer instead of waiting for it. Work that takes real time is
done on the loop itself (`tierwise.runtime.compute.InlineCompute`), so time stands still meanwhile and can never pass a
job's due time before its result is there.

What happens to many small things has no timers: a timer, a task's waking and an iteration of the loop for each would
cost more than what happens. It is `Happenings`, which take place where the loop would jump.
"""

import asyncio
import itertools
import math
import selectors
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any, Protocol, Self, TypeVarTuple

from tierwise.core.errors import TierwiseError

Ts = TypeVarTuple("Ts")


class SimulationStalledError(TierwiseError):
    """Nothing is runnable and nothing is scheduled: what the simulation waits for will never happen."""


class Happenings(Protocol):
    """What happens on virtual time by itself."""

    def happen(self, until: float) -> bool:
        """Let what comes next take place, moving the clock on to it, and so on until a task has something to do.

        Parameters
        ----------
        until
            Nothing later than this: there is a timer.

        Returns
        -------
        bool
            Whether anything took place.
        """
        ...


class _Moment(float):
    """When a timer is due. Of equal moments, which asyncio leaves in any order, the one made first is less."""

    __slots__ = ("order",)
    order: int

    def __new__(cls, seconds: float, order: int) -> Self:
        moment = super().__new__(cls, seconds)
        moment.order = order
        return moment

    def __lt__(self, other: float) -> bool:
        if isinstance(other, _Moment) and float(self) == float(other):
            return self.order < other.order
        return float(self) < float(other)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time` starts at 0 and jumps.

    Of timers that are due at the same time, the one that was set first is first. Callbacks from other threads
    (``call_soon_threadsafe``) are served between jumps; the loop does not wait for them.
    """

    def __init__(self) -> None:
        self._virtual_s = 0.0
        self._order = itertools.count()
        self._happenings: tuple[Happenings, asyncio.Future[None]] | None = None
        super().__init__(_JumpingSelector(self))
        self._clock_resolution = math.ulp(0.0)

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._virtual_s

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a time; see `asyncio.AbstractEventLoop.call_at`."""
        return super().call_at(_Moment(when, next(self._order)), callback, *args, context=context)

    async def attend(self, happenings: Happenings) -> None:
        """Let happenings take place, for ever; what they raise is raised here. There is one at a time."""
        assert self._happenings is None, "there is one at a time"
        failed = self.create_future()
        self._happenings = happenings, failed
        try:
            await failed
        finally:
            self._happenings = None

    def let_happen(self, timeout: float | None) -> bool:
        """Let happenings take place that are not later than in so many seconds; tell whether there were any."""
        if self._happenings is None:
            return False
        happenings, failed = self._happenings
        try:
            return happenings.happen(math.inf if timeout is None else self._virtual_s + timeout)
        except Exception as error:
            if not failed.done():
                failed.set_exception(error)
            return True

    def jump(self, seconds: float) -> None:
        """Move the clock on."""
        self.jump_to(self._virtual_s + seconds)

    def jump_to(self, when: float) -> None:
        """Move the clock on to a time."""
        self._virtual_s = when
        # asyncio runs what is due before the time plus this. The system clock's 1 ns, after 200 days less than what
        # a float can hold, would leave a timer that is due right now for ever in front of the loop.
        self._clock_resolution = math.ulp(self._virtual_s)


class _JumpingSelector(selectors.BaseSelector):
    """Where the loop would sleep, it jumps. Everything else is the real selector's."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return []  # what comes from outside is looked for between jumps, which costs a system call
        if ready := self._real.select(0):
            return ready
        if self._loop.let_happen(timeout):
            return []
        if timeout is None:
            raise SimulationStalledError(
                "the simulation waits for something that will never happen: no timer is set and no task can run"
            )
        self._loop.jump(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()
