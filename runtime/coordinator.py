"""The coordinator: drives a federation's machine with a transport, a store, plugins and a clock.

One task does the small step: decide, log, apply, publish, perform what is outstanding. Everything else (the
transport, the plugins' runners, timers, the operator) only puts inputs into its inbox.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import TaskGroup

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core import messages as m
from tierwise.core.bus import EventBus
from tierwise.core.deciding import Rejected
from tierwise.core.edges import Compute, CoordinatorTransport, Store
from tierwise.core.errors import ConfigurationError
from tierwise.core.federation import Federation
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.settings import FederationSettings
from tierwise.plugins.manager import Plugins
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.policies import Policies, assemble
from tierwise.runtime.post import Post
from tierwise.runtime.reception import Reception
from tierwise.runtime.result import FederationResult, read_result
from tierwise.runtime.runners import Runners
from tierwise.runtime.stores.memory import MemoryStore

_FREEING: Final = (e.RoundClosed, e.RoundAbandoned, e.GroupFinished, e.DeviceRemoved)
"""Events after which blobs may no longer be needed."""


class Coordinator:
    """Runs one federation on the event loop of whoever enters it.

    ::

        async with Coordinator(settings, transport=transport) as coordinator:
            async for event in coordinator.events():
                print(event)
            result = await coordinator.result()

    It installs no signal handlers and has no global state: two coordinators run in one loop. Leaving the context
    stops it at once; with a durable store, the next coordinator goes on from there.

    Parameters
    ----------
    settings
        What the federation is.
    transport
        Its end of the network.
    policies
        Who decides what, by name.
    plugins
        Where the names are looked up; None for all that is installed.
    store
        Log and blobs; None for memory. A store that has a log already is gone on with.
    compute
        Where plugins compute; None for worker threads.

    Raises
    ------
    ConfigurationError, PluginError
        If the policies cannot be made.
    """

    def __init__(
        self,
        settings: FederationSettings,
        *,
        transport: CoordinatorTransport,
        policies: Policies | None = None,
        plugins: Plugins | None = None,
        store: Store | None = None,
        compute: Compute | None = None,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._team = assemble(policies or Policies(), plugins or Plugins.discover())
        self._store = store or MemoryStore()
        compute = compute or ThreadCompute()
        self.bus = EventBus()
        self.federation = Federation()
        self._post = Post(transport)
        self._inbox: asyncio.Queue[tuple[i.Input, asyncio.Future[None] | None]] = asyncio.Queue()
        self._runners = Runners(settings, self._team, self._store, compute, self._submit)
        self._reception = Reception(self.federation, self._judge, self._post, self._store, compute, self.bus)
        self._performed: set[str] = set()
        self._told: dict[DeviceId, GroupId] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._federation_start = 0.0  # federation time when this coordinator started
        self._started_at = 0.0  # loop time then
        self._ended = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._store.open())
            await self._replay()
            await stack.enter_async_context(self._transport.connect())
            stack.callback(self.bus.close)
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            await self._runners.start(self.bus, self._tasks)
            self._started_at = asyncio.get_running_loop().time()
            # Nothing below waits, so whoever subscribes first thing in the context misses no event.
            self._tasks.start_soon(self._post.deliver)
            self._tasks.start_soon(self._receive)
            self._tasks.start_soon(self._drive)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._tasks is not None
        if self._timer is not None:
            self._timer.cancel()
        self._tasks.cancel_scope.cancel()
        try:
            return await self._stack.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:  # a caller should not have to know that there is a task group inside
                raise group.exceptions[0] from None
            raise

    # -- for the caller

    async def events(
        self, *types: type[e.Event | e.Notice], lossless: bool = False
    ) -> AsyncIterator[e.Event | e.Notice]:
        """Yield what happens from the first step of the iteration on, until the federation ends.

        Parameters
        ----------
        *types
            Which events and notices; all, if none is named.
        lossless
            An observer (the default) misses events when it is slow, the oldest first, and never slows the
            federation. A lossless reader misses none, and the federation waits for it.
        """
        wanted = types or (e.Event, e.Notice)
        async with self.bus.subscribe(*wanted, observer=not lossless, name="events()") as subscription:
            async for event in subscription:
                yield event

    async def result(self) -> FederationResult:
        """Wait for the end and return the target models.

        Raises
        ------
        TooFewDevicesError
            If fewer than three devices reported their hardware.
        FederationFailedError
            If the federation ended without target models.
        """
        await self._ended.wait()
        return await read_result(self.federation, self._store)

    def remove_device(self, device: DeviceId, reason: str) -> None:
        """Take a device out for good; it is told, and its open update does not count."""
        self._submit(i.RemoveDevice(device=device, reason=reason))

    # -- the inbox

    def _submit(self, given: i.Input) -> None:
        self._inbox.put_nowait((given, None))

    async def _judge(self, given: i.Input) -> None:
        """Submit an input and wait until it is judged, logged and applied; raises `Rejected`."""
        judged = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait((given, judged))
        await judged

    async def _receive(self) -> None:
        async for arrived in self._transport.receive():
            await self._reception.take(arrived)

    # -- the small step

    async def _replay(self) -> None:
        for record in await self._store.records():
            event = self.federation.apply(record)
            if isinstance(event, e.FederationOpened):
                self._compare(event)
        live = self.federation.live_blobs()
        await self._store.delete([blob for blob in await self._store.blobs() if blob not in live])

    def _compare(self, opened: e.FederationOpened) -> None:
        if opened.settings != self._settings:
            raise ConfigurationError(
                f"the store holds federation {opened.settings.name!r} with other settings: go on with the settings "
                "that it was opened with, or give the new federation a store of its own"
            )
        before, now = ({(one.kind, one.name) for one in used} for used in (opened.plugins, self._team.used))
        if before != now:
            raise ConfigurationError(
                f"the store's federation was opened with the plugins {sorted(before - now)} in place of "
                f"{sorted(now - before)}: go on with the same ones"
            )

    def _now(self) -> float:
        return self._federation_start + asyncio.get_running_loop().time() - self._started_at

    async def _drive(self) -> None:
        self._federation_start = self.federation.latest_at
        if not self.federation.sequence:
            await self._step(i.OpenFederation(settings=self._settings, plugins=self._team.used))
        await self._settle()
        while not self.federation.ended:
            given, judged = await self._inbox.get()
            try:
                await self._step(given)
            except Rejected as rejected:
                await self._refuse(given, rejected, judged)
                continue
            if judged is not None and not judged.done():
                judged.set_result(None)
            await self._settle()
        await self._end()

    async def _step(self, given: i.Input) -> bool:
        """Decide, log, apply, publish; tell whether anything changed."""
        records = self.federation.decide(given, self._now())
        if not records:
            return False
        await self._store.append(records)
        freeing = any(isinstance(record.event, _FREEING) for record in records)
        live_before = self.federation.live_blobs() if freeing else set()
        events = [self.federation.apply(record) for record in records]
        for event in events:
            await self._react(event)
            await self.bus.publish(event)
        dead = live_before - self.federation.live_blobs() if freeing else set()
        await self._store.delete(sorted(dead))
        return True

    async def _settle(self) -> None:
        """Follow the consequences, then perform what is outstanding and has not been performed yet."""
        while await self._step(i.Tick()):
            pass
        outstanding = {command.key: command for command in self.federation.outstanding()}
        fresh = [command for key, command in outstanding.items() if key not in self._performed]
        self._performed = set(outstanding)
        for command in fresh:
            await self._perform(command)
        self._set_timer()

    async def _refuse(self, given: i.Input, rejected: Rejected, judged: asyncio.Future[None] | None) -> None:
        if judged is not None:
            if not judged.done():
                judged.set_exception(rejected)
            return
        notice = e.InputRejected(
            input=type(given).__name__,
            device=getattr(given, "device", None),
            refusal=rejected.refusal,
            reason=rejected.reason,
        )
        await self.bus.publish(notice)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_at = self.federation.due_at
        if due_at is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(due_at - self._federation_start + self._started_at, self._submit, i.Tick())

    async def _end(self) -> None:
        reason = self.federation.state.failure or "the federation has finished"
        for device in sorted(self.federation.state.devices):
            self._post.to_device(device, m.Dismissed(reason=reason))
        await self._post.flush()
        self._ended.set()
        self.bus.close()

    # -- performing

    async def _react(self, event: e.Event) -> None:
        if isinstance(event, e.DeviceRemoved):
            self._post.to_device(event.device, m.Dismissed(reason=f"removed: {event.reason}"))

    async def _perform(self, command: c.Command) -> None:
        match command:
            case c.Order():
                await self.bus.publish(command)
            case c.AnnounceGroup():
                self._announce(command)
            case c.PublishRound():
                await self._publish_round(command)
            case c.PublishTarget():
                message = m.TargetAnnounced(
                    group=command.group, version=command.version, model=command.model, reason=command.reason
                )
                self._post.to_group(command.group, message, await self._store.get(command.model))

    def _announce(self, command: c.AnnounceGroup) -> None:
        assigned = m.Assigned(assignment=m.Assignment(group=command.group, tier=command.tier))
        for device in self.federation.members(command.group):
            if self._told.get(device) != command.group:
                self._told[device] = command.group
                self._post.to_device(device, assigned)

    async def _publish_round(self, command: c.PublishRound) -> None:
        opened = command.opened
        whole_group = set(opened.participants) >= self.federation.state.groups[opened.group].members
        message = m.RoundAnnounced(
            group=opened.group,
            cohort=opened.cohort,
            purpose=opened.purpose,
            model=opened.model,
            participants=None if whole_group else opened.participants,
            budget=self._settings.rounds.budget,
            seed=opened.seed,
            deadline_in_s=max(opened.deadline_at - self._now(), 0.0),
        )
        self._post.to_group(opened.group, message, await self._store.get(opened.model))
