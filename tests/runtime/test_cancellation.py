"""Cancelled at any moment, a coordinator and its agents leave nothing behind, and another goes on to the same bytes.

A moment is an iteration of the event loop: nothing of ours can be cancelled between two of them. Warnings are errors
here, so a task that was destroyed, an exception that nobody retrieved or a coroutine that was never awaited fails.
"""

import asyncio
import functools
import gc

import anyio
import pytest

from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.simulation.clock import VirtualTimeLoop
from tierwise.runtime.simulation.run import run_virtually
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.transports.memory import MemoryNetwork

from .helpers import INSISTENT, agent, coordinator, live, policies, run_with_agents, simulated, specs, targets_of

SMALL = {"devices": 3, "policies": policies(groups=1)}
apart = pytest.mark.parametrize("apart", [3, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
"""How far the moments that are tried are apart: whoever has the time tries every one."""


class WaitingStore(MemoryStore):
    """Waits before and after everything that it does, as a disk would: each of its calls can be cancelled."""

    async def append(self, records):
        await wait()
        await super().append(records)
        await wait()

    async def put(self, data):
        await wait()
        blob = await super().put(data)
        await wait()
        return blob

    async def get(self, blob):
        await wait()
        return await super().get(blob)

    async def delete(self, blobs):
        await wait()
        await super().delete(blobs)
        await wait()


class WaitingCompute:
    """Waits before and after everything that it computes."""

    async def run(self, function):
        await wait()
        result = function()
        await wait()
        return result


async def wait():
    await asyncio.sleep(0)


class CountingLoop(VirtualTimeLoop):
    """Calls something at the beginning of one of its iterations."""

    def __init__(self):
        super().__init__()
        self.iterations = 0
        self._at, self._call = 0, None

    def arrange(self, iterations_from_now, call):
        self._at, self._call = self.iterations + iterations_from_now, call

    def _run_once(self):
        self.iterations += 1
        if self._call is not None and self.iterations >= self._at:
            call, self._call = self._call, None
            call()
        super()._run_once()


class Complaints:
    """What loops complain of: exceptions that nobody retrieved, tasks destroyed while they ran."""

    def __init__(self):
        self.found = []

    def watch(self, loop):
        loop.set_exception_handler(lambda _, context: self.found.append(context))
        return loop

    def check(self, moment=0):
        if moment % 20 == 0:
            gc.collect()
        assert self.found == [], moment


async def one_run(transport, store):
    async with coordinator(transport, store, compute=WaitingCompute(), **SMALL) as running:
        await running.result()


@apart
def test_the_coordinator_is_cancelled_at_every_moment(apart):
    complaints = Complaints()
    expected, _ = simulate_and_cancel(complaints.watch(CountingLoop()), None)
    for moment in range(1, 10_000, apart):
        targets, whole = simulate_and_cancel(complaints.watch(CountingLoop()), moment)
        complaints.check(moment)
        assert targets == expected, moment
        if whole:
            break
    complaints.check()
    assert moment > 200


def simulate_and_cancel(loop, moment):
    """Run a federation whose owner is cancelled at a moment, then go on with another; tell the targets.

    Returns
    -------
    tuple
        The targets, and whether the first owner came to its end.
    """
    store = WaitingStore()

    async def main():
        fleet = simulated(specs(3), INSISTENT)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fleet.run)
            others = asyncio.all_tasks()
            first = asyncio.create_task(one_run(fleet, store))
            if moment is not None:
                loop.arrange(moment, first.cancel)
            await asyncio.wait([first])
            loop.arrange(10**9, None)
            assert asyncio.all_tasks() == others, "something is still running"
            if first.cancelled():
                await one_run(fleet, store)
            else:
                first.result()
            tasks.cancel_scope.cancel()
        return targets_of(await store.records()), not first.cancelled()

    return run_virtually(main(), loop)


@apart
def test_coordinator_and_agents_are_cancelled_together_at_every_moment(apart):
    store = MemoryStore()
    run_virtually(run_with_agents(store, **SMALL))
    expected = targets_of(anyio.run(store.records))
    complaints = Complaints()
    for moment in range(1, 10_000, apart):
        loop, store = complaints.watch(CountingLoop()), WaitingStore()
        done = run_virtually(cancel_and_run_again(loop, store, moment), loop)
        complaints.check(moment)
        assert targets_of(anyio.run(store.records)) == expected, moment
        if done:
            break
    complaints.check()
    assert moment > 150


async def cancel_and_run_again(loop, store, moment):
    first = asyncio.create_task(run_with_agents(store, compute=WaitingCompute(), agent_compute=WaitingCompute, **SMALL))
    loop.arrange(moment, first.cancel)
    await asyncio.wait([first])
    loop.arrange(10**9, None)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []
    assert [one for one in loop._asyncgens if one.ag_frame is not None] == []
    if not first.cancelled():
        first.result()
        return True
    await run_with_agents(store, **SMALL)
    return False


def test_threads_that_still_compute_are_abandoned():
    async def be_cancelled(delay_s):
        network, compute = MemoryNetwork(), ThreadCompute()
        running = coordinator(network.coordinator(), compute=compute, **SMALL)
        with anyio.move_on_after(delay_s):
            async with running, anyio.create_task_group() as tasks:
                for number in range(3):
                    tasks.start_soon(functools.partial(live, number, network, compute=compute))

    async def main():
        for delay_s in (0.0, 0.001, 0.005, 0.02, 0.05):
            await be_cancelled(delay_s)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    anyio.run(main)


def test_an_agent_is_cancelled_at_every_moment_of_its_joining():
    async def join(network):
        async with agent(0, network) as running:
            await running.target()

    async def main(loop, moment):
        network = MemoryNetwork()
        task = asyncio.create_task(join(network))
        loop.arrange(moment, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        async with network.agent("d0").connect():
            pass  # its place in the network is free again

    complaints = Complaints()
    for moment in range(1, 30):
        loop = complaints.watch(CountingLoop())
        run_virtually(main(loop, moment), loop)
        complaints.check(moment)
    complaints.check()
