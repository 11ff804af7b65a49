"""What of a job goes through shared memory: its model, once for all whom it is for, and each device's own tensors."""

from dataclasses import dataclass

import numpy as np

from tierwise.core.events import Purpose
from tierwise.core.framing import to_bytes, unframe
from tierwise.core.weights import Role
from tierwise.core.work import Job, JobDone, Trained
from tierwise.runtime.simulation.orders import Ask, Order, Place, Result
from tierwise.runtime.simulation.shared_memory import OwnMemory
from tierwise.runtime.simulation.waiting_jobs import Begun


@dataclass(slots=True)
class _Model:
    jobs: int = 0
    """Whom it is for, that are neither done nor dropped."""
    lent: Place | None = None
    """Where it is, from the first one on that is handed to a process."""
    filled: Place | None = None
    """The part of that which it fills."""


class LentModels:
    """Models as they came, each of them in shared memory as long as a job needs it."""

    def __init__(self, memory: OwnMemory) -> None:
        self._memory = memory
        self._models: dict[tuple[int, int], _Model] = {}

    def expect(self, job: Job) -> None:
        """Take note of a job that will need its model."""
        self._models.setdefault(_identity(job.model), _Model()).jobs += 1

    def place(self, job: Job) -> Place:
        """Return where a job's model is."""
        model = self._models[_identity(job.model)]
        if model.filled is None:
            model.lent = self._memory.lend(len(job.model))
            model.filled = self._memory.write(model.lent, job.model)
        return model.filled

    def release(self, job: Job) -> None:
        """Take note that a job does not need its model any more."""
        identity = _identity(job.model)
        model = self._models[identity]
        model.jobs -= 1
        if not model.jobs:
            del self._models[identity]
            if model.lent is not None:
                self._memory.take_back(model.lent)


class LentRooms:
    """Memory that single jobs have while a process does them, by their tickets."""

    def __init__(self, memory: OwnMemory) -> None:
        self._memory = memory
        self._rooms: dict[int, list[Place]] = {}

    def order(self, begun: Begun, ticket: int, ask: int) -> Order:
        """Lend what a job needs, and say so."""
        job = begun.job
        rooms = self._rooms[ticket] = []
        local = lost = body = trained_local = still_lost = None
        if job.local is not None:
            frame = to_bytes(job.local)
            local = self._memory.write(self._lend(rooms, len(frame)), frame)
        if job.lost is not None:
            lost = self._memory.write(self._lend(rooms, job.lost.nbytes), job.lost.view(np.uint8).data)
        if job.purpose is Purpose.FIT:
            # What stays on the device is a part of the model that came: its frame is no larger.
            body = self._lend(rooms, max(job.tier.cost.update_bytes, len(job.model)))
            still_lost = self._lend(rooms, 4 * job.tier.layout.aggregated.size)
            if any(tensor.role is Role.LOCAL for tensor in job.tier.layout.tensors):
                trained_local = self._lend(rooms, len(job.model))
        return Order(ticket, begun.device, job.seed, ask, local, lost, body, trained_local, still_lost)

    def read(self, order: Order, result: Result) -> JobDone:
        """Return what a job gave, with copies of what is in its memory."""
        if result.blob is None:
            return JobDone(result.metrics)
        assert order.body is not None
        body = self._memory.read(order.body, result.body_size)
        local = None
        if result.local_size:
            assert order.trained_local is not None
            local = unframe(self._memory.read(order.trained_local, result.local_size))
        lost = None
        if result.lost_size:
            assert order.still_lost is not None
            lost = np.frombuffer(self._memory.read(order.still_lost, result.lost_size), np.float32)
        return JobDone(result.metrics, Trained(body, result.blob, result.samples, local, lost))

    def take_back(self, ticket: int) -> None:
        """Let others have what a job had."""
        for place in self._rooms.pop(ticket):
            self._memory.take_back(place)

    def _lend(self, rooms: list[Place], size: int) -> Place:
        place = self._memory.lend(size)
        rooms.append(place)
        return place


def _identity(model: memoryview) -> tuple[int, int]:
    """Tell models apart that are in memory: all devices of a group have views of the same envelope."""
    if not len(model):
        return 0, 0
    return np.frombuffer(model, np.uint8).__array_interface__["data"][0], len(model)


def ask_of(job: Job, model: Place) -> Ask:
    """Return what a job shares with those of the same round."""
    return Ask(job.cohort, job.purpose, job.tier.name, job.base, model, job.budget)
