"""Whole federations of real coordinators and agents."""

import functools

import anyio
import pytest

from tests.runtime.broker import needs_mosquitto
from tests.runtime.helpers import (
    INSISTENT,
    coordinator,
    live,
    policies,
    run_with_agents,
    targets_of,
)
from tests.runtime.mqtt import ends
from tests.runtime.mqtt.ends import Keys, settings
from tierwise.core import events as e
from tierwise.core.transfer import DownloadSettings
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.policies import Choice
from tierwise.runtime.stores.memory import MemoryStore

pytestmark = [pytest.mark.anyio, needs_mosquitto]
WIDE = {"tiers": Choice(name="mlp", options={"hidden": [[200], [400], [800]]})}
"""Models that do not fit into a message of 1 kB."""


class MqttNetwork:
    """What `MemoryNetwork` is to the helpers."""

    def __init__(self, given, keys=None):
        self.given, self.keys = given, keys

    def agent(self, device):
        return ends.agent(self.given, device, self.keys, download=DownloadSettings())


async def run(given, devices, keys=None, **changed):
    """Run a federation; return the coordinator's transport, the log and the devices' targets."""
    here = ends.coordinator(given, keys=keys)
    store, network, targets = MemoryStore(), MqttNetwork(given, keys), {}
    more = {"settings": INSISTENT, "compute": ThreadCompute(workers=1)}
    async with coordinator(here, store, devices=devices, compute=ThreadCompute(), **changed) as running:
        async with anyio.create_task_group() as tasks:
            for number in range(devices):
                tasks.start_soon(functools.partial(live, number, network, targets, **more))
        await running.result()
    return here, await store.records(), targets


@pytest.mark.parametrize(
    ("protocol", "devices", "chunk_bytes"), [("3.1.1", 6, 120_000), ("3.1.1", 6, 1024), ("5", 3, 120_000)]
)
@pytest.mark.parametrize("keys", [None, Keys()], ids=["unsigned", "signed and sealed"])
async def test_the_same_bytes_as_in_memory(broker, protocol, devices, chunk_bytes, keys):
    chosen = {"policies": policies(groups=devices // 3, **WIDE)}
    given = settings(broker, protocol=protocol, chunk_bytes=chunk_bytes)
    here, records, targets = await run(given, devices, keys, **chosen)
    _, expected, _ = await run_with_agents(devices=devices, **chosen)
    assert targets_of(records) == targets_of(expected)
    assert len(targets_of(records)) == devices // 3
    assert len(targets) == devices
    for target in targets.values():
        assert target.model.identity == targets_of(records)[target.group]
    assert here.dropped.total == 0
    assert not here._verifier.rejected
    assert {r.event.devices for r in records if isinstance(r.event, e.RoundClosed)} == {3}


async def test_the_model_bytes_published_do_not_grow_with_the_number_of_devices(broker):
    published = {}
    for devices in (3, 9):
        given = settings(broker, f"of-{devices}")
        here, records, _ = await run(given, devices, policies=policies(groups=1, **WIDE))
        published[devices] = here.published_model_bytes
        assert {r.event.devices for r in records if isinstance(r.event, e.RoundClosed)} == {devices}
    assert published[3] == published[9] > 10_000
