"""A device's end over MQTT."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from tierwise.core.edges import Reconnected
from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.transfer import (
    DEFAULT_CHUNK_BYTES,
    Chunk,
    DownloadSettings,
    Gone,
    Grant,
    LinkCounters,
    Manifest,
    UploadSettings,
    Want,
    Whole,
    encode,
)
from tierwise.core.transfer.codec import Packet
from tierwise.runtime.exceptions import unwrapped
from tierwise.runtime.security.keys import COORDINATOR
from tierwise.runtime.security.signing import (
    TO_COORDINATOR,
    TO_EVERYONE,
    FrameSigner,
    FrameVerifier,
    Rejection,
    to_device,
    to_group,
)
from tierwise.runtime.transports.mqtt import kinds
from tierwise.runtime.transports.mqtt.arrivals import Arrivals
from tierwise.runtime.transports.mqtt.connection import Connection, Hooks, Incoming
from tierwise.runtime.transports.mqtt.counters import DropCounters
from tierwise.runtime.transports.mqtt.dialling import Retained
from tierwise.runtime.transports.mqtt.meter import LinkMeter
from tierwise.runtime.transports.mqtt.presence import Age, Attendance
from tierwise.runtime.transports.mqtt.pump import Pump, Sending
from tierwise.runtime.transports.mqtt.screen import Screen
from tierwise.runtime.transports.mqtt.settings import MqttSettings
from tierwise.runtime.transports.mqtt.topics import Channel
from tierwise.runtime.transports.mqtt.uplink import Uplink

_LOG: Final = logging.getLogger(__name__)

OFFLINE_S: Final = 2.0
"""How long taking leave may take."""
_PIECE: Final = b"tl"
"""How a link message begins; a frame begins otherwise."""


class MqttAgent:
    """A device's transport.

    What the coordinator says to the device alone while a model is on its way waits for that model, so that the word
    that the federation has ended does not overtake the target model.

    Parameters
    ----------
    settings
        The broker.
    device
        Its name.
    signer, verifier
        The device's own.
    seal_to
        The coordinator's public key, to which everything that the device says is sealed; None for not sealing.
    upload, download
        Waits and limits; the chunk size of the former is that of ``settings``.

    Attributes
    ----------
    dropped
        What was dropped here. See `rejected`, and `link_counters` for the pieces of models.
    heard_at
        When the coordinator last said something to this device, by the event loop's clock; None for never.
    coordinator_there, coordinator_left
        Whether the coordinator said last that it is there, and if not, why; None if it has said nothing.

    Raises
    ------
    ConfigurationError
        If the device has the coordinator's name.
    """

    def __init__(
        self,
        settings: MqttSettings,
        device: DeviceId,
        signer: FrameSigner,
        verifier: FrameVerifier,
        seal_to: X25519PublicKey | None = None,
        *,
        upload: UploadSettings | None = None,
        download: DownloadSettings | None = None,
    ) -> None:
        if device == COORDINATOR:
            raise ConfigurationError(f"no device can be named {COORDINATOR!r}: give it another name")
        self.dropped = DropCounters()
        self.heard_at: float | None = None
        self.coordinator_there: bool | None = None
        self.coordinator_left: str | None = None
        self.device = device
        self._settings = settings
        self._topics = settings.topics
        self._signer = signer
        self._screen = Screen(verifier, self.dropped)
        self._attendance = Attendance(settings.topics.presence(device), signer, TO_COORDINATOR)
        self._connection = Connection(
            settings,
            f"{settings.prefix}/{settings.federation}/{device}",
            Hooks(will=self._attendance.will, take=self._take, greet=self._greet),
        )
        self._own_topics = (settings.topics.down(device), settings.topics.coordinator)
        self._pump = Pump(self._connection, self._draw, self._due_at)
        self._meter = LinkMeter()
        self._uplink = Uplink(
            device, settings.federation, _with_chunks(upload, settings.chunk_bytes), seal_to, self._meter
        )
        self._groups: tuple[GroupId, ...] = ()
        """What it follows; its own group is the first."""
        self._arrivals = Arrivals(
            download or DownloadSettings(chunk_limit_bytes=max(settings.chunk_bytes, DEFAULT_CHUNK_BYTES)),
            self.dropped,
            self._meter,
        )
        self._met = False
        """Whether a coordinator was ever there."""

    @property
    def rejected(self) -> Counter[Rejection]:
        """How many frames did not stand their checks, by reason."""
        return self._screen.verifier.rejected

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker, as far as is known."""
        return self._connection.connected

    @property
    def link_counters(self) -> tuple[LinkCounters, LinkCounters, LinkCounters]:
        """What was accepted and dropped of models, of what is published for the device alone, and of uploads."""
        return *self._arrivals.counters, self._uplink.upload.counters

    # -- the contract

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """Be connected as long as the context lasts, and again whenever the connection breaks.

        Raises
        ------
        TransportError
            If the first connection does not come about.
        """
        self._met = False
        for topic in self._own_topics:
            await self._connection.subscribe(topic, 1)
        with unwrapped():
            async with anyio.create_task_group() as tasks:
                try:
                    async with self._connection.opened():
                        tasks.start_soon(self._pump.run)
                        async with self._parting():
                            yield
                finally:
                    tasks.cancel_scope.cancel()

    async def receive(self) -> AsyncGenerator[bytes | memoryview | Reconnected, None]:
        """Yield the envelopes for this device and for the groups that it follows, and each reconnection."""
        while True:
            yield await self._arrivals.take()

    async def send(self, data: bytes) -> None:
        """Send an envelope to the coordinator; it leaves when there is a connection.

        A large one that is sent again is the same transfer, which goes on where it stood.
        """
        await self._uplink.put(data)
        self._pump.wake()

    async def follow(self, group: GroupId, *also: GroupId) -> None:
        """Listen to these groups' topics, and to no other's; the envelopes retained there arrive, unless they have.

        Raises
        ------
        TransportError
            If the broker refuses it.
        """
        before, self._groups = self._groups, (group, *also)
        self._arrivals.follow(self._groups)
        for left in before:
            if left not in self._groups:
                await self._connection.unsubscribe(self._topics.model(left))
                await self._connection.unsubscribe(self._topics.group_chunk(left))
        for followed in self._groups:
            if followed not in before:
                await self._connection.subscribe(self._topics.group_chunk(followed), 0)
            # What is retained comes again where it is followed already, and is fetched if it was missed.
            await self._connection.subscribe(self._topics.model(followed), 1)

    def link(self) -> dict[str, float]:
        """Return what was learnt of the link: the round trip to the broker, and the rates of large transfers."""
        return self._meter.link

    # -- the beginning and the end

    def _greet(self, first: bool) -> None:
        self._attendance.connected()
        self._resume()
        if not first:
            self._arrivals.put_reconnected()
        self._pump.wake()

    @asynccontextmanager
    async def _parting(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            with anyio.move_on_after(OFFLINE_S, shield=True):
                await self._say_offline("its agent was stopped")
            raise
        with anyio.move_on_after(OFFLINE_S):
            await self._leave()

    async def _say_offline(self, reason: str) -> None:
        await self._keep(self._attendance.farewell(reason))

    async def _keep(self, said: Retained) -> None:
        await self._connection.publish(said.topic, said.payload, qos=1, retain=True)

    async def _leave(self) -> None:
        """Take leave, and have the broker keep nothing."""
        await self._flush()
        await self._say_offline("its agent disconnected")
        await self._connection.publish(self._topics.presence(self.device), b"", qos=1, retain=True)
        topics: tuple[str, ...] = self._own_topics
        for group in self._groups:
            topics += (self._topics.model(group), self._topics.group_chunk(group))
        self._groups = ()
        self._arrivals.follow(self._groups)
        for topic in topics:
            await self._connection.unsubscribe(topic)

    async def _flush(self) -> None:
        while self._connection.connected and (envelope := self._uplink.first()) is not None:
            await self._say(envelope)

    # -- out

    def _due_at(self) -> float | None:
        dues = (self._uplink.upload.due_at, self._arrivals.due_at)
        return min((due_at for due_at in dues if due_at is not None), default=None)

    def _draw(self, now: float) -> Sending | None:
        birth = self._attendance.draw()
        if birth is not None:
            return lambda: self._keep(birth)
        envelope = self._uplink.first()
        if envelope is not None:
            return lambda: self._say(envelope)
        uploaded = self._uplink.draw(now)
        if uploaded is not None:
            return lambda: self._send_packet(uploaded)
        wanted = self._arrivals.draw(now)
        return None if wanted is None else lambda: self._ask(*wanted)

    async def _say(self, envelope: bytes) -> None:
        sealed = self._uplink.sealed(envelope)
        frame = self._framed(encode(Whole(size=len(sealed)), sealed))
        began_at = _now()
        if await self._connection.publish(self._topics.ctl(self.device), frame, qos=1):
            self._meter.acknowledged(len(frame), _now() - began_at)
            self._uplink.sent(envelope)

    async def _send_packet(self, packet: Packet) -> None:
        if isinstance(packet.message, Chunk):
            await self._connection.publish(self._topics.chunk(self.device), packet.encode())
        else:
            await self._connection.publish(self._topics.ctl(self.device), self._framed(packet.encode()))

    async def _ask(self, group: GroupId | None, packet: Packet) -> None:
        if isinstance(packet.message, Want) and not packet.message.ranges:
            # What lacks is the manifest, which the broker retains: it gives it to who subscribes.
            if group in self._groups:
                await self._connection.subscribe(self._topics.model(group), 1)
        else:
            await self._send_packet(packet)

    def _framed(self, payload: bytes) -> bytes:
        return self._signer.sign(payload, kind=kinds.CTL, recipient=TO_COORDINATOR)

    # -- in

    def _take(self, incoming: Incoming) -> None:
        place = self._topics.place(incoming.topic)
        group = GroupId("" if place is None else place.name)
        match None if place is None else (place.channel, place.name):
            case (Channel.DOWN, self.device):
                self._take_down(incoming.payload)
            case (Channel.MODEL, _) if group in self._groups:
                self._take_manifest(group, incoming)
            case (Channel.GROUP_CHUNK, _) if group in self._groups:
                self._take_piece(incoming.payload, group)
            case (Channel.COORDINATOR, _):
                self._take_presence(incoming)
            case _:
                self.dropped.misplaced += 1  # a group's that we left, as a rule
        self._pump.wake()

    def _take_down(self, payload: bytes) -> None:
        if payload.startswith(_PIECE):
            self._take_piece(payload, None)
            return
        opened = self._screen.opened(payload, kinds.DOWN, to_device(self.device), COORDINATOR)
        message = None if opened is None else self._screen.message(opened.payload)
        if message is None:
            return
        self.heard_at = _now()
        header, tail = message
        match header:
            case Whole():
                self._arrivals.put(tail)
            case Grant():
                self._uplink.receive(header, _now())
            case Gone(transfer=self._uplink.upload.transfer):
                self._uplink.receive(header, _now())
            case Gone():
                self._arrivals.note_gone(header, _now())
            case Manifest():
                self._arrivals.receive(header, tail, _now())
            case _:
                self.dropped.misplaced += 1

    def _take_manifest(self, group: GroupId, incoming: Incoming) -> None:
        if not incoming.payload:
            return  # cleared
        opened = self._screen.opened(incoming.payload, kinds.MANIFEST, to_group(group), COORDINATOR, ordered=False)
        message = None if opened is None else self._screen.message(opened.payload)
        if opened is None or message is None:
            return
        header, tail = message
        if not isinstance(header, Manifest):
            self.dropped.misplaced += 1
            return
        age = self._screen.age(incoming, opened)
        if age is Age.OLDER:
            return
        if age is Age.NEWER and group == self._groups[0]:
            self._uplink.free()
        self._arrivals.receive(header, tail, _now(), group=group)

    def _take_piece(self, payload: bytes, group: GroupId | None) -> None:
        message = self._screen.message(payload)
        if message is None:
            return
        header, tail = message
        if isinstance(header, Chunk):
            self._arrivals.receive(header, tail, _now(), group=group)
        else:
            self.dropped.misplaced += 1

    def _take_presence(self, incoming: Incoming) -> None:
        presence = self._screen.presence(incoming, TO_EVERYONE, COORDINATOR)
        if presence is None:
            return
        self.coordinator_there = presence.online
        self.coordinator_left = None if presence.online else presence.reason
        if not presence.online:
            return
        first, self._met = not self._met, True
        if not (first and incoming.retained):  # else it was there before us, and hears our hello
            self._resume()
            self._arrivals.put_reconnected()

    def _resume(self) -> None:
        """Ask where everything stands: what was sent last may be lost."""
        self._meter.interrupted()
        self._uplink.upload.resume()
        self._arrivals.resume(_now())


def _with_chunks(settings: UploadSettings | None, chunk_bytes: int) -> UploadSettings:
    given = settings or UploadSettings()
    return UploadSettings(chunk_bytes=chunk_bytes, retry_s=given.retry_s, retry_limit_s=given.retry_limit_s)


def _now() -> float:
    return asyncio.get_running_loop().time()
