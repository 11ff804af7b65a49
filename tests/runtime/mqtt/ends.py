"""The two ends of the transport, for tests: with keys or without."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from tests.runtime.broker import Broker
from tierwise.core.edges import Arrived, ConnectionLost, Reconnected
from tierwise.core.ids import DeviceId
from tierwise.core.transfer import BroadcastSettings, DownloadSettings
from tierwise.runtime.security.keys import COORDINATOR, CoordinatorKey, Identity, KnownKey
from tierwise.runtime.security.signing import Signer, UnsignedSigner, UnsignedVerifier, Verifier
from tierwise.runtime.transports.mqtt.agent import MqttAgent
from tierwise.runtime.transports.mqtt.coordinator import MqttCoordinator
from tierwise.runtime.transports.mqtt.settings import MqttSettings

WAIT_S = 15.0
LARGE = 5_000_000


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def settings(at: Broker, /, federation: str = "test", **changed: Any) -> MqttSettings:
    """Return settings that are quick to connect again."""
    return MqttSettings(
        **{
            "broker": f"mqtt://{at.host}:{at.port}",
            "federation": federation,
            "reconnect_s": 0.05,
            "reconnect_limit_s": 0.2,
            "patience_s": 5.0,
            "farewell_s": 0.5,
            **changed,
        }
    )


@dataclass
class Keys:
    """Everybody's keys in one place."""

    coordinator: Identity = field(default_factory=lambda: Identity.make(sealing=True))
    devices: dict[str, Identity] = field(default_factory=dict)
    boots: int = 0
    revoked: set[str] = field(default_factory=set)

    def lookup(self, sender: str) -> KnownKey | None:
        if sender not in self.devices:
            return None
        return KnownKey.of(self.devices[sender].public, revoked=sender in self.revoked)

    def boot(self) -> int:
        self.boots += 1
        return self.boots


def coordinator(
    given: MqttSettings, spool: Path | None = None, keys: Keys | None = None, **changed: Any
) -> MqttCoordinator:
    federation = given.federation
    changed = {"broadcasts": BroadcastSettings(collect_s=0.02, interval_s=0.1), **changed}
    if keys is None:
        signer, verifier = UnsignedSigner(COORDINATOR, federation), UnsignedVerifier(federation)
        return MqttCoordinator(given, signer, verifier, spool, **changed)
    signer = Signer(COORDINATOR, federation, keys.coordinator.signing, keys.boot())
    sealing = {"sealing_key": keys.coordinator.sealing}
    return MqttCoordinator(given, signer, Verifier(federation, keys), spool, **{**sealing, **changed})


def agent(given: MqttSettings, name: str, keys: Keys | None = None, **changed: Any) -> MqttAgent:
    federation, device = given.federation, DeviceId(name)
    changed = {"download": DownloadSettings(quiet_s=0.2), **changed}
    if keys is None:
        return MqttAgent(given, device, UnsignedSigner(name, federation), UnsignedVerifier(federation), **changed)
    identity = keys.devices.setdefault(name, Identity.make())
    signer = Signer(name, federation, identity.signing, keys.boot())
    verifier = Verifier(federation, CoordinatorKey(keys.coordinator.public))
    return MqttAgent(given, device, signer, verifier, **{"seal_to": keys.coordinator.public.sealing_key(), **changed})


async def take(end: MqttCoordinator | MqttAgent, count: int = 1) -> list[Any]:
    """Take so many things that arrive at an end, envelopes as bytes."""
    stream = end.receive()
    taken: list[Any] = []
    try:
        with anyio.fail_after(WAIT_S):
            while len(taken) < count:
                item = await anext(stream)
                taken.append(bytes(item) if isinstance(item, memoryview) else item)
    finally:
        await stream.aclose()
    return taken


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something inside an end, which tells nobody about it."""
    with anyio.fail_after(WAIT_S):
        while not condition():  # noqa: ASYNC110  (there is no event for it)
            await anyio.sleep(0.001)


async def first(end: MqttCoordinator | MqttAgent) -> Any:
    return (await take(end))[0]


async def next_envelope(end: MqttCoordinator) -> tuple[str, bytes]:
    """Return who sent the next envelope, and which."""
    while True:
        item = await first(end)
        if isinstance(item, Arrived):
            return item.device, bytes(item.data)
        assert isinstance(item, ConnectionLost)


async def next_reconnection(end: MqttAgent) -> None:
    while await first(end) != Reconnected():
        pass


class Failure(Exception):  # noqa: N818  (nobody catches it by mistake)
    """A program fails."""


@asynccontextmanager
async def failing(end: MqttCoordinator | MqttAgent) -> AsyncIterator[None]:
    """Be connected, and leave with an exception."""
    with suppress(Failure):
        async with end.connect():
            yield
            raise Failure


@asynccontextmanager
async def connected(*ends: MqttCoordinator | MqttAgent) -> AsyncIterator[None]:
    """Be connected with all of them; the last one leaves first."""
    if not ends:
        yield
        return
    async with ends[0].connect(), connected(*ends[1:]):
        yield
