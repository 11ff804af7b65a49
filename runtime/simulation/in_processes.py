"""Jobs of simulated devices in worker processes, several at a time.

What is begun waits, the job that is due first in front, until a process has room for it: so what is dropped in time is
never computed, and what is wanted next is there first. Small jobs travel in batches of a few milliseconds' work, large
ones on their own. A process may have the next batch before it has done with one, if the message is short enough for the
pipe to hold it; a longer one waits until the process reads. So neither side ever waits for the other to read.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Final

from tierwise.core.errors import FederationError
from tierwise.core.ids import DeviceId, TierName
from tierwise.core.learning import FitStopped, LocalData, StopToken
from tierwise.core.task import Task
from tierwise.core.tiers import Tier
from tierwise.core.work import Job, JobDone, UpdateNamer, content_name
from tierwise.plugins.manager import Plugins
from tierwise.runtime.exceptions import told_to_coordinator
from tierwise.runtime.learners import Learners
from tierwise.runtime.processes import OwnProcess, end, start
from tierwise.runtime.simulation import orders as o
from tierwise.runtime.simulation.lent_memory import LentModels, LentRooms, ask_of
from tierwise.runtime.simulation.serving import Setup, serve
from tierwise.runtime.simulation.shared_data import share
from tierwise.runtime.simulation.shared_memory import OwnMemory
from tierwise.runtime.simulation.waiting_jobs import MOST, Begun, Outcome, WaitingJobs
from tierwise.runtime.simulation.workers import BegunJob, JobFailed

_BATCH_S: Final = 0.003
"""Work that is sent at once, if it is of jobs so small: what a message costs is little beside it."""
_ROOM: Final = 2
"""Batches that a process has at the most: one that it does, one that comes next."""
_SHORT: Final = 4096
"""Bytes of a message that any pipe holds while nobody reads."""
_AHEAD: Final = 256 << 20
"""Bytes of updates that may be there, or under way, before they are due."""
_GLANCE_S: Final = 0.1
"""How often it is seen whether the simulation shall stop."""
_LOOK_S: Final = 0.001
"""How often it is seen, between two jobs, whether a process has room."""


@contextmanager
def in_processes(
    count: int,
    data: Mapping[DeviceId, LocalData],
    task: Task,
    plugins: Plugins,
    stop: StopToken,
    name: UpdateNamer = content_name,
) -> Iterator["InProcesses"]:
    """Start processes that do jobs, and end them, whatever they are doing, with the context.

    Parameters
    ----------
    count
        How many.
    data
        Each device's own, as its models get it.
    task, plugins
        What learners are made from, in each process anew.
    stop
        Ends the wait for results when told to.
    name
        Names updates.

    Raises
    ------
    ConfigurationError
        If there is not enough memory that can be shared.
    """
    memory = OwnMemory()
    processes: list[OwnProcess] = []
    try:
        flags = memory.make(count * _ROOM * MOST)
        setup = Setup(plugins, task, share(data, memory), flags, name)
        del data  # it may be a copy of the user's
        processes = start(count, serve, setup)
        yield InProcesses(processes, memory, flags, Learners(plugins, task), stop)
    finally:
        end(processes)
        memory.remove()


@dataclass(slots=True, eq=False)
class _Worker:
    own: OwnProcess
    batches: list[int] = field(default_factory=list)
    """How many jobs of each batch are not answered yet, the oldest first."""
    kept: bytes = b""
    """The last batch, until the process reads it at once."""
    tiers: dict[TierName, Tier] = field(default_factory=dict)
    """Those that it knows."""


class InProcesses:
    """Does jobs in processes; made by `in_processes`.

    Parameters
    ----------
    processes
        Who does them.
    memory
        Where models and updates are.
    flags
        Names the segment with a byte for each ticket.
    learners
        As the processes should have them.
    stop
        Ends the wait for results.
    """

    def __init__(
        self,
        processes: Sequence[OwnProcess],
        memory: OwnMemory,
        flags: str,
        learners: Learners,
        stop: StopToken,
    ) -> None:
        self._workers = [_Worker(own) for own in processes]
        self._memory = memory
        self._flags = flags
        self._learners = learners
        self._stop = stop
        self._models = LentModels(memory)
        self._rooms = LentRooms(memory)
        self._waiting = WaitingJobs()
        self._tickets = list(range(len(processes) * _ROOM * MOST))
        self._handed: dict[int, tuple[Begun, o.Order]] = {}
        """What processes have, by ticket."""
        self._ahead_bytes = 0
        """Of updates that are there and not due, or under way."""
        self._looked_at = 0.0

    def begin(self, device: DeviceId, job: Job, due_at: float) -> BegunJob:
        """Have it done as soon as a process has room; small jobs wait until they are enough for a batch."""
        begun = Begun(device, job)
        self._models.expect(job)
        self._waiting.push(begun, due_at)
        self._look()
        return _Handle(self, begun)

    def take(self, begun: Begun) -> JobDone | JobFailed:
        """Return what came of a job."""
        self._stop.check()
        self._look()
        while begun.outcome is None:
            self._hand_out(few=True)
            self._collect(_GLANCE_S)
            self._stop.check()
        self._ahead_bytes -= begun.size_bytes
        if isinstance(begun.outcome, Exception):
            raise begun.outcome
        return begun.outcome

    def drop(self, begun: Begun) -> None:
        """Let a job go."""
        begun.dropped = True
        if begun.ticket is not None:
            self._memory.whole(self._flags)[begun.ticket] = 1  # the rest is done when its process has answered
        elif begun.outcome is not None:
            self._ahead_bytes -= begun.size_bytes
        else:
            self._waiting.discard(begun)
            self._models.release(begun.job)

    def _look(self) -> None:
        """See now and then whether a process has room."""
        now = time.perf_counter()
        if len(self._waiting) and now - self._looked_at > _LOOK_S:
            self._looked_at = now
            self._collect(0)
            self._hand_out()

    # -- to the processes

    def _hand_out(self, *, few: bool = False) -> None:
        """Give what waits to processes that have room; unless somebody waits for it, no less than a batch."""
        while (seconds := self._waiting.seconds) >= (0.0 if few else _BATCH_S) and len(self._waiting):
            worker = min(self._workers, key=lambda one: sum(one.batches))
            if len(worker.batches) >= _ROOM:
                return
            # What is due next is always let through, or nobody would ever be done.
            allowed = max(_AHEAD - self._ahead_bytes, 0) if self._handed else sys.maxsize
            jobs = self._waiting.pop(min(_BATCH_S, seconds / len(self._workers)), allowed)
            if not jobs:
                return
            self._hand(worker, jobs)

    def _hand(self, worker: _Worker, jobs: list[Begun]) -> None:
        message = o.ENCODER.encode(self._batch(worker, jobs))
        idle = not worker.batches
        worker.batches.append(len(jobs))
        if idle or len(message) <= _SHORT:
            self._send(worker, message)
        else:
            worker.kept = message

    def _batch(self, worker: _Worker, jobs: list[Begun]) -> o.Batch:
        tiers: list[Tier] = []
        asks: list[o.Ask] = []
        orders: list[o.Order] = []
        for begun in jobs:
            tier = begun.job.tier
            if worker.tiers.get(tier.name) != tier:
                worker.tiers[tier.name] = tier
                tiers.append(tier)
            ask = ask_of(begun.job, self._models.place(begun.job))
            if ask not in asks:
                asks.append(ask)
            begun.ticket = self._tickets.pop()
            order = self._rooms.order(begun, begun.ticket, asks.index(ask))
            self._handed[begun.ticket] = begun, order
            self._ahead_bytes += begun.size_bytes
            orders.append(order)
        return o.Batch(tiers, asks, orders)

    def _send(self, worker: _Worker, message: bytes) -> None:
        try:
            worker.own.pipe.send_bytes(message)
        except OSError as error:
            raise self._gone(worker) from error

    # -- from the processes

    def _collect(self, timeout_s: float) -> None:
        """Take the answers that are there; wait for the first if there is none."""
        asked = {worker.own.pipe: worker for worker in self._workers if worker.batches}
        for pipe in wait(list(asked), timeout_s) if asked else ():
            worker = asked[pipe]  # type: ignore[index]
            try:
                answers = o.ANSWERS.decode(worker.own.pipe.recv_bytes())
            except (EOFError, OSError) as error:
                raise self._gone(worker) from error
            for answer in answers:
                self._note(worker, answer)

    def _note(self, worker: _Worker, answer: o.Answer) -> None:
        begun, order = self._handed.pop(answer.ticket)
        worker.batches[0] -= 1
        if not worker.batches[0]:
            del worker.batches[0]
            if worker.kept:
                message, worker.kept = worker.kept, b""
                self._send(worker, message)
        begun.ticket = None
        if begun.dropped:
            self._ahead_bytes -= begun.size_bytes
        else:
            begun.outcome = self._outcome(begun, order, answer.outcome)
        if isinstance(answer.outcome, o.Result):
            self._waiting.learn(begun.kind, answer.seconds)
        self._rooms.take_back(answer.ticket)
        self._models.release(begun.job)
        self._memory.whole(self._flags)[answer.ticket] = 0
        self._tickets.append(answer.ticket)

    def _outcome(self, begun: Begun, order: o.Order, told: o.Outcome) -> Outcome:
        match told:
            case o.Result():
                return self._rooms.read(order, told)
            case o.Failed():
                return JobFailed(told.reason)
            case o.Stopped():
                return FitStopped()
            case o.Unmade():
                return self._unmade(begun.job.tier, told.reason)
            case o.Broken():
                return FederationError(
                    f"what the learner {begun.job.tier.learner!r} gave for device {begun.device!r} cannot be told by a "
                    f"worker process: {told.reason}"
                )

    def _unmade(self, tier: Tier, reason: str) -> Outcome:
        """Tell a learner that nobody can make, which is a failure of its devices, from one that only we can make."""
        try:
            self._learners(tier)
        except Exception as error:
            return JobFailed(told_to_coordinator(error))
        return FederationError(
            f"{reason} A worker process imports a learner's class anew, and this program has it already: put it into "
            "a module that can be imported, or simulate with workers=1"
        )

    def _gone(self, worker: _Worker) -> FederationError:
        theirs = sorted(begun.device for begun, _ in self._handed.values() if not begun.dropped)
        doing = f", while jobs of {', '.join(theirs[:3])}{' and others' if len(theirs) > 3 else ''} were under way"
        return FederationError(
            f"worker {self._workers.index(worker) + 1} of {len(self._workers)}: {worker.own.last_words()}"
            f"{doing if theirs else ''}"
        )


@dataclass(slots=True, eq=False)
class _Handle:
    workers: InProcesses
    begun: Begun

    def take(self) -> JobDone | JobFailed:
        return self.workers.take(self.begun)

    def drop(self) -> None:
        self.workers.drop(self.begun)
