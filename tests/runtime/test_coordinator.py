"""The coordinator from outside: its context, its events, its errors, and devices that come and go."""

import asyncio
import signal

import anyio
import anyio.lowlevel
import pytest

from tierwise.core import events as e
from tierwise.core import messages as m
from tierwise.core.envelope import seal
from tierwise.core.errors import ConfigurationError, DeviceError, FederationError, StoreError, TooFewDevicesError
from tierwise.core.hardware import HardwareProfile
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.policies import AggregatorChoice, Choice
from tierwise.runtime.simulation.run import run_virtually
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.transports.memory import MemoryNetwork

from .helpers import (
    TASK,
    agent,
    coordinator,
    live,
    name_of,
    policies,
    profile,
    run_with_agents,
    settings,
    targets_of,
)

pytestmark = pytest.mark.anyio
ONE = policies(groups=1)


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def with_agents(running, network, numbers, **changed):
    """Be some devices until the federation has ended."""
    async with anyio.create_task_group() as tasks:
        for number in numbers:
            tasks.start_soon(lambda n=number: live(n, network, **changed))
    return await running.result()


def of(seen, kind):
    return [event for event in seen if isinstance(event, kind)]


# -- the context


async def test_a_federation_runs_to_its_end():
    store = MemoryStore()
    result, records, targets = await run_with_agents(store)
    assert [group.tier.name for group in result.groups] == ["mlp-2", "mlp-4", "mlp-8"]
    assert [group.version for group in result.groups] == [2, 2, 2]
    assert not result.failed
    for group in result.groups:
        assert group.metrics["accuracy"].count == 18
        assert group.model.identity == group.identity
        for device in group.devices:
            target = targets[int(device[1:])]
            assert (target.group, target.model.identity) == (group.group, group.identity)
    assert isinstance(records[-1].event, e.FederationFinished)


async def test_signal_handlers_stay_as_they_were():
    before = {one: signal.getsignal(one) for one in signal.valid_signals()}
    network = MemoryNetwork()
    async with coordinator(network.coordinator()), agent(0, network):
        await anyio.sleep(0.01)
        assert {one: signal.getsignal(one) for one in signal.valid_signals()} == before
    assert {one: signal.getsignal(one) for one in signal.valid_signals()} == before


async def test_two_coordinators_run_in_one_loop():
    alone, _, _ = await run_with_agents(settings=settings(seed=1))
    both = {}

    async def run(seed):
        both[seed], _, _ = await run_with_agents(settings=settings(seed=seed))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, 1)
        tasks.start_soon(run, 2)
    assert [group.identity for group in both[1].groups] == [group.identity for group in alone.groups]
    assert [group.identity for group in both[2].groups] != [group.identity for group in alone.groups]


async def test_it_lives_within_a_program_that_does_other_things():
    beats = 0

    async def beat():
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.001)

    service = asyncio.create_task(beat())  # a plain asyncio program
    await run_with_agents(agent_compute=ThreadCompute, compute=ThreadCompute())
    assert not service.done()
    assert beats > 5
    service.cancel()


async def test_leaving_early_stops_everything_at_once():
    network, store = MemoryNetwork(), MemoryStore()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as devices:
            for number in range(9):
                devices.start_soon(live, number, network)
            async with coordinator(network.coordinator(), store) as running:
                async for event in running.events(e.RoundOpened):
                    assert event
                    break
            devices.cancel_scope.cancel()
    assert len(asyncio.all_tasks()) <= 2  # this test and its runner
    async with store.open():
        pass


async def test_who_waits_for_the_result_of_a_coordinator_that_is_left_is_told():
    said = []

    async def wait(running):
        try:
            await running.result()
        except FederationError as error:
            said.append(str(error))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, coordinator(MemoryNetwork().coordinator()) as running:
            tasks.start_soon(wait, running)
            await anyio.sleep(0.01)
    assert said == [
        "the coordinator was stopped before the federation's end: enter a new one with the same store to go on"
    ]


async def test_an_exception_of_the_body_comes_out_as_it_is():
    cause, mine = ValueError("the cause"), KeyError("mine")

    async def run():
        async with coordinator(MemoryNetwork().coordinator()):
            await anyio.sleep(0.01)
            raise mine from cause

    with pytest.raises(KeyError) as raised:
        await run()
    assert raised.value is mine
    assert mine.__cause__ is cause


async def test_a_store_is_for_one_coordinator_at_a_time():
    store = MemoryStore()
    async with coordinator(MemoryNetwork().coordinator(), store):
        with pytest.raises(StoreError, match="another coordinator holds this store"):
            async with coordinator(MemoryNetwork().coordinator(), store):
                pass
    async with coordinator(MemoryNetwork().coordinator(), store):
        pass


@pytest.mark.parametrize(
    ("changed", "key", "now", "before"),
    [
        ({"settings": settings(seed=8)}, "federation.seed", 8, 7),
        ({"settings": settings(deadline_s=5.0)}, "rounds.deadline_s", 5.0, 600.0),
        ({"policies": policies(selection=Choice(name="random"))}, "selection.selector", "random", "all"),
        ({"policies": policies(rounds=3)}, "stop.rounds", 3, 2),
        (
            {"policies": policies(tiers=Choice(name="mlp", options={"hidden": [[2], [4], [9]]}))},
            "tiers.hidden.2.0",
            9,
            8,
        ),
        (
            {"policies": policies(aggregation=AggregatorChoice(name="mean"))},
            "aggregation.aggregator",
            "mean",
            "momentum",
        ),
    ],
)
async def test_a_log_of_another_federation_is_not_gone_on_with(changed, key, now, before):
    store = MemoryStore()
    await run_with_agents(store)
    with pytest.raises(ConfigurationError) as caught:
        async with coordinator(MemoryNetwork().coordinator(), store, **changed):
            pass
    assert caught.value.key == key
    assert str(caught.value).startswith(
        f"{key} is {now!r}, the store's federation was opened with {before!r}: go on with that, or give the new "
        "federation a store of its own"
    )
    may_change = key.startswith(("selection", "stop"))
    assert str(caught.value).endswith(f"or allow this change (--allow-change {key})") == may_change
    async with store.open():
        pass  # it was let go


# -- failing parts


class FailingStore(MemoryStore):
    """Fails at one of its methods, from the n-th call on."""

    def __init__(self, method, calls):
        super().__init__()
        self._method, self._calls = method, calls

    def _count(self, method):
        if method == self._method:
            self._calls -= 1
            if self._calls < 0:
                raise StoreError("the disk is full") from OSError(28)

    async def append(self, records):
        self._count("append")
        await super().append(records)

    async def put(self, data):
        self._count("put")
        return await super().put(data)

    async def get(self, blob):
        self._count("get")
        return await super().get(blob)

    async def delete(self, blobs):
        self._count("delete")
        await super().delete(blobs)

    async def records(self):
        self._count("records")
        return await super().records()


@pytest.mark.parametrize("calls", [0, 1, 12, 20, 30])
async def test_a_store_that_cannot_append_ends_it_with_that_one_exception(calls):
    await _fail("append", calls)


@pytest.mark.parametrize(("method", "calls"), [("records", 0), ("delete", 1), ("delete", 2), ("put", 4), ("put", 8)])
async def test_another_fault_of_the_store_ends_it_with_that_one_exception(method, calls):
    await _fail(method, calls)


async def _fail(method, calls):
    network = MemoryNetwork()

    async def run():
        async with coordinator(network.coordinator(), FailingStore(method, calls)) as running:
            await running.result()

    async with anyio.create_task_group() as devices:
        for number in range(9):
            devices.start_soon(live, number, network)
        with anyio.fail_after(5), pytest.raises(StoreError, match="the disk is full") as raised:
            await run()
        devices.cancel_scope.cancel()
    assert isinstance(raised.value.__cause__, OSError)


async def test_a_transport_that_fails_ends_it_with_that_one_exception():
    class Broken:
        def __init__(self, inner):
            self.connect, self.receive, self.broadcast = inner.connect, inner.receive, inner.broadcast
            self.arriving_since = inner.arriving_since

        async def send(self, device, data):
            raise ConnectionResetError("no broker")

    async def run():
        network = MemoryNetwork()
        async with coordinator(Broken(network.coordinator())) as running, network.agent(name_of(0)).connect():
            message = m.Hello(schema_hash=TASK.schema_hash, profile=profile(0))
            await network.agent(name_of(0)).send(seal(message))
            await running.result()

    with anyio.fail_after(5), pytest.raises(ConnectionResetError, match="no broker"):
        await run()


def test_too_few_devices_within_the_window():
    async def main():
        network = MemoryNetwork()
        async with coordinator(network.coordinator(), settings=settings(9, window_s=60.0)) as running:
            try:
                await with_agents(running, network, range(2))
            finally:
                assert asyncio.get_running_loop().time() == 60

    with pytest.raises(
        TooFewDevicesError,
        match=r"^2 devices reported hardware, a federation needs at least 3: with fewer, an average would show a "
        r"single device's update\. Start more agents, or lengthen enrolment\.window_s\.$",
    ):
        run_virtually(main())


# -- watching it


async def test_a_lossless_reader_gets_everything_from_the_opening_on():
    network, seen = MemoryNetwork(), []
    async with coordinator(network.coordinator()) as running:
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(live, number, network)
            async for event in running.events(e.Event, lossless=True):
                seen.append(event)
                await anyio.lowlevel.checkpoint()
        result = await running.result()
    assert isinstance(seen[0], e.FederationOpened)
    assert isinstance(seen[-1], e.FederationFinished)
    assert len(of(seen, e.RoundClosed)) == 6
    assert {one.group: one.model for one in of(seen, e.GroupFinished)} == {g.group: g.identity for g in result.groups}


async def test_the_log_is_what_a_lossless_reader_saw():
    network, seen, store = MemoryNetwork(), [], MemoryStore()
    async with coordinator(network.coordinator(), store) as running, anyio.create_task_group() as tasks:
        for number in range(9):
            tasks.start_soon(live, number, network)
        async for event in running.events(e.Event, lossless=True):
            seen.append(event)
    assert [record.event for record in await store.records()] == seen


async def test_an_observer_that_never_reads_stalls_nobody_and_knows_what_it_missed():
    network = MemoryNetwork()
    running = coordinator(network.coordinator(), policies=policies(rounds=60))
    async with running:
        watching = running.events()
        first = await anext(watching)
        assert isinstance(first, e.FederationOpened)
        assert watching.dropped == 0
        with anyio.fail_after(30):
            await with_agents(running, network, range(9))
        assert watching.dropped > 100
        rest = [event async for event in watching]
    assert isinstance(rest[-1], e.FederationFinished)


async def test_a_lossless_reader_that_breaks_off_no_longer_stalls():
    network = MemoryNetwork()
    async with coordinator(network.coordinator(), policies=policies(rounds=60)) as running:
        async for event in running.events(lossless=True):
            assert isinstance(event, e.FederationOpened)
            break
        with anyio.fail_after(30):
            await with_agents(running, network, range(9))


async def test_only_the_wanted_events_come():
    network, seen = MemoryNetwork(), []
    async with coordinator(network.coordinator()) as running, anyio.create_task_group() as tasks:
        for number in range(9):
            tasks.start_soon(live, number, network)
        async for event in running.events(e.RoundClosed, e.GroupsFormed):
            seen.append(type(event))
    assert seen == [e.GroupsFormed, *[e.RoundClosed] * 6]


async def test_after_the_end_there_are_no_events_and_the_result_stays():
    network = MemoryNetwork()
    async with coordinator(network.coordinator()) as running:
        result = await with_agents(running, network, range(9))
        assert [event async for event in running.events()] == []
        again = await running.result()
        assert [group.identity for group in again.groups] == [group.identity for group in result.groups]


# -- after the end


async def test_what_devices_say_after_the_end_is_answered_and_breaks_nothing():
    network = MemoryNetwork()
    async with coordinator(network.coordinator()) as running:
        result = await with_agents(running, network, range(9))
        async with network.agent(name_of(50)).connect():
            await network.agent(name_of(50)).send(b"garbage")
        running.remove_device(name_of(0), "too late")
        with anyio.fail_after(5):
            async with agent(3, network) as late:  # it comes back, its memory lost
                target = await late.target()
            assert target.model.identity == next(g.identity for g in result.groups if "d3" in g.devices)
            with pytest.raises(DeviceError, match=r"^the coordinator refused device 'd77': the federation has ended$"):
                async with agent(77, network) as stranger:
                    await stranger.target()


# -- blobs


async def test_afterwards_the_store_holds_the_targets_and_nothing_else():
    store = MemoryStore()
    result, records, _ = await run_with_agents(store, policies=policies(aggregation=AggregatorChoice(name="mean")))
    assert await store.blobs() == sorted(targets_of(records).values()) == sorted(g.identity for g in result.groups)


async def test_during_a_run_what_is_no_longer_needed_is_deleted():
    network, store, most = MemoryNetwork(), MemoryStore(), 0
    running = coordinator(network.coordinator(), store, policies=policies(rounds=5, groups=1))
    async with running, anyio.create_task_group() as tasks:
        for number in range(9):
            tasks.start_soon(live, number, network)
        async for _ in running.events(lossless=True):
            most = max(most, len(await store.blobs()))
    # A model, the one that is being made of it, their optimizer's states, and an update of each device.
    assert 9 < most <= 9 + 4


async def test_what_a_dead_coordinator_left_lying_is_collected():
    store = MemoryStore()
    async with store.open():
        await store.put(b"nobody's")
    await run_with_agents(store)
    async with store.open():
        await store.put(b"nobody's again")
    async with coordinator(MemoryNetwork().coordinator(), store) as running:
        result = await running.result()
        left = set(await store.blobs())
    assert left >= {group.identity for group in result.groups}
    assert left == running.federation.live_blobs()


async def test_a_round_waits_for_willing_devices_and_goes_on_when_one_reports_other_hardware():
    on_mains, on_battery = (HardwareProfile.declared(mains_bool=value) for value in (1.0, 0.0))
    chosen = policies(rounds=1, groups=1, selection=Choice(name="conditions", options={"mains": True}))
    network, store = MemoryNetwork(), MemoryStore()

    async def be(number, mains):
        await live(number, network, declared=profile(number).merged(mains))

    first_life = anyio.CancelScope()

    async def change():
        with first_life:
            await be(2, on_battery)
        await be(2, on_mains)  # its agent was started anew

    async with coordinator(network.coordinator(), store, devices=3, policies=chosen) as running:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(be, 0, on_mains)
            tasks.start_soon(be, 1, on_mains)
            tasks.start_soon(change)
            event = await anext(running.events(e.RoundPostponed, lossless=True))
            assert event.reason.startswith("2 of 3 devices fulfil the conditions")
            first_life.cancel()
        result = await running.result()
    assert [group.version for group in result.groups] == [1]
    happened = [record.event for record in await store.records()]
    (opened,) = [event for event in of(happened, e.RoundOpened) if event.purpose is e.Purpose.FIT]
    assert len(opened.participants) == 3
    assert happened.index(of(happened, e.RoundPostponed)[0]) < happened.index(opened)
