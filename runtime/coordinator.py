"""The coordinator: drives a federation's machine with a transport, a store, plugins and a clock.

One task does the small step: decide, log, apply, publish, perform what is outstanding. Everything else (the
transport, the plugins' runners, timers, the operator) only puts inputs into its inbox.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVarTuple, cast

import anyio
from anyio.abc import TaskGroup

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core import messages as m
from tierwise.core.bus import EventBus
from tierwise.core.deciding import Rejected
from tierwise.core.edges import Arrived, Compute, CoordinatorTransport, LetterTransport, Store
from tierwise.core.envelope import Letter
from tierwise.core.errors import FederationError
from tierwise.core.events import Record
from tierwise.core.federation import Federation
from tierwise.core.ids import DeviceId
from tierwise.core.settings import FederationSettings
from tierwise.plugins.manager import Plugins
from tierwise.runtime.announcing import Announcer
from tierwise.runtime.codecs import Codecs
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.exceptions import unwrapped
from tierwise.runtime.federation_clock import FederationClock
from tierwise.runtime.gathering import Gathering, patience
from tierwise.runtime.going_on import Chosen, compare, lay_out
from tierwise.runtime.in_hand import Arrival, InHand
from tierwise.runtime.inbox import Inbox, Submitted, tell
from tierwise.runtime.lanes import Lanes
from tierwise.runtime.learners import Learners
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.policies import Policies, assemble, check_team
from tierwise.runtime.post import Post
from tierwise.runtime.reception import Reception
from tierwise.runtime.result import FederationResult, read_result
from tierwise.runtime.runners import Runners
from tierwise.runtime.spool import Spool
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.watching import EventStream, Happening

_FREEING: Final = (
    e.RoundClosed,
    e.ModelStandardised,
    e.ModelExchanged,
    e.RoundAbandoned,
    e.GroupFinished,
    e.DeviceRemoved,
)
"""Events after which blobs may no longer be needed."""
HELD_BACK_S: Final = 0.02
"""How soon to ask again whether a deadline, which waits for what came before it, has passed."""


Ts = TypeVarTuple("Ts")


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
        Its end of the network; or of the memory that it shares with the devices.
    policies
        Who decides what, by name.
    plugins
        Where the names are looked up; None for all that is installed.
    store
        Log and blobs; None for memory. A store that has a log already is gone on with.
    compute
        Where plugins compute; None for worker threads.
    own
        What the coordinator itself holds: a public set for an exchange, a test set. None for nothing.
    may_change
        Options that may differ from those of the store's federation, by their keys in a configuration, or whole tables:
        ``stop.rounds``, ``stop``. Possible for the stop rule, the selector, and the server optimizer's options.

    Raises
    ------
    ConfigurationError, PluginError
        If the policies cannot be made, or do not go with the task or with each other.
    """

    def __init__(
        self,
        settings: FederationSettings,
        *,
        transport: CoordinatorTransport | LetterTransport,
        policies: Policies | None = None,
        plugins: Plugins | None = None,
        store: Store | None = None,
        compute: Compute | None = None,
        own: OwnData | None = None,
        may_change: Collection[str] = (),
    ) -> None:
        self._settings = settings
        self._transport = transport
        plugins = plugins or Plugins.discover()
        policies = policies or Policies()
        self._team = assemble(policies, plugins)
        self._policies = lay_out(policies, plugins)
        self._may_change = may_change
        self._changed = False
        """Whether it goes on with other options than the store's federation had."""
        own_data = (own or OwnData()).prepared(settings.task)
        check_team(self._team, settings.task, own_data, plugins)
        self._tests = own_data.test is not None
        self._store = store or MemoryStore()
        compute = compute or ThreadCompute()
        self.bus = EventBus()
        self.federation = Federation()
        self._post = Post(transport)
        self._inbox = Inbox()
        self._commit_s = 0.0
        """What the last commit took."""
        self._lanes: Lanes[Arrival] = Lanes(self._handle)
        self._in_hand = InHand()
        self._spool = Spool(self._store, self.federation)
        learners, codecs = Learners(plugins, settings.task), Codecs(plugins)
        self._runners = Runners(
            settings, self._team, learners, codecs, own_data, self._store, self._spool, compute, self._judge
        )
        self._reception = Reception(
            self.federation,
            self._judge,
            self._submit,
            self._start_soon,
            self._notify,
            self._post,
            self._store,
            self._spool,
            compute,
            codecs,
        )
        self._performed: set[str] = set()
        self._clock = FederationClock()
        self._announcer = Announcer(self.federation, self._post, self._store, self._clock)
        self._ended = anyio.Event()
        self._tasks: TaskGroup | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._store.open())
            await self._replay()
            await stack.enter_async_context(self._transport.connect())
            stack.callback(self._leave)
            stack.enter_context(unwrapped())
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            await self._runners.start(self.bus, self._tasks)
            self._clock.start(self.federation.latest_at)
            # Nothing below waits, so whoever subscribes first thing in the context misses no event.
            self._tasks.start_soon(self._post.deliver)
            self._tasks.start_soon(self._spool.sweep)
            self._tasks.start_soon(self._drive)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        return await self._stack.__aexit__(kind, error, trace)

    def _leave(self) -> None:
        self._clock.cancel()
        self._ended.set()
        self.bus.close()

    # -- for the caller

    def events(self, *types: type[Happening], lossless: bool = False) -> EventStream:
        """Return what happens from the first step of the iteration on, until the federation ends.

        Parameters
        ----------
        *types
            Which events and notices; all, if none is named.
        lossless
            An observer (the default) misses events when it is slow, the oldest first, counted in
            `EventStream.dropped`, and never slows the federation. A lossless reader misses none, and the federation
            waits for it.
        """
        return EventStream(self.bus, types or (e.Event, e.Notice), lossless=lossless)

    async def result(self) -> FederationResult:
        """Wait for the end and return the target models.

        Raises
        ------
        TooFewDevicesError
            If fewer than three devices reported their hardware.
        FederationFailedError
            If the federation ended without target models.
        FederationError
            If the coordinator was stopped before the federation's end.
        """
        await self._ended.wait()
        if not self.federation.ended:
            raise FederationError(
                "the coordinator was stopped before the federation's end: enter a new one with the same store to go on"
            )
        return await read_result(self.federation, self._store)

    def remove_device(self, device: DeviceId, reason: str) -> None:
        """Take a device out for good; it is told, and its open update does not count."""
        self._submit(i.RemoveDevice(device=device, reason=reason))

    def release_device(self, device: DeviceId) -> None:
        """Take a device out of quarantine: it takes part again from the next round on."""
        self._submit(i.ReleaseDevice(device=device))

    # -- the inbox

    def _submit(self, given: i.Input, answer: Callable[[Rejected | None], None] | None = None) -> None:
        self._inbox.put(Submitted(given, answer))

    def _start_soon(self, function: Callable[[*Ts], Coroutine[Any, Any, None]], *given: *Ts) -> None:
        assert self._tasks is not None
        self._tasks.start_soon(function, *given)

    async def _judge(self, given: i.Input) -> None:
        """Submit an input and wait until it is judged and, unless this raises `Rejected`, logged and applied."""
        judged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.put(Submitted(given, partial(tell, judged)))
        await judged

    async def _receive(self) -> None:
        async with aclosing(self._transport.receive()) as arrivals:
            async for arrived in arrivals:
                came_at = arrived.at if isinstance(arrived, Arrived) else None
                arrival = Arrival(arrived, self._clock.now if came_at is None else self._clock.at(came_at))
                self._in_hand.add(arrival)
                if arrived.device in self._lanes or not self._take_letter(arrival):
                    await self._lanes.put(arrived.device, arrival)

    def _take_letter(self, arrival: Arrival) -> bool:
        """Take a letter with which nobody has to wait for anything but the judgement; tell whether it was one."""
        came = arrival.came
        if not isinstance(came, Arrived) or not isinstance(came.data, Letter):
            return False
        return self._reception.take_letter(came.device, came.data, arrival.at, partial(self._in_hand.remove, arrival))

    async def _handle(self, arrival: Arrival) -> None:
        await self._reception.take(arrival.came, arrival.at)
        self._in_hand.remove(arrival)

    # -- the small step

    async def _replay(self) -> None:
        for record in await self._store.records():
            self.federation.apply(record)
        if self.federation.sequence:
            now = Chosen(self._settings, self._policies, self._team.used)
            self._changed = compare(self.federation.state, now, self._may_change)
        await self._spool.discard(await self._store.blobs())

    def _judged_until(self) -> float:
        """Return up to which federation time all that came is judged: no deadline after it has passed yet."""
        arriving_since = self._transport.arriving_since()
        arriving_at = math.inf if arriving_since is None else self._clock.at(arriving_since)
        oldest_at = min(self._in_hand.oldest_at, arriving_at)
        return self._clock.now if oldest_at == math.inf else oldest_at

    async def _drive(self) -> None:
        if not self.federation.sequence:
            await self._step(
                i.OpenFederation(
                    settings=self._settings,
                    plugins=self._team.used,
                    exchanges=self._team.exchange is not None,
                    tests=self._tests,
                    policies=self._policies,
                )
            )
        elif self._changed and not self.federation.ended:
            await self._step(i.ChangePolicies(policies=self._policies, plugins=self._team.used))
        for device, reason in self.federation.state.removed.items():
            self._dismiss(device, reason)  # it may not have been told any more
        await self._settle()
        assert self._tasks is not None
        self._tasks.start_soon(self._receive)  # not before there is a federation to judge what comes
        self._lanes.start(self._tasks)
        while not self.federation.ended:
            await self._gather()
            batch = await self._inbox.get()
            await self._take(batch)
            if self.federation.stirred or isinstance(batch[0].given, i.Tick):
                await self._settle()
        await self._end()
        while True:  # whoever comes too late still gets an answer
            await self._take(await self._inbox.get())

    async def _gather(self) -> None:
        """Let the next commit have more to take, where commits take long."""
        await self._inbox.filled()
        if wait_s := patience(self._commit_s):
            await self._inbox.gather(Gathering(self.federation.state).enough, wait_s)

    async def _take(self, batch: Sequence[Submitted]) -> None:
        """Judge what came together, with one commit for all of it."""
        decided = self._decide([submitted.given for submitted in batch])
        await self._commit([record for one in decided if not isinstance(one, Rejected) for record in one])
        for submitted, one in zip(batch, decided, strict=True):
            if isinstance(one, Rejected):
                await self._notify(
                    e.InputRejected(
                        input=type(submitted.given).__name__,
                        device=getattr(submitted.given, "device", None),
                        refusal=one.refusal,
                        reason=one.reason,
                    )
                )
            if submitted.answer is not None:
                submitted.answer(one if isinstance(one, Rejected) else None)

    def _decide(self, inputs: Sequence[i.Input]) -> Sequence[tuple[Record, ...] | Rejected]:
        if isinstance(inputs[0], i.DeviceInput):
            return self.federation.decide_together(cast("Sequence[i.DeviceInput]", inputs), self._clock.now)
        (given,) = inputs
        try:
            return (
                self.federation.decide(given, self._judged_until() if isinstance(given, i.Tick) else self._clock.now),
            )
        except Rejected as rejected:
            return (rejected,)

    async def _step(self, given: i.Input) -> bool:
        """Decide and commit; tell whether anything changed."""
        (records,) = self._decide([given])
        assert not isinstance(records, Rejected), "what is our own is never refused"
        return await self._commit(records)

    async def _commit(self, records: Sequence[Record]) -> bool:
        """Log, apply, publish; tell whether there was anything."""
        if not records:
            return False
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        await self._store.append(records)
        self._commit_s = loop.time() - began_at
        freeing = any(isinstance(record.event, _FREEING) for record in records)
        live_before = self.federation.live_blobs() if freeing else set()
        events = [self.federation.apply(record) for record in records]
        for event in events:
            if isinstance(event, e.DeviceRemoved):
                self._dismiss(event.device, event.reason)
            await self.bus.publish(event)
        if freeing:
            self._spool.free(live_before)
        return True

    async def _settle(self) -> None:
        """Follow the consequences, then perform what is outstanding and has not been performed yet."""
        while await self._step(i.Tick()):
            pass
        self.federation.stirred = False
        outstanding = {command.key: command for command in self.federation.outstanding()}
        fresh = [command for key, command in outstanding.items() if key not in self._performed]
        self._performed = set(outstanding)
        for command in fresh:
            await self._perform(command)
        self._set_timer()

    async def _notify(self, notice: e.Notice) -> None:
        if not self._ended.is_set():  # else the bus is closed, and nobody listens
            await self.bus.publish(notice)

    def _set_timer(self) -> None:
        due_at = self.federation.due_at
        if due_at is None:
            self._clock.cancel()
            return
        now = self._clock.now
        self._clock.call_at(due_at if due_at > now else now + HELD_BACK_S, self._tick)

    def _tick(self) -> None:
        self._submit(i.Tick())

    async def _end(self) -> None:
        state = self.federation.state
        reason = state.failure or "the federation has finished"
        for device, found in sorted(state.devices.items()):
            target = None if found.group is None else state.groups[found.group].model
            self._post.to_device(device, m.Dismissed(reason=reason, target=target))
        await self._post.flush()
        await self._spool.swept()
        self._ended.set()
        self.bus.close()

    # -- performing

    def _dismiss(self, device: DeviceId, reason: str) -> None:
        self._post.to_device(device, m.Dismissed(reason=f"removed: {reason}"))

    async def _perform(self, command: c.Command) -> None:
        match command:
            case c.Order():
                await self.bus.publish(command)
            case c.AnnounceGroup():
                self._announcer.announce_group(command)
            case c.PublishRound():
                await self._announcer.publish_round(command)
            case c.PublishTarget():
                await self._announcer.publish_target(command)
