"""All that is said in a federation is said three times: the second time at once, the third time some rounds later."""

import functools
from collections import Counter

import anyio
import pytest

from tests.runtime.broker import needs_mosquitto, running
from tests.runtime.faults.repeater import Repeater
from tests.runtime.helpers import INSISTENT, coordinator, live, policies, run_with_agents, targets_of
from tests.runtime.mqtt import ends
from tests.runtime.mqtt.ends import Keys, settings, until
from tierwise.core import events as e
from tierwise.core.transfer import DownloadSettings
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.policies import Choice
from tierwise.runtime.security.signing import Rejection
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.transports.mqtt.topics import Channel

pytestmark = [pytest.mark.anyio, needs_mosquitto]
CHOSEN = {"policies": policies(rounds=12, groups=2, tiers=Choice(name="mlp", options={"hidden": [[80], [120], [160]]}))}
"""Models of several chunks of 1 kB."""
OLD = {Rejection.REPLAYED, Rejection.STALE}


class Network:
    """What `MemoryNetwork` is to the helpers; it remembers the ends."""

    def __init__(self, given, keys):
        self.ends = {}
        self._given, self._keys = given, keys

    def agent(self, device):
        self.ends[device] = ends.agent(self._given, device, self._keys, download=DownloadSettings())
        return self.ends[device]


async def test_nothing_counts_twice(tmp_path):
    keys, store, targets = Keys(), MemoryStore(), {}
    with running(tmp_path) as broker:
        given = settings(broker, chunk_bytes=1024)
        here, network, repeater = (
            ends.coordinator(given, keys=keys),
            Network(given, keys),
            Repeater(broker, given.topics),
        )
        async with coordinator(here, store, devices=6, compute=ThreadCompute(), **CHOSEN) as federation:
            more = {"settings": INSISTENT, "compute": ThreadCompute(workers=1)}
            async with repeater.running():
                async with anyio.create_task_group() as tasks:
                    for number in range(6):
                        tasks.start_soon(functools.partial(live, number, network, targets, **more))
                    async for _ in federation.events(e.RoundClosed):
                        _break(network.ends["d2"])  # what the broker says then will be old news later
                        break
                await federation.result()
            said = repeater.repeated + repeater.late
            await until(lambda: here.rejected.total() == said[Channel.CTL])
            await until(lambda: here.link_counters.dropped >= said[Channel.CHUNK])
    records = await store.records()
    _, expected, _ = await run_with_agents(devices=6, **CHOSEN)
    assert targets_of(records) == targets_of(expected)
    assert len(targets) == 6
    counted = Counter((r.event.cohort, r.event.device) for r in records if isinstance(r.event, e.UpdateAccepted))
    assert set(counted.values()) == {1}
    assert [r.event.device for r in records if isinstance(r.event, e.DeviceLost)] == ["d2"]
    # every kind of message came again, and was dropped and counted wherever it did
    assert set(repeater.repeated) == set(repeater.late) == set(Channel)
    assert set(here.rejected) <= OLD
    assert here.dropped.stale > 0
    there = network.ends.values()
    assert {reason for end in there for reason in end.rejected} <= OLD
    assert all(end.rejected for end in there)
    assert all(end.dropped.stale for end in there)
    assert all(end.link_counters[0].duplicate for end in there)


def _break(end):
    """Close the socket as a network would: without a word."""
    end._connection._link.client._client.socket().shutdown(2)
