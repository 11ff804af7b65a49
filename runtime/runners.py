"""The runners: they connect plugins with the bus.

A runner subscribes to the orders of one plugin kind, asks the plugin where computing is done, and puts the answer back
as an input. So the machine never calls a plugin, and a new kind of participant needs no change of the coordinator.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from anyio.abc import TaskGroup

from tierwise.core import commands as c
from tierwise.core import inputs as i
from tierwise.core.bus import EventBus
from tierwise.core.edges import Compute, Store
from tierwise.core.framing import to_bytes, unframe
from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareProfile, fleet_table
from tierwise.core.ids import BlobHash, DeviceId, GroupId
from tierwise.core.settings import FederationSettings
from tierwise.core.weights import Weights
from tierwise.plugins.descriptors import Kind
from tierwise.runtime.aggregating import aggregate
from tierwise.runtime.policies import Team

O = TypeVar("O", bound=c.Order)  # noqa: E741


class Submit(Protocol):
    """Takes an input to the machine, without waiting for its judgement."""

    def __call__(self, given: i.Input) -> None:
        """Submit ``given``."""
        ...


class Runners:
    """Runs the plugins of one federation.

    Parameters
    ----------
    settings
        The federation's.
    team
        The plugins.
    store
        Where models and updates are read from and written to.
    compute
        Where the plugins compute.
    submit
        Takes their answers.
    """

    def __init__(
        self, settings: FederationSettings, team: Team, store: Store, compute: Compute, submit: Submit
    ) -> None:
        self._settings = settings
        self._team = team
        self._store = store
        self._compute = compute
        self._submit = submit
        self._names = {use.kind: f"{use.kind} {use.name!r} ({use.distribution} {use.version})" for use in team.used}

    async def start(self, bus: EventBus, tasks: TaskGroup) -> None:
        """Subscribe to all orders; the runners live as long as ``tasks`` and the bus."""
        for order, kind, answer in (
            (c.FormGroups, Kind.GROUPING_POLICY, self._form_groups),
            (c.PlaceDevices, Kind.GROUPING_POLICY, self._place_devices),
            (c.ChooseTier, Kind.TIER_PROVIDER, self._choose_tier),
            (c.SelectParticipants, Kind.SELECTOR, self._select),
            (c.ReduceCohort, Kind.AGGREGATOR, self._reduce),
            (c.CheckStop, Kind.STOP_RULE, self._check_stop),
        ):
            # A task for each order: a group never waits until another's answer is there.
            handler = partial(_start_soon, tasks, partial(self._answer, kind, answer))
            await tasks.start(partial(bus.serve, handler, order, name=f"{kind} runner", essential=True))

    async def _answer(self, kind: Kind, answer: Callable[[O], Awaitable[i.Answer]], order: O) -> None:
        try:
            given = await answer(order)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            given = i.PluginFailed(order=order.key, plugin=self._names[kind], reason=reason)
        self._submit(given)

    async def _form_groups(self, order: c.FormGroups) -> i.Answer:
        return i.GroupsProposed(order=order.key, grouping=await self._compute.run(partial(self._group, order.fleet)))

    async def _place_devices(self, order: c.PlaceDevices) -> i.Answer:
        grouping = await self._compute.run(partial(self._group, order.fleet))
        placed = {}
        for newcomer in order.newcomers:
            if newcomer not in grouping.unplaced:
                placed[newcomer] = _nearest_group(newcomer, grouping, order)
        return i.PlacementsProposed(
            order=order.key,
            placed=placed,
            unplaced={name: grouping.unplaced[name] for name in order.newcomers if name in grouping.unplaced},
        )

    def _group(self, fleet: Mapping[DeviceId, HardwareProfile]) -> Grouping:
        offers = self._team.tiers.offers(self._settings.task)
        return self._team.grouping.group(fleet_table(fleet), offers, self._settings.rounds.limits)

    async def _choose_tier(self, order: c.ChooseTier) -> i.Answer:
        task, provider = self._settings.task, self._team.tiers
        tier = await self._compute.run(partial(provider.choose, task, order.envelope, self._settings.rounds.limits))
        weights = await self._compute.run(partial(provider.initial, task, tier, order.seed))
        tier.layout.require(weights.layout, f"the initial model of tier {tier.name!r}")
        return i.TierProposed(order=order.key, tier=tier, model=await self._keep(weights))

    async def _select(self, order: c.SelectParticipants) -> i.Answer:
        select = partial(self._team.selector.select, order.candidates, seed=order.seed)
        return i.ParticipantsSelected(order=order.key, devices=tuple(await self._compute.run(select)))

    async def _reduce(self, order: c.ReduceCohort) -> i.Answer:
        model = unframe(await self._store.get(order.model))
        state = {}
        if order.optimizer_state is not None:
            state = dict(unframe(await self._store.get(order.optimizer_state)).items())
        updates = [unframe(await self._store.get(one.blob)).buffer for one in order.contributions]
        samples = [one.samples for one in order.contributions]
        after, next_state = await self._compute.run(
            partial(aggregate, self._team.reducer, self._team.server_optimizer, model, state, updates, samples)
        )
        return i.CohortReduced(
            order=order.key,
            model=await self._keep(after),
            optimizer_state=await self._keep(Weights.of(next_state)) if next_state else None,
        )

    async def _check_stop(self, order: c.CheckStop) -> i.Answer:
        reason = await self._compute.run(partial(self._team.stop.check, order.history))
        return i.StopRuled(order=order.key, reason=reason)

    async def _keep(self, weights: Weights) -> BlobHash:
        return await self._store.put(await self._compute.run(partial(to_bytes, weights)))


async def _start_soon(tasks: TaskGroup, function: Callable[[O], Coroutine[Any, Any, None]], order: O) -> None:
    tasks.start_soon(function, order)


def _nearest_group(newcomer: DeviceId, grouping: Grouping, order: c.PlaceDevices) -> GroupId:
    """Return the existing group that most of a newcomer's companions in a new grouping are in; the weaker at a tie.

    When its companions are all newcomers themselves, the weakest group takes it: that tier it can carry.
    """
    group_of = {device: name for name, devices in order.groups.items() for device in devices}
    companions = next(group for group in grouping.groups if newcomer in group)
    counts = Counter(group_of[device] for device in companions if device in group_of)
    return max(order.groups, key=lambda name: counts[name])  # the first of equals, and weakest come first
