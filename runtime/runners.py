"""The runners: they connect plugins with the bus.

A runner subscribes to the orders of one plugin kind, asks the plugin where computing is done, and puts the answer back
as an input. So the machine never calls a plugin, and a new kind of participant needs no change of the coordinator.
"""

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np
from anyio.abc import TaskGroup

from tierwise.core import commands as c
from tierwise.core import inputs as i
from tierwise.core.bus import EventBus
from tierwise.core.deciding import Rejected
from tierwise.core.edges import Compute, Store
from tierwise.core.errors import StoreError
from tierwise.core.exchange import GroupModel
from tierwise.core.framing import arrays_to_bytes, to_bytes, unframe
from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareEnvelope, HardwareProfile, fleet_table
from tierwise.core.ids import BlobHash, DeviceId, GroupId
from tierwise.core.metrics import Metrics
from tierwise.core.selection import Postponed, Selector
from tierwise.core.settings import FederationSettings
from tierwise.core.standardising import standardised
from tierwise.core.tiers import RoundLimits, fits
from tierwise.core.weights import Weights
from tierwise.plugins.descriptors import Kind
from tierwise.runtime.aggregating import aggregate
from tierwise.runtime.blocks import UpdateBlocks
from tierwise.runtime.codecs import Codecs
from tierwise.runtime.exceptions import told
from tierwise.runtime.learners import Learners
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.policies import Team
from tierwise.runtime.reception import Judge
from tierwise.runtime.spool import Spool, Writing

O = TypeVar("O", bound=c.Order)  # noqa: E741


class Runners:
    """Runs the plugins of one federation.

    Parameters
    ----------
    settings
        The federation's.
    team
        The plugins.
    learners, codecs
        Make the learner of a tier, and its codec.
    own
        What the coordinator holds, prepared for models.
    store, spool
        Where models and updates are read from, and where models are written to.
    compute
        Where the plugins compute.
    judge
        Judges their answers.
    """

    def __init__(
        self,
        settings: FederationSettings,
        team: Team,
        learners: Learners,
        codecs: Codecs,
        own: OwnData,
        store: Store,
        spool: Spool,
        compute: Compute,
        judge: Judge,
    ) -> None:
        self._settings = settings
        self._team = team
        self._learners = learners
        self._codecs = codecs
        self._own = own
        self._store = store
        self._spool = spool
        self._compute = compute
        self._judge = judge
        self._names: dict[str, str] = {}
        for use in team.used:  # of a kind the whole plugin comes first, then parts of it; each tier has its own learner
            if use.kind != Kind.LEARNER:
                self._names.setdefault(use.kind, f"{use.kind} {use.name!r} ({use.distribution} {use.version})")

    async def start(self, bus: EventBus, tasks: TaskGroup) -> None:
        """Subscribe to all orders; the runners live as long as ``tasks`` and the bus."""
        for order, kind, answer in (
            (c.FormGroups, Kind.GROUPING_POLICY, self._form_groups),
            (c.PlaceDevices, Kind.GROUPING_POLICY, self._place_devices),
            (c.ChooseTier, Kind.TIER_PROVIDER, self._choose_tier),
            (c.SelectParticipants, Kind.SELECTOR, self._select),
            (c.ReduceCohort, Kind.AGGREGATOR, self._reduce),
            (c.StandardiseModel, Kind.LEARNER, self._standardise),
            (c.ExchangeModels, Kind.EXCHANGE, self._exchange),
            (c.MeasureModel, Kind.LEARNER, self._measure),
            (c.CheckStop, Kind.STOP_RULE, self._check_stop),
        ):
            # A task for each order: a group never waits until another's answer is there.
            handler = partial(_start_soon, tasks, partial(self._answer, kind, answer))
            await tasks.start(partial(bus.serve, handler, order, name=f"{kind} runner", essential=True))

    async def _answer(self, kind: Kind, answer: Callable[[O, Writing], Awaitable[i.Answer]], order: O) -> None:
        async with self._spool.writing() as writing:
            try:
                given = _checked(await answer(order, writing))
            except StoreError:
                raise  # the disk's fault, not the plugin's: the run stops, and can be gone on with
            except Exception as error:
                reason = told(error)
                plugin = self._names.get(kind, str(kind))
                given = i.PluginFailed(order=order.key, plugin=plugin, reason=reason)
            with suppress(Rejected):  # nobody waits for the answer any more
                await self._judge(given)
                writing.logged = not isinstance(given, i.PluginFailed)

    async def _form_groups(self, order: c.FormGroups, _writing: Writing) -> i.Answer:
        grouping = await self._compute.run(lambda: _without_reasons(self._group(order.fleet)))
        return i.GroupsProposed(order=order.key, grouping=grouping)

    async def _place_devices(self, order: c.PlaceDevices, _writing: Writing) -> i.Answer:
        grouping = await self._compute.run(partial(self._group, order.fleet))
        placed = {}
        for newcomer in order.newcomers:
            if newcomer not in grouping.unplaced:
                placed[newcomer] = _nearest_group(newcomer, grouping, order, self._settings.rounds.limits)
        return i.PlacementsProposed(
            order=order.key,
            placed=placed,
            unplaced={name: grouping.unplaced[name] for name in order.newcomers if name in grouping.unplaced},
        )

    def _group(self, fleet: Mapping[DeviceId, HardwareProfile]) -> Grouping:
        offers = self._team.tiers.offers(self._settings.task)
        return self._team.grouping.group(fleet_table(fleet), offers, self._settings.rounds.limits)

    async def _choose_tier(self, order: c.ChooseTier, writing: Writing) -> i.Answer:
        task, provider = self._settings.task, self._team.tiers
        tier = await self._compute.run(partial(provider.choose, task, order.envelope, self._settings.rounds.limits))
        weights = await self._compute.run(partial(provider.initial, task, tier, order.seed))
        tier.layout.require(weights.layout, f"the initial model of tier {tier.name!r}")
        return i.TierProposed(order=order.key, tier=tier, model=await self._write(partial(to_bytes, weights), writing))

    async def _select(self, order: c.SelectParticipants, _writing: Writing) -> i.Answer:
        selected = await self._compute.run(partial(_selected, self._team.selector, order))
        if isinstance(selected, Postponed):
            return i.SelectionPostponed(order=order.key, reason=selected.reason)
        return i.ParticipantsSelected(order=order.key, devices=selected)

    async def _reduce(self, order: c.ReduceCohort, writing: Writing) -> i.Answer:
        model = unframe(await self._store.get(order.model))
        state = {}
        if order.optimizer_state is not None:
            state = dict(unframe(await self._store.get(order.optimizer_state)).items())
        frames = await self._store.get_all([one.blob for one in order.contributions])
        updates = UpdateBlocks(self._codecs.of(order.tier), frames)
        samples = [one.samples for one in order.contributions]
        reducer, optimizer = self._team.reducer, self._team.server_optimizer
        after, next_state = await self._compute.run(
            partial(aggregate, reducer, optimizer, model, state, updates, samples)
        )
        return i.CohortReduced(
            order=order.key,
            model=await self._write(partial(to_bytes, after), writing),
            optimizer_state=await self._write(partial(arrays_to_bytes, next_state), writing) if next_state else None,
        )

    async def _standardise(self, order: c.StandardiseModel, writing: Writing) -> i.Answer:
        after = standardised(unframe(await self._store.get(order.model)), order.sums)
        return i.ModelAdjusted(order=order.key, model=await self._write(partial(to_bytes, after), writing))

    async def _exchange(self, order: c.ExchangeModels, writing: Writing) -> i.Answer:
        peers = [peer.model for peer in order.models.values()]
        frames = dict(zip(order.models, await self._store.get_all(peers), strict=True))
        after = await self._compute.run(partial(self._exchanged, order, frames))
        return i.ModelsExchanged(order=order.key, model=await self._write(partial(to_bytes, after), writing))

    def _exchanged(self, order: c.ExchangeModels, frames: Mapping[GroupId, memoryview]) -> Weights:
        assert self._team.exchange is not None
        models = {
            name: GroupModel(
                version=peer.version, tier=peer.tier, learner=self._learners(peer.tier), weights=unframe(frames[name])
            )
            for name, peer in order.models.items()
        }
        after = self._team.exchange.exchange(order.group, models, self._own.public, seed=order.seed)
        models[order.group].weights.layout.require(after.layout, f"what group {order.group} learned")
        if not np.isfinite(after.buffer).all():
            raise ValueError(f"what group {order.group} learned has values that are not finite")
        return after

    async def _measure(self, order: c.MeasureModel, _writing: Writing) -> i.Answer:
        frame = await self._store.get(order.model)
        return i.ModelMeasured(order=order.key, metrics=await self._compute.run(partial(self._measured, order, frame)))

    def _measured(self, order: c.MeasureModel, frame: memoryview) -> Metrics:
        assert self._own.test is not None
        return self._learners(order.tier).evaluate(unframe(frame), self._own.test)

    async def _check_stop(self, order: c.CheckStop, _writing: Writing) -> i.Answer:
        reason = await self._compute.run(partial(self._team.stop.check, order.history))
        return i.StopRuled(order=order.key, reason=reason)

    async def _write(self, make_frame: Callable[[], bytes], writing: Writing) -> BlobHash:
        frame, blob = await self._compute.run(partial(_framed, make_frame))
        await writing.put(frame, blob)
        return blob


def _selected(selector: Selector, order: c.SelectParticipants) -> tuple[DeviceId, ...] | Postponed:
    """Ask for participants among the group's own devices; then, with its guests among all, for guests alone.

    So its members take part as they would without guests, and a selector need not know of any.
    """
    own = selector.select(order.candidates, seed=order.seed)
    if isinstance(own, Postponed) or not order.guests:
        return own if isinstance(own, Postponed) else tuple(own)
    of_all = selector.select({**order.candidates, **order.guests}, seed=order.seed)
    guests = () if isinstance(of_all, Postponed) else of_all
    return (*own, *(device for device in guests if device not in order.candidates))


def _framed(make_frame: Callable[[], bytes]) -> tuple[bytes, BlobHash]:
    frame = make_frame()
    return frame, BlobHash(hashlib.sha256(frame).hexdigest())


async def _start_soon(tasks: TaskGroup, function: Callable[[O], Coroutine[Any, Any, None]], order: O) -> None:
    tasks.start_soon(function, order)


def _checked(given: i.Answer) -> i.Answer:
    """Return an answer as it would come over a wire: what a log could not hold is refused here, not there.

    NumPy's own scalars, which a plugin easily returns, become Python's.
    """
    return msgspec.msgpack.decode(msgspec.msgpack.encode(given, enc_hook=_plain), type=type(given))


def _without_reasons(answer: Any) -> Any:
    """Return of a grouping what the machine goes by, as a log can hold it: no sentence is put together in vain."""
    if not isinstance(answer, Grouping):
        return answer  # is refused, as that of any other plugin
    return Grouping(groups=answer.groups, unplaced=dict(answer.unplaced))


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is of type {type(value).__name__}, which no log can hold")


def _nearest_group(newcomer: DeviceId, grouping: Grouping, order: c.PlaceDevices, limits: RoundLimits) -> GroupId:
    """Return the existing group that most of a newcomer's companions in a new grouping are in; the weaker at a tie.

    Only groups come into question whose tier it carries; where there is none, and when its companions are all
    newcomers themselves, the weakest group takes it.
    """
    envelope = HardwareEnvelope.of([order.fleet[newcomer]])
    carried = [name for name, tier in order.tiers.items() if fits(tier.cost, envelope, limits)]
    group_of = {device: name for name, devices in order.groups.items() for device in devices}
    companions = next(group for group in grouping.groups if newcomer in group)
    counts = Counter(group_of[device] for device in companions if device in group_of)
    return max(carried or list(order.groups)[:1], key=lambda name: counts[name])  # weakest first, at a tie as well
