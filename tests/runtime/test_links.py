"""A coordinator's transport for programs that embed it."""

import json
from pathlib import Path

import pytest

from tests.runtime.broker import needs_mosquitto, running
from tests.runtime.mqtt import ends
from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId
from tierwise.runtime import MqttSettings, mqtt_coordinator
from tierwise.runtime.security.keys import CoordinatorKey, Identity
from tierwise.runtime.security.registry import Registry
from tierwise.runtime.security.signing import Signer, Verifier
from tierwise.runtime.transports.mqtt.agent import MqttAgent

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def made(settings: MqttSettings, registry: Path | None = None) -> None:
    """Make a transport that nobody connects."""
    async with mqtt_coordinator(settings, registry=registry):
        pass


async def test_without_keys_only_on_this_machine() -> None:
    await made(MqttSettings(broker="mqtt://localhost"))
    await made(MqttSettings(broker="mqtts://broker.example.org", insecure=True))
    with pytest.raises(ConfigurationError, match=r"registry: without it no message is signed.*tierwise enrol"):
        await made(MqttSettings(broker="mqtts://broker.example.org"))


@pytest.mark.parametrize("other", [{"federation": "other"}, {"prefix": "other"}])
async def test_a_registry_is_of_one_federation(tmp_path, other) -> None:
    Registry.make(tmp_path, federation="homes", prefix="house")
    settings = {"broker": "mqtt://localhost", "federation": "homes", "prefix": "house"}
    await made(MqttSettings(**settings), tmp_path)
    (key,) = other
    with pytest.raises(ConfigurationError, match=f"{key}: is 'other', and the devices .* were enrolled with"):
        await made(MqttSettings(**{**settings, **other}), tmp_path)


async def test_a_registry_that_is_not_there_is_not_made(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="tierwise enrol"):
        await made(MqttSettings(broker="mqtt://localhost"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


@needs_mosquitto
async def test_it_hears_enrolled_devices_and_remembers_what_it_heard(tmp_path) -> None:
    registry = Registry.make(tmp_path / "registry", federation="test")
    identity, key = Identity.make(), registry.coordinator().public
    registry.enrol(DeviceId("kitchen"), identity.public)
    (tmp_path / "broker").mkdir()
    with running(tmp_path / "broker") as broker:
        given = ends.settings(broker)
        signed = MqttAgent(
            given,
            DeviceId("kitchen"),
            Signer("kitchen", "test", identity.signing, 1),
            Verifier("test", CoordinatorKey(key)),
            key.sealing_key(),
        )
        async with (
            mqtt_coordinator(given, registry=registry.directory) as transport,
            ends.connected(transport, ends.agent(given, "stranger"), signed),
        ):
            await signed.send(b"hello")
            assert await ends.next_envelope(transport) == ("kitchen", b"hello")
            assert transport.present == {"kitchen"}
    assert len(json.loads(registry.orders.read_text())["senders"]) == 1
