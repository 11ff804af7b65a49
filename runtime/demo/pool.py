"""Runs the demonstration's federations in processes of their own, one for each processor, and leaves none behind."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Connection, wait
from typing import Final

from tierwise.core.errors import FederationError, TierwiseError
from tierwise.core.learning import StopToken
from tierwise.plugins.manager import Plugins
from tierwise.runtime.demo.brought import Wanted
from tierwise.runtime.demo.outcome import ArmResult, run_arm
from tierwise.runtime.demo.plan import ArmName, Plan, make_plan
from tierwise.runtime.processes import OwnProcess, end, processors, start

MOST: Final = 8
"""Processes, whatever the machine; each needs memory of its own."""
_GLANCE_S: Final = 0.1
"""How often it is seen whether all shall stop."""


@dataclass(frozen=True, slots=True)
class Task:
    """An arm of a seed's plan."""

    seed: int
    arm: ArmName

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.arm}"


@dataclass(slots=True)
class _Worker:
    own: OwnProcess
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
            end([worker.own for worker in self._workers])
            self._workers.clear()

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
        count = min(len(tasks), processors(), MOST)
        self._workers += map(_Worker, start(count - len(self._workers), _serve, self.wanted))
        while left:
            for worker in self._workers:
                if worker.task is None and waiting:
                    worker.task = waiting.popleft()
                    _ask(worker, worker.task)
            stop.check()
            ready = wait([worker.own.pipe for worker in self._workers if worker.task is not None], _GLANCE_S)
            for worker in self._workers:
                if worker.own.pipe in ready and worker.task is not None:
                    task, worker.task = worker.task, None
                    done(task, _answer(worker, task))
                    left -= 1


def _ask(worker: _Worker, task: Task) -> None:
    try:
        worker.own.pipe.send(task)
    except OSError as error:  # it ended before it was asked
        raise _gone(worker, task) from error


def _answer(worker: _Worker, task: Task) -> ArmResult:
    try:
        answer = worker.own.pipe.recv()
    except (EOFError, OSError) as error:
        raise _gone(worker, task) from error
    if isinstance(answer, ArmResult):
        return answer
    raise FederationError(f"{task}: {answer}")


def _gone(worker: _Worker, task: Task) -> FederationError:
    return FederationError(f"{task}: {worker.own.last_words()}")


# -- in the processes


def _serve(pipe: Connection, wanted: Wanted) -> None:
    """Run what is asked for until nobody is there to ask."""
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
