"""A device that sends garbage is quarantined, `status` says so, and the operator lets it in again."""

import signal

import anyio
import anyio.to_thread
import pytest

from tests.runtime.programs.processes import configuration
from tierwise.core import messages as m
from tierwise.core.envelope import open_from_coordinator, seal
from tierwise.core.events import Refusal
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.task import Task
from tierwise.runtime.security.signing import UnsignedSigner, UnsignedVerifier
from tierwise.runtime.transports.mqtt.agent import MqttAgent
from tierwise.runtime.transports.mqtt.settings import MqttSettings

pytestmark = pytest.mark.anyio
NAME = "releasing"
HELLO = seal(
    m.Hello(schema_hash=Task(name="clouds", features=4, classes=("a", "b", "c")).schema_hash, profile=HardwareProfile())
)


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def answer(broker: str, *said: bytes) -> m.CoordinatorMessage:
    """Say something as a device, and return the answer to the last of it."""
    settings = MqttSettings(broker=broker, federation=NAME)
    end = MqttAgent(settings, DeviceId("vandal"), UnsignedSigner("vandal", NAME), UnsignedVerifier(NAME))
    async with end.connect():
        for envelope in said:
            await end.send(envelope)
        stream = end.receive()
        with anyio.fail_after(30):
            async for data in stream:
                if isinstance(data, memoryview):
                    message, _ = open_from_coordinator(data)
                    if isinstance(message, m.Refused) or said[-1] == HELLO:
                        await stream.aclose()
                        return message
    raise AssertionError("nobody answered")


async def test_who_is_quarantined_is_shown_and_can_be_released(stage, here) -> None:
    more = '[store]\npath = "run.db"\n'
    file = configuration(stage.folder / "run.toml", stage.broker, name=NAME, more=more)
    coordinator = stage.start("coordinator", "coordinator", file, "--log-json")
    coordinator.until(lambda one: any(line.get("event") == "federation-opened" for line in one.lines()))
    assert isinstance(await answer(stage.broker, HELLO), m.Welcome)
    garbage = [b"garbage %d" % number for number in range(3)]
    refused = await answer(stage.broker, *garbage, HELLO)
    assert isinstance(refused, m.Refused)
    assert refused.refusal is Refusal.QUARANTINED
    assert coordinator.told(signal.SIGTERM) == 143

    _, said, _ = await anyio.to_thread.run_sync(here, "status", file)
    assert "vandal is quarantined: 3 things in a row that it sent could not be used, the last because" in said
    again = stage.start("coordinator", "coordinator", file, "--log-json", "--release", "vandal")
    again.until(lambda one: any(line.get("event") == "device-released" for line in one.lines()))
    assert isinstance(await answer(stage.broker, HELLO), m.Welcome)
    assert again.told(signal.SIGTERM) == 143
    _, said, _ = await anyio.to_thread.run_sync(here, "status", file)
    assert "quarantined" not in said
