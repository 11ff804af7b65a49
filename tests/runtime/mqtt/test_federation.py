"""Whole federations of real coordinators and agents."""

import functools

import anyio
import pytest

from tests.runtime import helpers
from tests.runtime.broker import needs_mosquitto
from tests.runtime.faults.proxy import HOST, Proxy
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
from tierwise.core.hardware import HardwareProfile
from tierwise.core.transfer import DownloadSettings
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.policies import Choice
from tierwise.runtime.stores.memory import MemoryStore

pytestmark = [pytest.mark.anyio, needs_mosquitto]
WIDE = {"tiers": Choice(name="mlp", options={"hidden": [[200], [400], [800]]})}
"""Models that do not fit into a message of 1 kB."""
LARGE = {"tiers": Choice(name="mlp", options={"hidden": [[8000]]})}
"""One of 256 kB."""
_profile = helpers.profile


def with_more_memory(number):
    """Return the helpers' hardware with memory for the `WIDE` tiers, each for its own."""
    tiers = helpers.plugins().tier_provider("mlp", WIDE["tiers"].options).offers(helpers.TASK)
    memory = HardwareProfile.declared(memory_bytes=float(tiers[number // 3].cost.memory_bytes))
    return HardwareProfile(quantities={**_profile(number).quantities, **memory.quantities})


class MqttNetwork:
    """What `MemoryNetwork` is to the helpers."""

    def __init__(self, given, keys=None):
        self.given, self.keys = given, keys

    def agent(self, device):
        return ends.agent(self.given, device, self.keys, download=DownloadSettings())


async def run(given, devices, keys=None, *, through=None, **changed):
    """Run a federation; return the coordinator's transport, the log and the devices' targets.

    ``through`` are the coordinator's own settings, where it has others.
    """
    here = ends.coordinator(through or given, keys=keys)
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
    assert not here.rejected
    assert {r.event.devices for r in records if isinstance(r.event, e.RoundClosed)} == {3}


@pytest.mark.parametrize("chunk_bytes", [120_000, 1024], ids=["in one message", "in pieces"])
async def test_coded_updates_give_the_same_bytes_as_in_memory(broker, chunk_bytes):
    chosen = {"policies": policies(groups=1, rounds=3, codec=Choice(name="top-k"), **WIDE)}
    here, records, _ = await run(settings(broker, chunk_bytes=chunk_bytes), 3, Keys(), **chosen)
    _, expected, _ = await run_with_agents(devices=3, **chosen)
    assert targets_of(records) == targets_of(expected)
    assert here.dropped.total == 0
    (tier,) = (r.event.tier for r in records if isinstance(r.event, e.TierAssigned))
    sent = [r.event.size_bytes for r in records if isinstance(r.event, e.UpdateAccepted)]
    assert sent == [tier.cost.upload_bytes] * 9
    assert 5 * tier.cost.upload_bytes < tier.cost.bytes


async def test_the_models_are_sent_once_whatever_the_number_of_devices(broker):
    """Counted where the coordinator's connection leaves it, so that no way of sending is forgotten."""
    published, sent = {}, {}
    for devices in (3, 9):
        with Proxy(broker.host, broker.port).running() as proxy:
            given = settings(broker, f"of-{devices}")
            through = settings(broker, f"of-{devices}", broker=f"mqtt://{HOST}:{proxy.port}")
            here, records, _ = await run(given, devices, through=through, policies=policies(groups=1, **LARGE))
        published[devices], sent[devices] = here.published_model_bytes, proxy.sent_bytes
        assert {r.event.devices for r in records if isinstance(r.event, e.RoundClosed)} == {devices}
    model = published[3] / 4  # two rounds, the closing evaluation, the target
    assert model > 250_000
    # Beside the models, each device is told some words; a model more or two may be chunks that were asked for again.
    assert published[9] - published[3] < 3 * model
    assert sent[9] - sent[3] < 3 * model, "sent to each device, it would be 24 models more"


@pytest.mark.parametrize("chunk_bytes", [120_000, 1024], ids=["in words", "in pieces"])
async def test_guests_give_the_same_bytes_as_in_memory(broker, chunk_bytes, monkeypatch):
    monkeypatch.setattr(helpers, "profile", with_more_memory)  # a guest's own model has to fit
    chosen = {"settings": helpers.settings(6, downward=True), "policies": policies(groups=2, **WIDE)}
    _, records, targets = await run(settings(broker, chunk_bytes=chunk_bytes), 6, Keys(), **chosen)
    _, expected, _ = await run_with_agents(devices=6, **chosen)
    closed = {(r.event.group, r.event.devices) for r in records if isinstance(r.event, e.RoundClosed)}
    assert closed == {("g1", 6), ("g2", 3)}
    assert targets_of(records) == targets_of(expected)
    for target in targets.values():
        assert target.model.identity == targets_of(records)[target.group]
