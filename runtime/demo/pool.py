"""Runs the demonstration's federations in processes of their own, one for each processor, and leaves none behind."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

from tierwise.core.errors import FederationError, TierwiseError
from tierwise.core.learning import StopToken
from tierwise.plugins.manager import Plugins
from tierwise.runtime.demo.brought import Wanted
from tierwise.runtime.demo.outcome import ArmResult, run_arm
from tierwise.runtime.demo.plan import ArmName, Plan, make_plan

MOST: Final = 8
"""Processes, whatever the machine; each needs memory of its own."""
THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What tells the libraries of linear algebra, when they are loaded, how many threads to use."""
_GLANCE_S: Final = 0.1
"""How often it is seen whether all shall stop."""
_PARTING_S: Final = 2.0
"""How long a process may take to end when it is told to."""


@dataclass(frozen=True, slots=True)
class Task:
    """An arm of a seed's plan."""

    seed: int
    arm: ArmName

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.arm}"


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None


@dataclass(slots=True)
class Pool:
    """Processes that run arms.

    Parameters
    ----------
    wanted
        What the user brings.
    """

    wanted: Wanted
    _workers: list[_Worker] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator["Pool"]:
        """End all processes with the context."""
        try:
            yield self
        finally:
            self._close()

    def run(self, tasks: Sequence[Task], stop: StopToken, done: Callable[[Task, ArmResult], None]) -> None:
        """Run arms, several at a time.

        Parameters
        ----------
        tasks
            They are begun in this order.
        stop
            Ends the wait when told to; what computes then is ended with the pool.
        done
            Called with each result, in the order in which they come.

        Raises
        ------
        FitStopped
            If it was stopped.
        FederationError
            If an arm failed, or a process is gone.
        """
        stop.check()
        waiting, left = deque(tasks), len(tasks)
        self._start(min(len(tasks), os.cpu_count() or 1, MOST))
        while left:
            for worker in self._workers:
                if worker.task is None and waiting:
                    worker.task = waiting.popleft()
                    _ask(worker, worker.task)
            stop.check()
            ready = wait([worker.pipe for worker in self._workers if worker.task is not None], _GLANCE_S)
            for worker in self._workers:
                if worker.pipe in ready and worker.task is not None:
                    task, worker.task = worker.task, None
                    done(task, _answer(worker, task))
                    left -= 1

    def _start(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        with _deaf(), _one_thread_each():
            while len(self._workers) < count:
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, self.wanted), daemon=True)
                process.start()
                theirs.close()  # so that its end is heard
                self._workers.append(_Worker(process, ours))

    def _close(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_PARTING_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
        self._workers.clear()


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


def _ask(worker: _Worker, task: Task) -> None:
    try:
        worker.pipe.send(task)
    except OSError as error:  # it ended before it was asked
        raise _gone(worker, task) from error


def _answer(worker: _Worker, task: Task) -> ArmResult:
    try:
        answer = worker.pipe.recv()
    except (EOFError, OSError) as error:
        raise _gone(worker, task) from error
    if isinstance(answer, ArmResult):
        return answer
    raise FederationError(f"{task}: {answer}")


def _gone(worker: _Worker, task: Task) -> FederationError:
    worker.process.join(_PARTING_S)
    return FederationError(f"{task}: its process is gone, with {worker.process.exitcode}")


# -- in the processes


def _serve(pipe: Connection, wanted: Wanted) -> None:
    """Run what is asked for until nobody is there to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plugins = Plugins.discover()

    @lru_cache(maxsize=2)
    def plan(seed: int) -> Plan:
        return make_plan(seed, plugins, wanted)

    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        answer: ArmResult | str
        try:
            answer = run_arm(plan(task.seed), task.arm, plugins, StopToken())
        except TierwiseError as error:
            answer = str(error)
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return
