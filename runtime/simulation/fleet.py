"""Simulated devices: real machines of the protocol and real training, on one heap in one task.

A device's hardware profile decides how long everything takes: an envelope takes its bytes over the link's rate, a job
its FLOPs over the processor's. The training itself is done when the job is due, so what a deadline stops is never
computed. A task and a timer for each device would cost more than small models do.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from tierwise.core import actions as do
from tierwise.core import agent as a
from tierwise.core.coding import Codec
from tierwise.core.edges import Arrived, ConnectionLost
from tierwise.core.envelope import open_from_coordinator, seal
from tierwise.core.events import Purpose
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, DeviceId, GroupId
from tierwise.core.insistence import AgentSettings
from tierwise.core.learning import FitStopped, Learner, LocalData, StopToken
from tierwise.core.task import Task
from tierwise.core.tiers import CodecChoice, Tier
from tierwise.core.work import Job, perform
from tierwise.runtime.exceptions import told_to_coordinator
from tierwise.runtime.simulation.faults import FaultPlan, FaultyLinks, Way
from tierwise.runtime.transports.memory import newly_followed

RELIABLE = AgentSettings(retry_s=None, poll_s=None)
"""The simulated network loses nothing, so nothing is sent twice."""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device to be simulated: its hardware, and its data with features as they are."""

    profile: HardwareProfile
    data: LocalData


@dataclass(slots=True)
class _Device:
    machine: a.AgentMachine
    profile: HardwareProfile
    data: LocalData
    up: bool = True
    """Whether its program runs."""
    following: tuple[GroupId, ...] = ()
    work: object | None = None
    """Stands for the job that it does; another one each time that a job is begun."""
    ticks: set[float] = field(default_factory=set)
    """When a tick is on the heap already."""


class SimulatedFleet:
    """All devices, and the network between them and the coordinator: its transport.

    Like a real fleet it outlives a coordinator: what is said while there is none waits for the next.

    Parameters
    ----------
    devices
        By id.
    task
        What their data is for.
    make_learner, make_codec
        Give the learner and the codec of a tier; one serves all devices, since they are pure.
    stop
        Ends the training when told to.
    settings
        How the devices insist; they need to where a coordinator may die with what it was told.
    faults
        What goes wrong; None for nothing.

    Attributes
    ----------
    kept
        The target model that each device has kept last, on a disk that outlives its program.
    """

    def __init__(
        self,
        devices: Mapping[DeviceId, DeviceSpec],
        task: Task,
        make_learner: Callable[[Tier], Learner],
        make_codec: Callable[[CodecChoice], Codec],
        stop: StopToken,
        settings: AgentSettings = RELIABLE,
        faults: FaultPlan | None = None,
    ) -> None:
        self.kept: dict[DeviceId, BlobHash] = {}
        self._make_machine = partial(a.AgentMachine, schema_hash=task.schema_hash, settings=settings)
        self._devices = {
            name: _Device(self._make_machine(name, profile=spec.profile), spec.profile, spec.data.divided(task.scale))
            for name, spec in sorted(devices.items())
        }
        self._faults = faults
        self._links = None if faults is None else FaultyLinks(faults)
        self._make_learner = make_learner
        self._make_codec = make_codec
        self._stop = stop
        self._retained: dict[GroupId, bytes] = {}
        self._arrivals: asyncio.Queue[Arrived | ConnectionLost] = asyncio.Queue()
        self._attended = False
        """Whether there is a coordinator."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # of equal times, what was scheduled first happens first
        self._wake = asyncio.Event()

    def stages(self) -> dict[DeviceId, a.AgentStage]:
        """Return where the devices stand whose programs run."""
        return {name: device.machine.stage for name, device in self._devices.items() if device.up}

    # -- the coordinator's transport

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """Be what devices reach."""
        self._attended = True
        try:
            yield
        finally:
            self._attended = False
            if self._forgetful:
                self._arrivals = asyncio.Queue()

    async def receive(self) -> AsyncGenerator[Arrived | ConnectionLost, None]:
        """Yield what devices send, when it arrives."""
        while True:
            yield await self._arrivals.get()

    def arriving_since(self) -> None:
        """Return None: all is yielded when it arrives."""
        return

    async def send(self, device: DeviceId, data: bytes) -> None:
        """Let an envelope travel to one device."""
        if device in self._devices:
            self._deliver(device, data)

    async def broadcast(self, group: GroupId, data: bytes) -> None:
        """Let an envelope travel to all devices of a group, to each over its own link."""
        self._retained[group] = data
        for name, device in self._devices.items():
            if group in device.following:
                self._deliver(name, data)

    # -- the heap

    async def run(self) -> None:
        """Let things happen when they are due, for ever."""
        loop = asyncio.get_running_loop()
        self._schedule_faults()
        for name, device in self._devices.items():
            self._act(name, device, device.machine.start(loop.time()))
        while True:
            while self._heap and self._heap[0][0] <= loop.time():
                heapq.heappop(self._heap)[2]()
            timer = loop.call_at(self._heap[0][0], self._wake.set) if self._heap else None
            try:
                await self._wake.wait()
            finally:
                if timer is not None:
                    timer.cancel()
            self._wake.clear()

    def _schedule(self, due_at: float, happen: Callable[[], None]) -> None:
        if not self._heap or due_at < self._heap[0][0]:
            self._wake.set()
        heapq.heappush(self._heap, (due_at, next(self._order), happen))

    def _deliver(self, name: DeviceId, data: bytes) -> None:
        device = self._devices[name]

        def arrive() -> None:
            if device.up and not self._cut(name):
                message, body = open_from_coordinator(data)
                self._act(name, device, device.machine.receive(message, body, self._now()))

        travel_s = len(data) / device.profile.value("downlink_bytes_per_s")
        for arrives_at in self._arrivals_at(name, Way.DOWN, self._now() + travel_s):
            self._schedule(arrives_at, arrive)

    # -- faults

    @property
    def _forgetful(self) -> bool:
        return self._faults is not None and self._faults.forgetful

    def _cut(self, name: DeviceId) -> bool:
        return self._links is not None and self._links.cut(name, self._now())

    def _arrivals_at(self, name: DeviceId, way: Way, due_at: float) -> Iterable[float]:
        if self._links is None:
            return (due_at,)
        return () if self._links.cut(name, self._now()) else self._links.arrivals(name, way, due_at)

    def _schedule_faults(self) -> None:
        if self._faults is None:
            return
        for partition in self._faults.partitions:
            for name in sorted(partition.devices):
                if partition.noticed_after_s is not None:
                    noticed_at = partition.start_s + partition.noticed_after_s
                    self._schedule(noticed_at, partial(self._lose, name, "its network is cut off"))
                    self._schedule(partition.end_s, partial(self._reconnect, name))
        for crash in self._faults.agent_crashes:
            self._schedule(crash.at_s, partial(self._crash, crash.device))
            if crash.down_s is not None:
                self._schedule(crash.at_s + crash.down_s, partial(self._restart, crash.device))
            if crash.noticed_after_s is not None:
                noticed_at = crash.at_s + crash.noticed_after_s
                self._schedule(noticed_at, partial(self._lose, crash.device, "its agent crashed"))

    def _lose(self, name: DeviceId, reason: str) -> None:
        self._report(ConnectionLost(name, reason))

    def _reconnect(self, name: DeviceId) -> None:
        device = self._devices[name]
        if device.up:
            self._act(name, device, device.machine.start(self._now()))

    def _crash(self, name: DeviceId) -> None:
        device = self._devices[name]
        device.up, device.work, device.following = False, None, ()

    def _restart(self, name: DeviceId) -> None:
        device = self._devices[name]
        if not device.up:
            device.up = True
            device.machine = self._make_machine(name, profile=device.profile)
            self._act(name, device, device.machine.start(self._now()))

    # -- what devices do

    def _act(self, name: DeviceId, device: _Device, actions: tuple[do.Action, ...]) -> None:
        for action in actions:
            match action:
                case do.Send():
                    self._send(name, device, action)
                case do.Follow():
                    self._follow(name, device, (action.group, *action.also))
                case do.StartJob():
                    self._start_job(name, device, action.job)
                case do.StopJob():
                    device.work = None
                case do.KeepTarget():
                    self.kept[name] = action.model  # the coordinator's result has the model itself
                case do.Leave():
                    pass  # the machine knows
        self._schedule_tick(name, device)

    def _follow(self, name: DeviceId, device: _Device, groups: tuple[GroupId, ...]) -> None:
        before, device.following = device.following, groups
        for group in newly_followed(before, groups):
            if group in self._retained:
                self._deliver(name, self._retained[group])

    def _send(self, name: DeviceId, device: _Device, action: do.Send) -> None:
        data = seal(action.message, action.body)
        travel_s = len(data) / device.profile.value("uplink_bytes_per_s")

        def arrive() -> None:
            if not self._cut(name):
                self._report(Arrived(name, data))

        for arrives_at in self._arrivals_at(name, Way.UP, self._now() + travel_s):
            self._schedule(arrives_at, arrive)

    def _report(self, arrived: Arrived | ConnectionLost) -> None:
        if self._attended or not self._forgetful:
            self._arrivals.put_nowait(arrived)

    def _start_job(self, name: DeviceId, device: _Device, job: Job) -> None:
        work = device.work = object()
        fits = job.purpose is Purpose.FIT
        duration_s = job.tier.cost.compute_s(
            device.profile,
            fit_samples=job.budget.samples(len(device.data.train)) if fits else 0,
            evaluate_samples=len(device.data.holdout),
        )

        def finish() -> None:
            if device.work is not work:
                return  # it was stopped
            device.work = None
            self._act(name, device, self._perform(device, job))

        self._schedule(self._now() + duration_s, finish)

    def _perform(self, device: _Device, job: Job) -> tuple[do.Action, ...]:
        try:
            codec = self._make_codec(job.tier.codec)
            done = perform(job, self._make_learner(job.tier), codec, device.data, self._stop)
        except FitStopped:
            raise
        except Exception as error:  # as on a real device, a learner's mistake is told to the coordinator
            return device.machine.job_failed(job.cohort, told_to_coordinator(error), self._now())
        return device.machine.job_done(job.cohort, done, self._now())

    def _schedule_tick(self, name: DeviceId, device: _Device) -> None:
        due_at = device.machine.due_at
        if due_at is None or due_at in device.ticks:
            return
        device.ticks.add(due_at)

        def tick() -> None:
            device.ticks.discard(due_at)
            if device.up:
                self._act(name, device, device.machine.tick(self._now()))

        self._schedule(due_at, tick)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
