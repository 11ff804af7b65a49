"""An enrolled device sends garbage of every kind, and a great deal of it, while three good ones learn."""

import functools

import anyio
import msgspec
import pytest

from tests.runtime.broker import needs_mosquitto, running
from tests.runtime.faults.memory import having, peak_of
from tests.runtime.faults.run import Federation
from tests.runtime.faults.vandal import HUGE, Vandal
from tests.runtime.helpers import INSISTENT, live, plugins_with, run_with_agents, targets_of
from tests.runtime.mqtt import ends
from tests.runtime.mqtt.ends import Keys, settings
from tests.runtime.mqtt.test_federation import MqttNetwork
from tests.runtime.programs.processes import scene
from tierwise.core import events as e
from tierwise.core.settings import EnrolmentSettings
from tierwise.plugins.manager import Plugins
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.config import load_config
from tierwise.runtime.policies import Choice
from tierwise.runtime.security.keys import Identity
from tierwise.runtime.security.registry import Registry
from tierwise.runtime.stores.sqlite import SqliteStore

pytestmark = [pytest.mark.anyio, needs_mosquitto]
GOOD = ["d0", "d1", "d2"]
MB = 1_000_000


@pytest.fixture
def keys(tmp_path):
    """Everybody's keys, of a registry with four devices."""
    registry = Registry.make(tmp_path / "registry", federation="clouds")
    made = Keys(coordinator=registry.coordinator(), devices={name: Identity.make() for name in (*GOOD, "d3")})
    for name, identity in made.devices.items():
        registry.enrol(name, identity.public)
    return made


async def test_the_good_devices_learn_as_if_it_were_not_there(tmp_path, keys):
    targets = {}
    with running(tmp_path) as broker, scene(tmp_path, f"mqtt://{broker.host}:{broker.port}") as stage:
        given = settings(broker, "clouds")
        run = Federation(
            stage, devices=4, groups=1, deadline_s=60, pause_s=0.05, more='[security]\nregistry="registry"'
        )
        vandal = Vandal(ends.agent(given, "d3", keys), part=2)
        async with vandal.there(), anyio.create_task_group() as tasks:
            more = {"settings": INSISTENT, "compute": ThreadCompute(workers=1)}
            for number in range(3):
                tasks.start_soon(functools.partial(live, number, MqttNetwork(given, keys), targets, **more))
            await vandal.next_round()
            await vandal.decline()
            await vandal.send_bad_updates()
            await vandal.send_bad_envelopes()
            pid = run.coordinator.process.pid
            before = having(pid)
            async with peak_of(pid) as peak:
                await vandal.offer_too_much()
                await vandal.upload_too_much(40)
                await until_freed(vandal, pid, before.rss + HUGE / 10)
            after = having(pid)
            run.end()
            with anyio.fail_after(60):
                while run.coordinator.process.poll() is None:
                    await vandal.decline()
                    await anyio.sleep(0.05)
        assert run.coordinator.process.returncode == 0, run.coordinator.err.read_text()
    assert peak.own - before.own < HUGE / 4, f"{(peak.own - before.own) / MB:.0f} MB at most"
    assert after.files <= before.files

    records = await SqliteStore(tmp_path / "run.db").records()
    closed = [record.event for record in records if isinstance(record.event, e.RoundClosed)]
    assert targets_of(records) == targets_of(await undisturbed(tmp_path, records, len(closed)))
    assert len(targets) == 3
    assert {target.model.identity for target in targets.values()} == set(targets_of(records).values())
    assert {record.event.device for record in records if isinstance(record.event, e.UpdateAccepted)} == set(GOOD)
    assert any(line.get("notice") == "input-rejected" and line["device"] == "d3" for line in run.coordinator.lines())


async def until_freed(vandal, pid, rss):
    """Wait through at least three rounds until a process has no more memory than that."""
    with anyio.move_on_after(40):
        for _ in range(3):
            await vandal.next_round()
            await vandal.decline()
        while having(pid).rss >= rss:
            await vandal.next_round()
            await vandal.decline()
        return
    raise AssertionError(f"the coordinator still has {having(pid).rss / MB:.0f} MB")


async def undisturbed(folder, records, rounds):
    """Run the same federation with the good devices alone, in memory."""
    opened = records[0].event.settings
    alone = msgspec.structs.replace(opened, enrolment=EnrolmentSettings(min_devices=3, window_s=None))
    policies = load_config(folder / "run.toml", Plugins.discover()).policies
    policies = msgspec.structs.replace(policies, stop=Choice(name="rounds", options={"rounds": rounds}))
    _, expected, _ = await run_with_agents(devices=3, settings=alone, policies=policies, plugins=plugins_with())
    return expected
