"""Federation time: how long the coordinator was up, summed over its lives."""

import asyncio
from collections.abc import Callable


class FederationClock:
    """Tells federation time, in seconds, by the event loop's clock, and calls back at one of its times."""

    def __init__(self) -> None:
        self._start = 0.0
        self._started_at = 0.0
        self._reached = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, latest_at: float) -> None:
        """Go on where the log ends; the time that the coordinator was down does not count."""
        self._start = self._reached = latest_at
        self._loop_time = asyncio.get_running_loop().time  # asked once: it costs a system call before Python 3.12
        self._started_at = self._loop_time()

    @property
    def now(self) -> float:
        """The time; none that was waited for is still to come."""
        return max(self.at(self._loop_time()), self._reached)

    def at(self, loop_time: float) -> float:
        """Return the federation time of a moment of the event loop's clock; what was before the start is the start."""
        return self._start + max(loop_time - self._started_at, 0.0)

    def call_at(self, due_at: float, call: Callable[[], None]) -> None:
        """Call back when it is ``due_at``, unless `cancel` or another `call_at` comes before."""
        self.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(due_at - self._start + self._started_at, self._reach, due_at, call)

    def cancel(self) -> None:
        """Do not call back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reach(self, due_at: float, call: Callable[[], None]) -> None:
        # The loop's time may be short of it by a rounding error. Asking again would not help where time stands still.
        self._reached = max(due_at, self._reached)
        call()
