"""The agent: drives a device's machine with a transport, a learner, its data and a clock."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup

from tierwise.core import actions as do
from tierwise.core import agent as a
from tierwise.core.edges import AgentTransport, Compute, Reconnected
from tierwise.core.envelope import open_from_coordinator, seal
from tierwise.core.errors import ConfigurationError, DeviceError, FederationError, ProtocolError
from tierwise.core.framing import unframe
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import CohortId, DeviceId, GroupId, ModelVersion, is_device_id
from tierwise.core.insistence import AgentSettings
from tierwise.core.learning import FitStopped, Learner, LocalData, StopToken
from tierwise.core.messages import Assignment
from tierwise.core.seeds import derive_seed
from tierwise.core.standardising import warning_of_large_features
from tierwise.core.task import Task
from tierwise.core.tiers import Tier
from tierwise.core.weights import Weights
from tierwise.core.work import Job, perform
from tierwise.plugins.manager import Plugins
from tierwise.runtime.codecs import Codecs
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.exceptions import told_to_coordinator, unwrapped
from tierwise.runtime.learners import Learners
from tierwise.runtime.own_hardware import OwnHardware
from tierwise.runtime.probing import Probing, Reading

_LOG: Final = logging.getLogger(__name__)

REMEASURE_S: Final = 300.0
"""How often an agent looks whether its hardware has changed."""


@dataclass(frozen=True, slots=True)
class Target:
    """The target model that a device ends with.

    ``task`` is what it is for, as the coordinator wants it: whether it standardises, and what was measured.
    """

    group: GroupId
    tier: Tier
    version: ModelVersion
    model: Weights
    reason: str
    task: Task


class Agent:
    """A device's program, on the event loop of whoever enters it.

    ::

        async with Agent("kitchen", task=source.task, data=data, transport=transport) as agent:
            target = await agent.target()

    Leaving the context stops it at once. It installs no signal handlers and has no global state: a program can run
    many.

    Parameters
    ----------
    device
        Its name in the federation: 1 to 64 of ``A-Z a-z 0-9 . _ -``.
    task
        What its data is for.
    data
        What it trains on and evaluates on, with features as they are.
    transport
        Its end of the network.
    declared
        Hardware quantities that its owner declares; they win over measured ones, and over what the transport learns.
    remeasure_s
        Every so many seconds it asks the probes again whose quantities change, and the transport what it has learnt,
        and reports a profile that has changed materially; None for never.
    probes
        Names of the probes to ask; None for all that are installed.
    plugins
        Where probes, learners and codecs are looked up; None for all that is installed.
    compute
        Where it measures and trains; None for a worker thread.
    settings
        How it insists; when it asks is shifted by up to a quarter, which depends on its name, so that a fleet that was
        told something at once does not ask at once.

    Raises
    ------
    ConfigurationError
        If the name cannot name a device or there are no training samples.
    """

    def __init__(
        self,
        device: str,
        *,
        task: Task,
        data: LocalData,
        transport: AgentTransport,
        declared: HardwareProfile | None = None,
        remeasure_s: float | None = REMEASURE_S,
        probes: Sequence[str] | None = None,
        plugins: Plugins | None = None,
        compute: Compute | None = None,
        settings: AgentSettings | None = None,
    ) -> None:
        if not is_device_id(device):
            raise ConfigurationError(
                f"{device!r} cannot name a device: 1 to 64 of A-Z a-z 0-9 . _ - are allowed, "
                "the first a letter or digit"
            )
        if not len(data.train):
            raise ConfigurationError(f"device {device!r} has no training samples")
        self.device = DeviceId(device)
        self._task = task
        self._data = data.divided(task.scale)
        self._transport = transport
        self._hardware = OwnHardware(declared or HardwareProfile())
        self._remeasure_s = remeasure_s
        self._probes = probes
        self._plugins = plugins or Plugins.discover()
        self._compute = compute or ThreadCompute(workers=1)
        self._settings = _paced(settings or AgentSettings(), device)
        self._learners: Learners | None = None
        self._codecs = Codecs(self._plugins)
        self._stop = StopToken()
        self._wake = anyio.Event()
        self._left = anyio.Event()
        self._stopped = False
        self._refusal: str | None = None
        self._target: Target | None = None
        self._tasks: TaskGroup | None = None
        self._stack = AsyncExitStack()
        self._machine: a.AgentMachine | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            probing = Probing(self._plugins, self._probes)
            measuring = asyncio.ensure_future(probing.measure())  # takes longer than connecting
            stack.callback(measuring.cancel)
            await stack.enter_async_context(self._transport.connect())
            reading = await measuring
            _tell_unmeasured(reading)
            self._hardware.take(reading, {})
            self._machine = a.AgentMachine(self.device, self._task.schema_hash, self._hardware.profile, self._settings)
            stack.callback(self._leave)
            stack.enter_context(unwrapped())
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._tasks.start_soon(self._receive, self._machine)
            self._tasks.start_soon(self._keep_time, self._machine)
            if self._remeasure_s is not None:
                self._tasks.start_soon(self._watch_hardware, self._machine, probing, self._remeasure_s)
            await self._act(self._machine.start(_now()))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._tasks is not None
        self._stop.stop()
        self._tasks.cancel_scope.cancel()
        return await self._stack.__aexit__(kind, error, trace)

    def _leave(self) -> None:
        self._stopped = not self._left.is_set()
        self._left.set()

    async def target(self) -> Target | None:
        """Wait until the federation has ended for this device; return its target model, or None if it got none.

        Raises
        ------
        DeviceError
            If the coordinator refused the device, with its reason.
        FederationError
            If the agent was stopped before the federation's end.
        """
        await self._left.wait()
        if self._stopped:
            raise FederationError(f"the agent of device {self.device!r} was stopped before the federation's end")
        if self._refusal is not None:
            raise DeviceError(f"the coordinator refused device {self.device!r}: {self._refusal}")
        return self._target

    # -- what happens

    async def _receive(self, machine: a.AgentMachine) -> None:
        async with aclosing(self._transport.receive()) as arrivals:
            async for data in arrivals:
                if isinstance(data, Reconnected):
                    await self._act(machine.start(_now()))
                    continue
                try:
                    message, body = open_from_coordinator(data)
                except ProtocolError:
                    continue  # not from our coordinator, or damaged: what matters is sent again
                await self._act(machine.receive(message, body, _now()))

    async def _keep_time(self, machine: a.AgentMachine) -> None:
        while True:
            due_at = machine.due_at
            with anyio.move_on_after(None if due_at is None else max(due_at - _now(), 0)):
                await self._wake.wait()
                self._wake = anyio.Event()
                continue
            await self._act(machine.tick(_now()))

    async def _watch_hardware(self, machine: a.AgentMachine, probing: Probing, every_s: float) -> None:
        while True:
            await anyio.sleep(every_s)
            reading = await probing.measure_again()
            changed = self._hardware.take(reading, self._transport.link())
            if changed:
                _LOG.info("the hardware has changed: %s", _told(changed))
                await self._act(machine.report(self._hardware.profile))

    async def _act(self, actions: Sequence[do.Action]) -> None:
        for action in actions:
            match action:
                case do.Send():
                    await self._transport.send(seal(action.message, action.body))
                case do.Follow():
                    await self._transport.follow(action.group, *action.also)
                case do.StartJob():
                    assert self._tasks is not None
                    self._stop = StopToken()
                    self._tasks.start_soon(self._work, action.job, self._stop)
                case do.StopJob():
                    self._stop.stop()
                    if action.overdue:
                        _LOG.warning("%s: the deadline is missed: its round ended before the work", action.cohort)
                case do.KeepTarget():
                    self._keep(action)
                case do.Leave():
                    self._refusal = action.reason if action.refused else None
                    self._left.set()
        self._wake.set()  # the machine's next due time may have changed

    async def _work(self, job: Job, stop: StopToken) -> None:
        assert self._machine is not None
        try:
            learner, coding = self._learner(job.tier), self._codecs.of(job.tier)
            done = await self._compute.run(partial(perform, job, learner, coding, self._data, stop))
        except FitStopped:
            return
        except Exception as error:  # a learner's mistake must not take the agent down
            await self._fail(job.cohort, told_to_coordinator(error))
            return
        await self._act(self._machine.job_done(job.cohort, done, _now()))

    async def _fail(self, cohort: CohortId, reason: str) -> None:
        assert self._machine is not None
        await self._act(self._machine.job_failed(cohort, reason, _now()))

    def _learner(self, tier: Tier) -> Learner:
        if self._learners is None:
            task = self._wanted(None if self._machine is None else self._machine.assignment)
            self._learners = Learners(self._plugins, task)
            if warning := warning_of_large_features(task, self._data.train):
                _LOG.warning("%s", warning)
        return self._learners(tier)

    def _wanted(self, assignment: Assignment | None) -> Task:
        """Return the task as the coordinator wants it, of the same data as ours."""
        return self._task if assignment is None or assignment.task is None else assignment.task

    def _keep(self, kept: do.KeepTarget) -> None:
        assert self._machine is not None
        try:
            model = unframe(kept.frame)
        except ProtocolError:
            return  # damaged on the way: the retained one comes again with the next connection
        assignment = self._machine.assignment
        if model.identity != kept.model or assignment is None:
            return
        task = self._wanted(assignment)
        self._target = Target(kept.group, assignment.tier, kept.version, model, kept.reason, task)


def _paced(settings: AgentSettings, device: str) -> AgentSettings:
    if settings.poll_s is None:
        return settings
    shift = derive_seed(0, "pace", device) / 2**63
    return replace(settings, poll_s=settings.poll_s * (0.75 + 0.5 * shift))


def _tell_unmeasured(reading: Reading) -> None:
    for name, reason in reading.failed.items():
        _LOG.warning("probe %r measured nothing: %s", name, reason)
    if reading.unmeasured:
        listed = "; ".join(f"{name} ({reason})" for name, reason in sorted(reading.unmeasured.items()))
        _LOG.info("not measured here: %s", listed)


def _told(changed: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {'unknown' if now is None else f'{now:.3g}'}" for name, now in sorted(changed.items()))


def _now() -> float:
    return asyncio.get_running_loop().time()
