"""Simulated devices: real machines of the protocol and real training, on one schedule.

A device's hardware profile decides how long everything takes: an envelope takes its bytes over the link's rate, a job
its FLOPs over the processor's. The training itself is done when the job is due, so what a deadline stops is never
computed. A task and a timer for each device would cost more than small models do, and so would putting what they say
into bytes: it passes as letters, of which only the size is measured.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

from tierwise.core import actions as do
from tierwise.core import agent as a
from tierwise.core.edges import Arrived, ConnectionLost
from tierwise.core.envelope import Letter
from tierwise.core.events import Purpose
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, DeviceId, GroupId
from tierwise.core.insistence import AgentSettings
from tierwise.core.learning import LocalData
from tierwise.core.messages import CoordinatorMessage
from tierwise.core.task import Task
from tierwise.core.work import Job
from tierwise.runtime.simulation.clock import VirtualTimeLoop
from tierwise.runtime.simulation.faults import FaultPlan, FaultyLinks, Way
from tierwise.runtime.simulation.schedule import Schedule
from tierwise.runtime.simulation.workers import BegunJob, JobFailed, Workers
from tierwise.runtime.transports.memory import newly_followed

RELIABLE = AgentSettings(retry_s=None, poll_s=None)
"""The simulated network loses nothing, so nothing is sent twice."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device to be simulated: its hardware, and its data with features as they are."""

    profile: HardwareProfile
    data: LocalData


@dataclass(slots=True, eq=False)
class _Device:
    name: DeviceId
    machine: a.AgentMachine
    profile: HardwareProfile
    data: LocalData
    uplink_bytes_per_s: float
    downlink_bytes_per_s: float
    up: bool = True
    """Whether its program runs."""
    following: tuple[GroupId, ...] = ()
    work: BegunJob | None = None
    """The job that it does."""
    ticks_at: float = math.inf
    """When its next tick is on the schedule; a later one that is there too no longer counts."""

    def stop_work(self) -> None:
        """Do no job any more."""
        if self.work is not None:
            self.work.drop()
            self.work = None


class SimulatedFleet:
    """All devices, and the network between them and the coordinator: its transport.

    Like a real fleet it outlives a coordinator: what is said while there is none waits for the next.

    Parameters
    ----------
    devices
        By id.
    task
        What their data is for.
    workers
        Who do the devices' jobs.
    settings
        How the devices insist; they need to where a coordinator may die with what it was told.
    faults
        What goes wrong; None for nothing.
    vouches
        Whether the workers name updates for what they were made from, for a store that takes them as they are (a
        `tierwise.core.edges.HoldingStore`): then nobody reads an update again between the training and the sum.

    Attributes
    ----------
    kept
        The target model that each device has kept last, on a disk that outlives its program.
    """

    def __init__(
        self,
        devices: Mapping[DeviceId, DeviceSpec],
        task: Task,
        workers: Workers,
        settings: AgentSettings = RELIABLE,
        faults: FaultPlan | None = None,
        *,
        vouches: bool = False,
    ) -> None:
        self.kept: dict[DeviceId, BlobHash] = {}
        self._make_machine = partial(a.AgentMachine, schema_hash=task.schema_hash, settings=settings)
        self._devices = {
            name: _Device(
                name,
                self._make_machine(name, profile=spec.profile),
                spec.profile,
                spec.data,
                uplink_bytes_per_s=spec.profile.value("uplink_bytes_per_s"),
                downlink_bytes_per_s=spec.profile.value("downlink_bytes_per_s"),
            )
            for name, spec in sorted(devices.items())
        }
        self._faults = faults
        self._links = None if faults is None else FaultyLinks(faults)
        self._workers = workers
        self._vouches = vouches
        self._retained: dict[GroupId, Letter] = {}
        self._arrivals: deque[Arrived | ConnectionLost] = deque()
        self._arrived = asyncio.Event()
        self._attended = False
        """Whether there is a coordinator."""
        self._reported = False
        """Whether the coordinator has something to do, and has not had its turn."""
        self._schedule = Schedule()

    def stages(self) -> dict[DeviceId, a.AgentStage]:
        """Return where the devices stand whose programs run."""
        return {name: device.machine.stage for name, device in self._devices.items() if device.up}

    # -- the coordinator's transport

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """Be what devices reach."""
        self._clock = _virtual_clock()
        self._attended = True
        try:
            yield
        finally:
            self._attended = False
            if self._forgetful:
                self._arrivals.clear()

    async def receive(self) -> AsyncGenerator[Arrived | ConnectionLost, None]:
        """Yield what devices send, when it arrives."""
        while True:
            while self._arrivals:
                yield self._arrivals.popleft()
            self._arrived.clear()
            await self._arrived.wait()

    def arriving_since(self) -> None:
        """Return None: all is yielded when it arrives."""
        return

    def hand(self, device: DeviceId, letter: Letter) -> None:
        """Let a letter travel to one device."""
        found = self._devices.get(device)
        if found is not None:
            self._deliver(self._clock.time(), found, letter)

    def hand_round(self, group: GroupId, letter: Letter) -> None:
        """Let a letter travel to all devices of a group, to each over its own link."""
        self._retained[group] = letter
        now = self._clock.time()
        for device in self._devices.values():
            if group in device.following:
                self._deliver(now, device, letter)

    # -- what happens when

    async def run(self) -> None:
        """Let things happen when they are due, for ever."""
        loop = self._clock = _virtual_clock()
        self._schedule_faults()
        for device in self._devices.values():
            self._act(loop.time(), device, device.machine.start(loop.time()))
        await loop.attend(self)

    def happen(self, until: float) -> bool:
        """Let happen what is due next, and so on until the coordinator has something to do."""
        schedule, loop = self._schedule, self._clock
        due_at = schedule.next_at
        if due_at is None or due_at > until:
            return False
        self._reported = False
        now = loop.time()
        while due_at is not None:
            if due_at > now:
                if self._reported or due_at > until:  # of one moment, everything happens before anybody sees any of it
                    break
                loop.jump_to(due_at)
                now = due_at
            for happening, given in schedule.pop():
                happening(now, *given)
            due_at = schedule.next_at
        return True

    def _deliver(self, now: float, device: _Device, letter: Letter) -> None:
        arrives_at = now + letter.size / device.downlink_bytes_per_s
        if self._links is None:
            self._schedule.add(arrives_at, self._arrive, device, letter)
        elif not self._links.cut(device.name, now):
            for each in self._links.arrivals(device.name, Way.DOWN, arrives_at):
                self._schedule.add(each, self._arrive, device, letter)

    def _arrive(self, now: float, device: _Device, letter: Letter) -> None:
        if device.up and not self._cut(device.name, now):
            message = cast("CoordinatorMessage", letter.message)
            self._act(now, device, device.machine.receive(message, letter.body, now))

    # -- faults

    @property
    def _forgetful(self) -> bool:
        return self._faults is not None and self._faults.forgetful

    def _cut(self, name: DeviceId, now: float) -> bool:
        return self._links is not None and self._links.cut(name, now)

    def _schedule_faults(self) -> None:
        if self._faults is None:
            return
        for partition in self._faults.partitions:
            for name in sorted(partition.devices):
                if partition.noticed_after_s is not None:
                    noticed_at = partition.start_s + partition.noticed_after_s
                    self._schedule.add(noticed_at, self._lose, name, "its network is cut off")
                    self._schedule.add(partition.end_s, self._reconnect, self._devices[name])
        for crash in self._faults.agent_crashes:
            self._schedule.add(crash.at_s, self._crash, self._devices[crash.device])
            if crash.down_s is not None:
                self._schedule.add(crash.at_s + crash.down_s, self._restart, self._devices[crash.device])
            if crash.noticed_after_s is not None:
                noticed_at = crash.at_s + crash.noticed_after_s
                self._schedule.add(noticed_at, self._lose, crash.device, "its agent crashed")

    def _lose(self, _now: float, name: DeviceId, reason: str) -> None:
        self._report(ConnectionLost(name, reason))

    def _reconnect(self, now: float, device: _Device) -> None:
        if device.up:
            self._act(now, device, device.machine.start(now))

    def _crash(self, _now: float, device: _Device) -> None:
        device.stop_work()
        device.up, device.following = False, ()

    def _restart(self, now: float, device: _Device) -> None:
        if not device.up:
            device.up = True
            device.machine = self._make_machine(device.name, profile=device.profile)
            self._act(now, device, device.machine.start(now))

    # -- what devices do

    def _act(self, now: float, device: _Device, actions: tuple[do.Action, ...]) -> None:
        for action in actions:
            match action:
                case do.Send():
                    self._send(now, device, action)
                case do.StartJob():
                    self._start_job(now, device, action.job)
                case do.Follow():
                    self._follow(now, device, (action.group, *action.also))
                case do.StopJob():
                    device.stop_work()
                case do.KeepTarget():
                    self.kept[device.name] = action.model  # the coordinator's result has the model itself
                case do.Leave():
                    pass  # the machine knows
        due_at = device.machine.due_at
        if due_at is not None and due_at < device.ticks_at:
            device.ticks_at = due_at
            self._schedule.add(due_at, self._tick, device, due_at)

    def _follow(self, now: float, device: _Device, groups: tuple[GroupId, ...]) -> None:
        before, device.following = device.following, groups
        for group in newly_followed(before, groups):
            if group in self._retained:
                self._deliver(now, device, self._retained[group])

    def _send(self, now: float, device: _Device, action: do.Send) -> None:
        letter = Letter(action.message, action.body, vouched=self._vouches)
        arrives_at = now + letter.size / device.uplink_bytes_per_s
        if self._links is None:
            self._schedule.add(arrives_at, self._reach, device.name, letter)
        elif not self._links.cut(device.name, now):
            for each in self._links.arrivals(device.name, Way.UP, arrives_at):
                self._schedule.add(each, self._reach, device.name, letter)

    def _reach(self, now: float, name: DeviceId, letter: Letter) -> None:
        if not self._cut(name, now):
            self._report(Arrived(name, letter))

    def _report(self, arrived: Arrived | ConnectionLost) -> None:
        if self._attended or not self._forgetful:
            self._arrivals.append(arrived)
            if not self._reported:
                self._reported = True
                self._arrived.set()

    def _start_job(self, now: float, device: _Device, job: Job) -> None:
        fits = job.purpose is Purpose.FIT
        duration_s = job.tier.cost.compute_s(
            device.profile,
            fit_samples=job.budget.samples(len(device.data.train)) if fits else 0,
            evaluate_samples=len(device.data.holdout),
        )
        due_at = now + duration_s
        work = device.work = self._workers.begin(device.name, job, due_at)
        self._schedule.add(due_at, self._finish, device, job, work)

    def _finish(self, now: float, device: _Device, job: Job, work: BegunJob) -> None:
        if device.work is not work:
            return  # it was stopped
        device.work = None
        done = work.take()
        if isinstance(done, JobFailed):
            self._act(now, device, device.machine.job_failed(job.cohort, done.reason, now))
        else:
            self._act(now, device, device.machine.job_done(job.cohort, done, now))

    def _tick(self, now: float, device: _Device, at: float) -> None:
        if at != device.ticks_at:
            return
        device.ticks_at = math.inf
        if device.up:
            due_at = device.machine.due_at
            self._act(now, device, () if due_at is None or due_at > at else device.machine.tick(now))


def _virtual_clock() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop), "devices are simulated on virtual time"
    return loop
