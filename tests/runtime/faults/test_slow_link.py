"""One device of four is behind a link that is too slow for its rounds, for a while."""

import functools

import anyio
import pytest

from tests.runtime.broker import needs_mosquitto, running
from tests.runtime.faults.proxy import HOST, Proxy
from tests.runtime.helpers import INSISTENT, coordinator, live, plugins_with, policies
from tests.runtime.helpers import settings as federation_settings
from tests.runtime.mqtt import ends
from tests.runtime.mqtt.ends import settings
from tierwise.core import events as e
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.policies import Choice
from tierwise.runtime.stores.memory import MemoryStore

pytestmark = [pytest.mark.anyio, needs_mosquitto]
SLOW = "d3"
DEADLINE_S = 3.0
KEEPALIVE_S = 4


class Network:
    """What `MemoryNetwork` is to the helpers: one device reaches the broker through a proxy."""

    def __init__(self, given, slow):
        self.ends = {}
        self._given, self._slow = given, slow

    def agent(self, device):
        self.ends[device] = ends.agent(self._slow if device == SLOW else self._given, device)
        return self.ends[device]


@pytest.mark.parametrize(
    ("hidden", "chunk_bytes", "link_bytes_per_s"),
    [
        # A model of 26 kB in one message: 2.6 s down and 2.6 s up. A round more than fills the deadline, not the line.
        pytest.param(800, 120_000, 10_000, id="in one message"),
        # One of 256 kB in pieces: there is another one long before it has come.
        pytest.param(8000, 10_000, 20_000, id="in pieces", marks=pytest.mark.slow),
    ],
)
async def test_it_misses_deadlines_keeps_its_connection_and_takes_part_when_it_can(
    tmp_path, caplog, hidden, chunk_bytes, link_bytes_per_s
):
    store, targets = MemoryStore(), {}
    with running(tmp_path) as broker, Proxy(broker.host, broker.port).running() as proxy:
        same = {"keepalive_s": KEEPALIVE_S, "chunk_bytes": chunk_bytes}
        given = settings(broker, **same)
        network = Network(given, settings(broker, broker=f"mqtt://{HOST}:{proxy.port}", **same))
        tiers = Choice(name="mlp", options={"hidden": [[hidden]]})
        async with coordinator(
            ends.coordinator(given),
            store,
            settings=federation_settings(4, deadline_s=DEADLINE_S),
            compute=ThreadCompute(),
            plugins=plugins_with(),
            policies=policies(
                groups=1, tiers=tiers, stop=Choice(name="told", options={"file": str(tmp_path / "stop")})
            ),
        ) as federation:
            async with anyio.create_task_group() as tasks:
                for number in range(4):
                    tasks.start_soon(functools.partial(live, number, network, targets, settings=INSISTENT))
                closed = aiter(federation.events(e.RoundClosed, lossless=True))
                await until_round_of(closed, 4)
                proxy.slow_down(link_bytes_per_s)
                slowed = [await until_round_of(closed, 3) for _ in range(4)]
                proxy.mend()
                caught_up = await until_round_of(closed, 4)
                (tmp_path / "stop").touch()
            await federation.result()
    records = await store.records()
    behind = {event.cohort for event in slowed}
    delivered = [r.event for r in records if isinstance(r.event, e.UpdateAccepted) and r.event.device == SLOW]
    assert not behind & {event.cohort for event in delivered}
    assert caught_up.cohort in {event.cohort for event in delivered}
    assert len({target.model.identity for target in targets.values()}) == 1
    assert len(targets) == 4
    # all the while it was connected, the same connection, although it was slow for three keep-alives
    assert proxy.connections == 1
    assert not any(isinstance(r.event, e.DeviceLost) for r in records)
    assert "is lost" not in caplog.text


async def until_round_of(closed, devices):
    """Return the next round that was closed with so many devices."""
    with anyio.fail_after(60):
        async for event in closed:
            if event.devices == devices:
                return event
    raise AssertionError("the federation has ended")
