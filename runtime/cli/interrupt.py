"""Ctrl-C within a second, whatever computes.

A signal's handler runs between two instructions of the main thread's Python, so a long call into C would keep it from
running. Therefore the work is done in another thread, and the main thread waits for nothing but its end and signals.
When it is told to stop, it tells the work, gives it a moment, and leaves it.
"""

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, Generic, TypeVar

from tierwise.core.learning import StopToken

T = TypeVar("T")

PATIENCE_S: Final = 0.6
"""How long work that was told to stop may take to do so; the rest of the second is for keeping what is finished."""
_GLANCE_S: Final = 0.2
"""Where a wait cannot be interrupted (Windows), signals are seen so often."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The user, or the system, asked the program to end.

    Like `KeyboardInterrupt` it is no `Exception`, and goes through whatever handles those.

    Parameters
    ----------
    signum
        The signal.
    abandoned
        Whether the work did not stop when it was told to, and may go on for a while in its thread.
    """

    def __init__(self, signum: int, *, abandoned: bool) -> None:
        super().__init__(signum)
        self.signum = signum
        self.abandoned = abandoned


class _Work(threading.Thread, Generic[T]):
    """Computes in a daemon thread, which does not keep the program from ending."""

    def __init__(self, function: Callable[[StopToken], T], stop: StopToken, inbox: "queue.SimpleQueue[int]") -> None:
        super().__init__(name="tierwise work", daemon=True)
        self._function = function
        self._token = stop
        self._inbox = inbox
        self.results: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.results.append(self._function(self._token))
        except BaseException as error:  # raised again where the work was asked for
            self.error = error
        self._inbox.put(0)


def run_abandonable(function: Callable[[StopToken], T], *, patience_s: float = PATIENCE_S) -> T:
    """Call a function in a thread and wait for it, so that Ctrl-C and SIGTERM end the wait.

    Signals are only heard during the call, and only if this is the main thread; whatever handled them before does so
    again afterwards.

    Parameters
    ----------
    function
        Takes a token that is told to stop at the first signal. What it has finished should be where the caller can
        reach it, since its result is lost when it is abandoned.
    patience_s
        How long it may then take to end; a second signal ends the wait at once.

    Returns
    -------
    object
        The function's result, even if a signal came, as long as it has finished its work.

    Raises
    ------
    Interrupted
        After a signal, if there is no result. Any other exception of the function comes as it is.
    """
    # Its `put` can be called by a signal handler that interrupts a `put` or `get` of the same thread.
    inbox: queue.SimpleQueue[int] = queue.SimpleQueue()
    stop = StopToken()
    work = _Work(function, stop, inbox)
    with _signals_to(inbox):
        work.start()
        signum = _next(inbox, None)
        if signum:
            stop.stop()
            _next(inbox, time.monotonic() + patience_s)  # the end of the work, a second signal, or neither
    if work.results:
        return work.results[0]
    if signum:
        raise Interrupted(signum, abandoned=work.error is None) from work.error
    assert work.error is not None
    raise work.error


def _next(inbox: "queue.SimpleQueue[int]", until: float | None) -> int | None:
    """Wait for the number of a signal, or 0 for the end of the work; None if neither came in time."""
    while until is None or time.monotonic() < until:
        left = _GLANCE_S if until is None else min(_GLANCE_S, max(until - time.monotonic(), 0.0))
        try:
            return inbox.get(timeout=left)
        except queue.Empty:
            continue
    return None


@contextmanager
def _signals_to(inbox: "queue.SimpleQueue[int]") -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return

    def hear(signum: int, _frame: FrameType | None) -> None:
        inbox.put(signum)

    before = {signum: signal.signal(signum, hear) for signum in _SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
