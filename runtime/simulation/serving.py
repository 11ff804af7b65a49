"""A worker process of a simulation: does the jobs that it is sent, and answers what came of them.

What a job needs beside a few words is in shared memory: the devices' data, models, and room for updates. A flag for
each job says whether it is still wanted; a fit looks at its own before every minibatch.
"""

import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

import msgspec
import numpy as np

from tierwise.core.framing import to_bytes, unframe
from tierwise.core.ids import TierName
from tierwise.core.learning import FitStopped, Learner, StopToken
from tierwise.core.task import Task
from tierwise.core.tiers import Tier
from tierwise.core.work import Job, JobDone, ModelReader, UpdateNamer
from tierwise.plugins.manager import Plugins
from tierwise.runtime.codecs import Codecs
from tierwise.runtime.exceptions import told, told_to_coordinator
from tierwise.runtime.learners import Learners
from tierwise.runtime.simulation.orders import (
    BATCHES,
    ENCODER,
    Answer,
    Ask,
    Batch,
    Broken,
    Failed,
    Order,
    Outcome,
    Result,
    Stopped,
    Unmade,
)
from tierwise.runtime.simulation.shared_data import SharedData
from tierwise.runtime.simulation.shared_memory import OthersMemory
from tierwise.runtime.simulation.workers import JobFailed, attempt

TOGETHER_S: Final = 0.001
"""Answers wait for each other so long: then one message, and one wake-up, brings those of many small jobs."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process is given to begin with.

    Attributes
    ----------
    plugins, task
        What learners are made from.
    data, flags
        The names of the segments with the devices' data, and with a byte for each ticket.
    name
        Names updates.
    """

    plugins: Plugins
    task: Task
    data: str
    flags: str
    name: UpdateNamer


class _Wanted(StopToken):
    """Tells a fit to stop when its job is not wanted any more."""

    __slots__ = ("_flags", "_ticket")

    def __init__(self, flags: memoryview, ticket: int) -> None:
        super().__init__()
        self._flags = flags
        self._ticket = ticket

    def check(self) -> None:
        if self._flags[self._ticket]:
            raise FitStopped
        super().check()


def serve(pipe: Connection, setup: Setup) -> None:
    """Do what is asked for until nobody is there to ask."""
    try:
        _Worker(pipe, setup).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # whoever asked is gone, and there is nothing of ours to be tidied up


class _Worker:
    def __init__(self, pipe: Connection, setup: Setup) -> None:
        self._pipe = pipe
        self._memory = OthersMemory()
        self._data = SharedData(self._memory.whole(setup.data))
        self._flags = self._memory.whole(setup.flags)
        self._tiers: dict[TierName, Tier] = {}
        self._make_learner = Learners(setup.plugins, setup.task)
        self._coding_of = Codecs(setup.plugins).of
        self._read = ModelReader()
        self._name = setup.name
        self._answers: list[bytes] = []

    def run(self) -> None:
        while True:
            batch = BATCHES.decode(self._pipe.recv_bytes())
            self._tiers.update((tier.name, tier) for tier in batch.tiers)
            self._do_all(batch)

    def _do_all(self, batch: Batch) -> None:
        sent_at = time.perf_counter()
        for order in batch.orders:
            began_at = time.perf_counter()
            outcome = self._do(batch.asks[order.ask], order)
            now = time.perf_counter()
            self._answers.append(_encode(Answer(order.ticket, now - began_at, outcome)))
            if now - sent_at > TOGETHER_S:
                self._send()
                sent_at = now
        if self._answers:
            self._send()

    def _send(self) -> None:
        self._pipe.send_bytes(ENCODER.encode([msgspec.Raw(answer) for answer in self._answers]))
        self._answers.clear()

    def _do(self, ask: Ask, order: Order) -> Outcome:
        wanted = _Wanted(self._flags, order.ticket)
        try:
            wanted.check()
            made = self._learner(self._tiers[ask.tier])
            if isinstance(made, Unmade):
                return made
            job, data = self._job(ask, order), self._data[order.device]
            return self._told(
                attempt(job, lambda _: made, self._coding_of, data, wanted, self._read, self._name), order
            )
        except FitStopped:
            return Stopped()
        except Exception as error:
            return Broken(told(error))

    def _learner(self, tier: Tier) -> Learner | Unmade:
        try:
            return self._make_learner(tier)
        except Exception as error:
            return Unmade(told_to_coordinator(error))

    def _job(self, ask: Ask, order: Order) -> Job:
        return Job(
            cohort=ask.cohort,
            purpose=ask.purpose,
            tier=self._tiers[ask.tier],
            base=ask.base,
            model=self._memory.view(ask.model).toreadonly(),
            budget=ask.budget,
            seed=order.seed,
            local=None if order.local is None else unframe(self._memory.view(order.local)),
            lost=None if order.lost is None else np.frombuffer(self._memory.view(order.lost).toreadonly(), np.float32),
        )

    def _told(self, done: JobDone | JobFailed, order: Order) -> Outcome:
        if isinstance(done, JobFailed):
            return Failed(done.reason)
        trained = done.trained
        if trained is None:
            return Result(done.metrics, None, 0, 0, 0, 0)
        assert order.body is not None
        self._memory.view(order.body)[: len(trained.body)] = trained.body
        local_size = 0
        if trained.local is not None:
            assert order.trained_local is not None
            local = to_bytes(trained.local)
            self._memory.view(order.trained_local)[: len(local)] = local
            local_size = len(local)
        lost_size = 0
        if trained.lost is not None:
            assert order.still_lost is not None
            lost_size = trained.lost.nbytes
            self._memory.view(order.still_lost)[:lost_size] = trained.lost.view(np.uint8).data
        return Result(done.metrics, trained.blob, trained.samples, len(trained.body), local_size, lost_size)


def _encode(answer: Answer) -> bytes:
    try:
        return ENCODER.encode(answer)
    except Exception as error:  # a learner's numbers may be of any type
        return ENCODER.encode(Answer(answer.ticket, answer.seconds, Broken(told(error))))
