"""What a device learns of its link from real models through a real broker, over a line that is slow and far away."""

import functools

import anyio
import pytest

from tests.runtime.broker import needs_mosquitto
from tests.runtime.faults.proxy import HOST, Proxy
from tests.runtime.helpers import INSISTENT, live, plugins_with, policies
from tests.runtime.helpers import coordinator as federation
from tests.runtime.helpers import settings as federation_settings
from tests.runtime.mqtt import ends
from tests.runtime.mqtt.ends import agent, connected, coordinator, first, next_envelope, noise, settings, until
from tierwise.core import events as e
from tierwise.core.hardware import HardwareProfile, Origin
from tierwise.core.ids import DeviceId, GroupId
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.policies import Choice
from tierwise.runtime.stores.memory import MemoryStore

pytestmark = [pytest.mark.anyio, needs_mosquitto]
A, G1 = DeviceId("a"), GroupId("g1")
RATE = 400_000
"""Of the line, in bytes/s. A busy machine makes it slower, and never faster."""
MODEL_BYTES = 300_000


@pytest.fixture
def line(broker):
    with Proxy(broker.host, broker.port).running() as proxy:
        yield proxy


def through(broker, line):
    return settings(broker, broker=f"mqtt://{HOST}:{line.port}", chunk_bytes=20_000)


def right(rate, size, began_at):
    """Tell whether a rate can be that of a transfer which is over now; what is around that takes a moment, too."""
    return 0.7 * size / (anyio.current_time() - began_at) < rate < 1.3 * RATE


async def test_the_rates_are_those_of_the_line(broker, line, tmp_path):
    here, there = coordinator(settings(broker, chunk_bytes=20_000), tmp_path), agent(through(broker, line), A)
    async with connected(here, there):
        assert there.link() == {}
        await there.follow(G1)
        line.slow_down(RATE)
        await there.send(b"hello")
        await next_envelope(here)
        await until(lambda: "round_trip_s" in there.link())
        began_at = anyio.current_time()
        await here.broadcast(G1, noise(MODEL_BYTES))
        await first(there)
        assert right(there.link()["downlink_bytes_per_s"], MODEL_BYTES, began_at)
        began_at = anyio.current_time()
        await there.send(noise(MODEL_BYTES, 2))
        await next_envelope(here)
        await until(lambda: "uplink_bytes_per_s" in there.link())
        assert right(there.link()["uplink_bytes_per_s"], MODEL_BYTES, began_at)


async def test_an_update_in_one_message_tells_the_rate_as_well(broker, line, tmp_path):
    given = settings(broker, broker=f"mqtt://{HOST}:{line.port}", chunk_bytes=MODEL_BYTES)
    here, there = coordinator(settings(broker, chunk_bytes=MODEL_BYTES), tmp_path), agent(given, A)
    async with connected(here, there):
        line.slow_down(RATE)
        began_at = anyio.current_time()
        await there.send(noise(MODEL_BYTES // 2))
        await next_envelope(here)
        await until(lambda: "uplink_bytes_per_s" in there.link())
        assert right(there.link()["uplink_bytes_per_s"], MODEL_BYTES // 2, began_at)


async def test_the_round_trip_is_that_of_the_line(broker, line):
    here, there = coordinator(settings(broker)), agent(through(broker, line), A)
    line.delay(0.1)
    async with connected(here, there):
        began_at = anyio.current_time()
        for number in range(3):
            await there.send(b"hello %d" % number)
            await next_envelope(here)
        await until(lambda: "round_trip_s" in there.link())
        assert 0.2 <= there.link()["round_trip_s"] < anyio.current_time() - began_at


async def test_a_coordinator_hears_of_a_slow_line_while_its_federation_runs(broker, line, tmp_path):
    """The device declares its uplink, which wins; what the transport learns of the rest is measured."""

    class Network:
        def agent(self, device):
            own = through(broker, line) if device == "d2" else settings(broker, chunk_bytes=20_000)
            return ends.agent(own, device)

    store = MemoryStore()
    slow = HardwareProfile.declared(uplink_bytes_per_s=5e9)
    tiers = Choice(name="mlp", options={"hidden": [[8000]]})  # 256 kB
    line.slow_down(RATE)
    async with federation(
        ends.coordinator(settings(broker, chunk_bytes=20_000), tmp_path),
        store,
        settings=federation_settings(3),
        compute=ThreadCompute(),
        plugins=plugins_with(),
        policies=policies(groups=1, tiers=tiers, stop=Choice(name="rounds", options={"rounds": 500})),
    ) as running:
        reported = aiter(running.events(e.HardwareReported, lossless=True))
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                device = {"declared": slow, "remeasure_s": 0.2} if number == 2 else {}
                tasks.start_soon(functools.partial(live, number, Network(), settings=INSISTENT, **device))
            with anyio.fail_after(90):
                async for event in reported:
                    if event.device == "d2" and "downlink_bytes_per_s" in event.profile.quantities:
                        break
            tasks.cancel_scope.cancel()
    learnt = event.profile.quantities
    assert 0 < learnt["downlink_bytes_per_s"].value < 1.3 * RATE
    assert learnt["downlink_bytes_per_s"].origin is Origin.MEASURED
    assert learnt["round_trip_s"].value > 0
    assert learnt["uplink_bytes_per_s"] == slow.quantities["uplink_bytes_per_s"]
