"""A fit takes several times as long as the keep-alive, and computes all the while."""

import functools
import time

import anyio
import pytest

from tests.runtime.broker import needs_mosquitto, running
from tests.runtime.helpers import INSISTENT, coordinator, live, plugins, policies
from tests.runtime.mqtt import ends
from tests.runtime.mqtt.ends import settings
from tests.runtime.mqtt.test_federation import MqttNetwork
from tierwise.core import events as e
from tierwise.runtime.stores.memory import MemoryStore

pytestmark = [pytest.mark.anyio, needs_mosquitto]
KEEPALIVE_S = 3
FIT_S = 7.0


class Thorough:
    """A learner that takes its time, as one in Python does: with the interpreter's lock as much as it can have it."""

    def __init__(self, learner):
        self._learner = learner

    def __getattr__(self, name):
        return getattr(self._learner, name)

    def fit(self, *arguments, **more):
        until, total = time.monotonic() + FIT_S, 0
        while time.monotonic() < until:
            total += sum(number * number for number in range(1000))
        return self._learner.fit(*arguments, **more)


class ThoroughPlugins:
    """All that is installed, with learners that take their time."""

    def __getattr__(self, name):
        return getattr(plugins(), name)

    def learner(self, *arguments):
        return Thorough(plugins().learner(*arguments))


async def test_it_keeps_the_connections(tmp_path, caplog):
    store, targets = MemoryStore(), {}
    with running(tmp_path) as broker:
        given = settings(broker, keepalive_s=KEEPALIVE_S)
        one_round = {"compute": None, "policies": policies(rounds=1, groups=1)}
        async with coordinator(ends.coordinator(given), store, devices=3, **one_round) as federation:
            # Each agent computes where it does by default; all are on the event loop of their coordinator.
            more = {"settings": INSISTENT, "compute": None, "plugins": ThoroughPlugins()}
            async with anyio.create_task_group() as tasks:
                for number in range(3):
                    tasks.start_soon(functools.partial(live, number, MqttNetwork(given), targets, **more))
            await federation.result()
        log = broker.log.read_text()
    records = await store.records()
    opened, closed = (
        next(r.at for r in records if isinstance(r.event, kind)) for kind in (e.RoundOpened, e.RoundClosed)
    )
    assert closed - opened > FIT_S > 2 * KEEPALIVE_S
    assert not any(isinstance(record.event, e.DeviceLost) for record in records)
    assert "exceeded timeout" not in log
    assert "is lost" not in caplog.text
    for name in ("d0", "d1", "d2", "coordinator"):
        assert f"PINGREQ from tierwise/test/{name}" in log
    assert len(targets) == 3
