"""A real agent whose hardware changes while it runs, and what its coordinator hears of it."""

import functools
from contextlib import asynccontextmanager
from typing import ClassVar

import anyio
import pytest

from tierwise.core import events as e
from tierwise.core.hardware import HardwareProfile, Unmeasured
from tierwise.plugins.descriptors import Kind
from tierwise.runtime.policies import Choice
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.transports.memory import MemoryNetwork

from .helpers import agent, coordinator, descriptor, live, name_of, plugins_with, policies, profile

pytestmark = pytest.mark.anyio
OFTEN_S = 0.01
WAIT_S = 60


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Battery:
    """A probe of a device in the tests' hands."""

    volatile = True
    now: ClassVar[dict] = {}
    asked = 0

    async def measure(self):
        Battery.asked += 1
        return dict(Battery.now)


class Model:
    """A probe of what does not change; if it were asked again, it would say otherwise."""

    asked = 0

    async def measure(self):
        Model.asked += 1
        return {"cpu_flops": float(Model.asked)}


PROBES = plugins_with(descriptor(Kind.PROBE, "battery", Battery), descriptor(Kind.PROBE, "model", Model))


@asynccontextmanager
async def reporting(network, **changed):
    """Run a coordinator and one agent of a changing device; give the profiles that are reported."""
    Battery.asked = Model.asked = 0
    Battery.now = {"battery_ratio": 0.9, "mains_bool": 1.0, "light_ratio": Unmeasured("it is too dark")}
    probing = {"probes": ["battery", "model"], "plugins": PROBES, "declared": None, "remeasure_s": OFTEN_S, **changed}
    async with coordinator(network.coordinator()) as running:
        reported = aiter(running.events(e.HardwareReported, lossless=True))
        async with agent(0, network, **probing):
            yield reported


async def following(reported):
    with anyio.fail_after(WAIT_S):
        event = await anext(reported)
    return {name: quantity.value for name, quantity in event.profile.quantities.items()}


async def asked_again(times):
    until = Battery.asked + times
    with anyio.fail_after(WAIT_S):
        while Battery.asked < until:  # noqa: ASYNC110  (a probe's thread wakes nobody)
            await anyio.sleep(0.001)


async def test_what_changes_materially_is_reported_and_what_trembles_is_not():
    async with reporting(MemoryNetwork()) as reported:
        assert await following(reported) == {"cpu_flops": 1.0, "battery_ratio": 0.9, "mains_bool": 1.0}
        Battery.now = {"battery_ratio": 0.85, "mains_bool": 1.0}
        await asked_again(3)
        Battery.now = {"battery_ratio": 0.84, "mains_bool": 0.0}
        # the ratio is what was told: it has not changed materially
        assert await following(reported) == {"cpu_flops": 1.0, "battery_ratio": 0.9, "mains_bool": 0.0}
        Battery.now = {"battery_ratio": 0.79, "mains_bool": 0.0}
        assert await following(reported) == {"cpu_flops": 1.0, "battery_ratio": 0.79, "mains_bool": 0.0}
        Battery.now = {"mains_bool": 0.0}
        assert await following(reported) == {"cpu_flops": 1.0, "mains_bool": 0.0}
        assert Model.asked == 1


async def test_what_the_transport_learns_is_reported_and_what_is_declared_wins():
    network = MemoryNetwork()
    end = network.agent(name_of(0))
    learnt = {"round_trip_s": 0.5, "uplink_bytes_per_s": 2e5}
    end.link = lambda: dict(learnt)
    declared = HardwareProfile.declared(uplink_bytes_per_s=1e6)
    async with reporting(network, transport=end, declared=declared) as reported:
        assert "round_trip_s" not in await following(reported)
        told = await following(reported)
        assert (told["round_trip_s"], told["uplink_bytes_per_s"]) == (0.5, 1e6)
        learnt |= {"round_trip_s": 0.6, "uplink_bytes_per_s": 9e9}
        await asked_again(3)
        learnt |= {"round_trip_s": 0.7}
        assert (await following(reported))["round_trip_s"] == 0.7


async def test_an_agent_that_is_told_not_to_look_does_not():
    async with reporting(MemoryNetwork(), remeasure_s=None) as reported:
        await following(reported)
        Battery.now = {}
        await anyio.sleep(0.1)
        assert Battery.asked == 1


class OnMains:
    """A selector with a condition, which needs what an agent reports while it runs."""

    def select(self, candidates, *, seed):
        ready = [device for device, hardware in candidates.items() if hardware.value("mains_bool")]
        return ready if len(ready) >= 3 else sorted(candidates)


async def test_a_selector_sees_what_changed():
    known = plugins_with(
        descriptor(Kind.PROBE, "battery", Battery),
        descriptor(Kind.PROBE, "model", Model),
        descriptor(Kind.SELECTOR, "on-mains", OnMains),
    )
    Battery.now = {"mains_bool": 1.0}
    store, network = MemoryStore(), MemoryNetwork()
    choices = policies(groups=1, selection=Choice(name="on-mains"), stop=Choice(name="rounds", options={"rounds": 500}))
    async with coordinator(network.coordinator(), store, devices=4, policies=choices, plugins=known) as running:
        opened = aiter(running.events(e.RoundOpened, lossless=True))
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                plugged = profile(number).merged(HardwareProfile.declared(mains_bool=1.0))
                tasks.start_soon(functools.partial(live, number, network, declared=plugged))
            probing = {"probes": ["battery"], "plugins": known, "remeasure_s": OFTEN_S}
            tasks.start_soon(functools.partial(live, 3, network, **probing))
            with anyio.fail_after(WAIT_S):
                assert name_of(3) in (await anext(opened)).participants
                Battery.now = {"mains_bool": 0.0}
                async for event in opened:
                    if name_of(3) not in event.participants:
                        break
            tasks.cancel_scope.cancel()
    reports = [r.event for r in await store.records() if isinstance(r.event, e.HardwareReported)]
    assert [event.profile.value("mains_bool") for event in reports if event.device == name_of(3)] == [1.0, 0.0]
