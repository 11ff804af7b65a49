"""A device whose bundle holds another key than the registered one, beside six good ones."""

import functools
import signal

import anyio
import pytest

from tests.runtime.broker import needs_mosquitto, running
from tests.runtime.helpers import INSISTENT, coordinator, live, policies, run_with_agents, targets_of
from tests.runtime.mqtt import ends
from tests.runtime.mqtt.ends import Keys, settings
from tests.runtime.mqtt.test_federation import MqttNetwork
from tests.runtime.programs.processes import PATIENCE_S, scene
from tierwise.core import events as e
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.security.bundle import Bundle
from tierwise.runtime.security.keys import Identity
from tierwise.runtime.security.signing import Rejection
from tierwise.runtime.stores.memory import MemoryStore

pytestmark = [pytest.mark.anyio, needs_mosquitto]
CHOSEN = {"policies": policies(groups=2)}


async def until(condition):
    with anyio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  (it waits for another process)
            await anyio.sleep(0.02)


async def test_it_is_dropped_and_counted_and_its_user_is_told(tmp_path):
    keys, store, targets = Keys(), MemoryStore(), {}
    keys.devices["d6"] = Identity.make()
    with running(tmp_path) as broker, scene(tmp_path, f"mqtt://{broker.host}:{broker.port}") as stage:
        given = settings(broker)
        Bundle(
            device="d6",
            identity=Identity.make(),  # not the registered one
            topics=given.topics,
            coordinator=keys.coordinator.public,
            broker=stage.broker,
        ).save(tmp_path / "d6.bundle.json")
        here = ends.coordinator(given, keys=keys)
        async with coordinator(here, store, devices=6, compute=ThreadCompute(), **CHOSEN) as federation:
            wrong = stage.start("d6", "agent", "--bundle", "d6.bundle.json", "--data", "clouds:part=6,parts=9")
            await until(lambda: here.rejected[Rejection.FORGED] >= 2)  # its presence and its hello
            network = MqttNetwork(given, keys)
            async with anyio.create_task_group() as tasks:
                for number in range(6):
                    tasks.start_soon(functools.partial(live, number, network, targets, settings=INSISTENT))
            await federation.result()
            await until(lambda: "no answer" in wrong.err.read_text())
        assert wrong.told(signal.SIGTERM) == 143
        said = wrong.err.read_text()
    assert "it knows 'd6' by another key than this bundle's" in said
    assert "`tierwise enrol` on the coordinator's machine writes a new bundle" in said
    records = await store.records()
    _, expected, _ = await run_with_agents(devices=6, **CHOSEN)
    assert targets_of(records) == targets_of(expected)
    assert len(targets) == 6
    assert not any(getattr(record.event, "device", None) == "d6" for record in records)
    assert set(here.rejected) == {Rejection.FORGED}
    assert {r.event.devices for r in records if isinstance(r.event, e.RoundClosed)} == {3}
