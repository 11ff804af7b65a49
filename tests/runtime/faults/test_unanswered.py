"""What the user of an agent is told when the coordinator does not answer."""

from contextlib import AsyncExitStack

import anyio
import pytest

from tests.runtime.broker import needs_mosquitto, running
from tests.runtime.mqtt.ends import Keys, agent, coordinator, settings, until
from tierwise.core.envelope import seal
from tierwise.core.hardware import HardwareProfile
from tierwise.core.messages import Hello, Welcome
from tierwise.runtime.cli import unanswered
from tierwise.runtime.cli.agent_link import AgentLink
from tierwise.runtime.cli.logging import TextLog
from tierwise.runtime.cli.overhearing import Overheard
from tierwise.runtime.security.keys import Identity
from tierwise.runtime.security.trust import Trust

pytestmark = [pytest.mark.anyio, needs_mosquitto]
HELLO = seal(Hello(schema_hash="", profile=HardwareProfile()))


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.setattr(unanswered, "PATIENCE_S", 0.2)
    with running(tmp_path) as broker:
        yield settings(broker)


class Scene:
    """An agent with its user's log, and perhaps a coordinator."""

    def __init__(self, given, keys=None):
        self.transport = agent(given, "d6", keys)
        trust = Trust(self.transport._signer, self.transport._screen.verifier, signed=keys is not None)
        self.link = AgentLink(self.transport.device, given, trust, self.transport)
        self.warnings = []
        self.log = TextLog(lambda line, level: self.warnings.append(line) if "no answer" in line else None)

    async def told(self, *coordinators, answered=False, count=1):
        """Say hello, and return what is told after a while without an answer."""
        async with AsyncExitStack() as stack:
            for one in coordinators:
                await stack.enter_async_context(one.connect())
            await stack.enter_async_context(self.transport.connect())
            tasks = await stack.enter_async_context(anyio.create_task_group())
            overheard = Overheard(self.transport, self.log)
            if coordinators:
                await until(lambda: self.transport.rejected.total() or self.transport.coordinator_there)
            await overheard.send(HELLO)
            tasks.start_soon(unanswered.tell_unanswered, self.link, overheard, self.log)
            if answered:
                await coordinators[0].send(self.transport.device, seal(Welcome(federation="test", assignment=None)))
                await until(lambda: overheard.asked_at is None)
                await anyio.sleep(0.5)
            else:
                await until(lambda: len(self.warnings) >= count)
            tasks.cancel_scope.cancel()
        return self.warnings


async def test_nobody_is_there(given):
    told, again = await Scene(given).told(count=2)
    assert f"from the coordinator of federation test: none is there at {given.url} below tierwise/test/" in told
    assert "check broker, federation and prefix" in again


async def test_an_answer_ends_it(given):
    assert await Scene(given).told(coordinator(given), answered=True) == []


async def test_a_device_whose_key_is_not_the_registered_one(given):
    keys = Keys()
    scene = Scene(given, keys)
    keys.devices["d6"] = Identity.make()  # enrolled anew
    here = coordinator(given, keys=keys)
    assert "it knows 'd6' by another key than this bundle's" in (await scene.told(here))[0]


async def test_a_registry_that_was_made_anew(given):
    told = await Scene(given, Keys()).told(coordinator(given, keys=Keys()))
    assert "has another key than the one in this bundle" in told[0]


async def test_one_side_signs_and_the_other_does_not(given):
    told = await Scene(given, Keys()).told(coordinator(given))
    assert "it signs nothing, and this agent has a bundle" in told[0]
    told = await Scene(given).told(coordinator(given, keys=Keys()))
    assert "it signs what it says, and this agent has no --bundle" in told[0]


async def test_a_coordinator_that_says_nothing(given):
    told = await Scene(given).told(coordinator(given))
    assert "it is there, and says nothing: look into its log" in told[0]
