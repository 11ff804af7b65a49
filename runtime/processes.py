"""Processes of this machine that compute for us: started here, deaf to Ctrl-C, and none of them left behind."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Concatenate, Final, ParamSpec

P = ParamSpec("P")

THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What tells the libraries of linear algebra, when they are loaded, how many threads to use."""
_PARTING_S: Final = 2.0
"""How long a process may take to end when it is told to."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnProcess:
    """A process, and our end of the pipe to it."""

    process: BaseProcess
    pipe: Connection

    def last_words(self) -> str:
        """Tell how it ended; for when its end of the pipe is closed."""
        self.process.join(_PARTING_S)
        return f"its process is gone, with {self.process.exitcode}"


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(
    count: int, serve: Callable[Concatenate[Connection, P], None], *arguments: P.args, **more: P.kwargs
) -> list[OwnProcess]:
    """Start processes that serve until their pipe ends.

    They begin with what ``serve`` imports, and without the program's main module, so that a script needs no guard
    against being run again.

    Parameters
    ----------
    count
        How many.
    serve
        A function of a module, called in the process with its end of the pipe and the arguments, which are pickled.
    """
    context = multiprocessing.get_context("spawn")
    started: list[OwnProcess] = []
    try:
        with _deaf(), _one_thread_each(), _without_main():
            while len(started) < count:
                ours, theirs = context.Pipe()
                process = context.Process(target=_run, args=(serve, theirs, arguments, more), daemon=True)
                process.start()
                theirs.close()  # so that its end is heard
                started.append(OwnProcess(process, ours))
    except BaseException:
        end(started)
        raise
    return started


def end(processes: Sequence[OwnProcess]) -> None:
    """End processes, whatever they are doing."""
    for one in processes:
        one.process.terminate()
    for one in processes:
        one.process.join(_PARTING_S)
        if one.process.is_alive():
            one.process.kill()
            one.process.join()
        one.pipe.close()


def _run(serve: Callable[..., None], pipe: Connection, arguments: tuple[object, ...], more: dict[str, object]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(pipe, *arguments, **more)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that are started here compute in one thread, unless the user set another number.

    There is one for each processor already; threads of theirs would only wait for each other, and burn time with it.
    """
    ours = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(ours, "1"))
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


@contextmanager
def _deaf() -> Iterator[None]:
    """Let processes that are started here not hear Ctrl-C, from their first instruction on: we end them in order."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would lift the block when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Let processes that are started here not import the main module: what they run is never in it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
