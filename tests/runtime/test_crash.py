"""The proof that the machine holds all the logic: whatever a coordinator dies of, the next one gets the same bytes.

Everything but the store and the devices is dropped: the coordinator with its inbox, its outbox, its timers, its
runners and all that it was told and had not logged.
"""

import functools

import anyio
import pytest

from tierwise.core import events as e
from tierwise.core.framing import unframe
from tierwise.core.hardware import HardwareProfile
from tierwise.runtime.policies import AggregatorChoice
from tierwise.runtime.simulation.fleet import RELIABLE, DeviceSpec
from tierwise.runtime.simulation.run import run_virtually
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.transports.memory import MemoryNetwork

from .helpers import (
    INSISTENT,
    coordinator,
    data,
    facts,
    live,
    name_of,
    policies,
    run_with_agents,
    simulated,
    specs,
    story,
    targets_of,
)


class Crash(Exception):  # noqa: N818  (nobody catches it by mistake)
    """The coordinator's process dies."""


class CrashingStore:
    """A store whose user dies at some of its appends, counted from 1 over all of its lives.

    ``before``: what was decided is not logged. ``after``: it is logged, and nobody has seen it yet.
    """

    def __init__(self, *, before=(), after=()):
        self._store = MemoryStore()
        self._before, self._after = frozenset(before), frozenset(after)
        self.appends = 0
        self.crashes = 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def append(self, records):
        self.appends += 1
        if self.appends in self._before:
            self._die()
        await self._store.append(records)
        if self.appends in self._after:
            self._die()

    def _die(self):
        self.crashes += 1
        raise Crash


def simulate_with(store, *, downtime_s=0.0, insist=INSISTENT, **changed):
    """Run a federation on virtual time, with a new coordinator whenever one has died; return its log."""

    async def main():
        fleet = simulated(specs(), insist)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fleet.run)
            await survive(fleet, store, downtime_s, **changed)
            tasks.cancel_scope.cancel()
        return await store.records()

    return run_virtually(main())


async def survive(transport, store, downtime_s=0.0, **changed):
    while True:
        try:
            async with coordinator(transport, store, **changed) as running:
                return await running.result()
        except Crash:
            await anyio.sleep(downtime_s)


@functools.cache
def undisturbed():
    store = CrashingStore()
    records = simulate_with(store)
    return store.appends, records


APPENDS = undisturbed()[0]


def assert_same(records, store):
    expected = undisturbed()[1]
    assert targets_of(records) == targets_of(expected)
    assert facts(records) == facts(expected)
    assert [record.sequence for record in records] == list(range(len(records)))
    for group in targets_of(expected):
        assert story(records, group) == story(expected, group)
    kept = anyio.run(store.blobs)
    assert kept == sorted(set(targets_of(expected).values()) | optimizer_states(expected))
    for group, identity in targets_of(expected).items():
        assert unframe(anyio.run(store.get, identity)).identity == identity, group


def optimizer_states(records):
    last = {r.event.group: r.event.optimizer_state for r in records if isinstance(r.event, e.RoundClosed)}
    return set(last.values())


def test_the_undisturbed_run_is_worth_disturbing():
    appends, records = undisturbed()
    happened = [type(record.event) for record in records]
    assert appends > 70
    assert happened.count(e.RoundClosed) == 6
    assert happened.count(e.UpdateAccepted) == 18
    assert happened.count(e.EvaluationAccepted) == 9
    assert len(set(targets_of(records).values())) == 3
    assert e.RoundAbandoned not in happened
    assert all(r.event.devices == 3 for r in records if isinstance(r.event, e.RoundClosed))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_coordinator_that_dies_at_any_append_is_continued_to_the_same_bytes(moment):
    for append in range(1, APPENDS + 1):
        store = CrashingStore(**{moment: [append]})
        records = simulate_with(store)
        assert store.crashes == 1, append
        assert_same(records, store)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_to_be_asked_again_is_enough_for_devices_that_say_nothing_twice_by_themselves(moment):
    # What was sent and not logged is asked for by the round that the next coordinator publishes again. Only who joins
    # must insist, so that this begins when everybody has joined.
    joined = 1 + 2 * 9
    for append in range(joined + 1, APPENDS + 1, 5):
        store = CrashingStore(**{moment: [append]})
        assert_same(simulate_with(store, insist=RELIABLE), store)
        assert store.crashes == 1


@pytest.mark.parametrize("aggregator", ["adagrad", "adam", "yogi"])
def test_every_server_optimizer_goes_on_from_its_logged_state(aggregator):
    chosen = policies(rounds=3, aggregation=AggregatorChoice(name=aggregator))
    alive = CrashingStore()
    expected = simulate_with(alive, policies=chosen)
    rounds = [r.event for r in expected if isinstance(r.event, e.RoundClosed)]
    assert len(rounds) == 9
    assert len({event.optimizer_state for event in rounds} | {None}) == 10
    mortal = CrashingStore(after=range(1, 10_000))
    assert targets_of(simulate_with(mortal, policies=chosen)) == targets_of(expected)
    assert mortal.crashes == alive.appends


def test_one_that_dies_twice_in_a_row_or_far_apart():
    for append in range(1, APPENDS, 8):
        for distance in (1, 2, 17):
            store = CrashingStore(before=[append], after=[append + distance])
            records = simulate_with(store)
            assert store.crashes >= 1
            assert_same(records, store)


def test_one_that_dies_at_every_append():
    store = CrashingStore(after=range(1, 10_000))
    assert_same(simulate_with(store), store)
    assert store.crashes == store.appends == APPENDS


def test_time_during_which_it_is_down_does_not_count():
    downtime_s = 5_000.0  # many deadlines long
    for append in range(3, APPENDS + 1, 8):
        store = CrashingStore(before=[append])
        records = simulate_with(store, downtime_s=downtime_s)
        assert_same(records, store)
        assert records[-1].at < downtime_s


def test_a_deadline_has_as_much_time_left_as_before():
    never, late = (HardwareProfile.declared(cpu_flops=flops) for flops in (1e-3, 10.0))
    devices = specs(3) | {name_of(3): DeviceSpec(never, data(3)), name_of(4): DeviceSpec(late, data(4))}
    own = {"devices": 5, "policies": policies(groups=1, rounds=1)}
    up_s, down_s = 250.0, 1_000.0
    store = MemoryStore()

    async def main():
        fleet = simulated(devices, INSISTENT)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fleet.run)
            async with coordinator(fleet, store, **own):
                await anyio.sleep(up_s)  # the first round's deadline is at 600 s, and one device will miss it
            known_until = (await store.records())[-1].at
            await anyio.sleep(down_s)
            async with coordinator(fleet, store, **own) as running:
                await anext(running.events(e.CohortClosed))
                closed_at = anyio.current_time()
                await running.result()
            tasks.cancel_scope.cancel()
        return known_until, closed_at

    known_until, closed_at = run_virtually(main())
    records = anyio.run(store.records)
    opened = next(record.event for record in records if isinstance(record.event, e.RoundOpened))
    closed = next(record for record in records if isinstance(record.event, e.CohortClosed))
    assert 100 < known_until < up_s
    assert closed.event.survivors == ("d0", "d1", "d2", "d4")
    assert closed.at == pytest.approx(opened.deadline_at)
    assert closed_at == pytest.approx(up_s + down_s + opened.deadline_at - known_until)


def test_a_device_that_was_removed_in_the_last_moment_is_told_by_the_next_coordinator():
    class Removing(CrashingStore):
        async def append(self, records):
            await super().append(records)
            if any(isinstance(record.event, e.DeviceRemoved) for record in records):
                self._die()

    async def main():
        store, network, targets = Removing(), MemoryNetwork(), {}
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(functools.partial(live, number, network, targets, settings=INSISTENT))
            with pytest.raises(Crash):
                await remove_one(network.coordinator(), store)
            await survive(network.coordinator(), store)
        return targets

    async def remove_one(transport, store):
        async with coordinator(transport, store) as running:
            await anext(running.events(e.TierAssigned))
            running.remove_device(name_of(8), "sold")
            await running.result()

    targets = run_virtually(main())
    assert targets[8] is None
    assert all(targets[number].version == 2 for number in range(6))


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("append", range(2, 40, 3))  # half of the simulation's: what comes at once is one append
def test_real_agents_go_through_it_too(moment, append):
    async def main():
        store, network, targets = CrashingStore(**{moment: [append]}), MemoryNetwork(), {}
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(live, number, network, targets)
            await survive(network.coordinator(), store)
        return store, await store.records(), targets

    store, records, targets = anyio.run(main)
    assert store.crashes == 1
    expected = undisturbed()[1]
    assert targets_of(records) == targets_of(expected)
    assert facts(records) == facts(expected)
    assert {target.model.identity for target in targets.values()} == set(targets_of(expected).values())


def test_a_federation_that_has_ended_is_only_told_again():
    store = MemoryStore()
    _, records, _ = anyio.run(run_with_agents, store)

    async def again():
        async with coordinator(MemoryNetwork().coordinator(), store) as running:
            return await running.result()

    result = anyio.run(again)
    assert {group.group: group.identity for group in result.groups} == targets_of(records)
    assert anyio.run(store.records) == records
