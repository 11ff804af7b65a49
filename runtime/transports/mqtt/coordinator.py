"""The coordinator's end over MQTT."""

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import TaskGroup
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tierwise.core.edges import Arrived, ConnectionLost
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.transfer import (
    DEFAULT_CHUNK_BYTES,
    BroadcastSettings,
    Chunk,
    DeskSettings,
    LinkCounters,
    Offer,
    Want,
    Whole,
    encode,
)
from tierwise.runtime.exceptions import unwrapped
from tierwise.runtime.security.keys import COORDINATOR
from tierwise.runtime.security.signing import (
    TO_COORDINATOR,
    TO_EVERYONE,
    FrameSigner,
    FrameVerifier,
    Rejection,
    to_device,
)
from tierwise.runtime.transports.mqtt import kinds
from tierwise.runtime.transports.mqtt.connection import Connection, Hooks, Incoming
from tierwise.runtime.transports.mqtt.counters import DropCounters
from tierwise.runtime.transports.mqtt.deliveries import Deliveries
from tierwise.runtime.transports.mqtt.dialling import Retained
from tierwise.runtime.transports.mqtt.intake import Intake
from tierwise.runtime.transports.mqtt.presence import Attendance, Presence
from tierwise.runtime.transports.mqtt.publications import Outgoing, Publications
from tierwise.runtime.transports.mqtt.pump import Pump, Sending
from tierwise.runtime.transports.mqtt.screen import Screen
from tierwise.runtime.transports.mqtt.settings import MqttSettings
from tierwise.runtime.transports.mqtt.topics import Channel

_LOG: Final = logging.getLogger(__name__)

REVOKED: Final = "its key was revoked; with a new bundle, from `tierwise enrol`, it may come back"
REPLY_LIMIT: Final = 4096
"""Replies that wait; the oldest are dropped, and asked for again."""
OFFLINE_S: Final = 2.0
"""How long saying that we are not there any more may take, where we are being stopped."""


class MqttCoordinator:
    """A coordinator's transport.

    Small envelopes go and come as one signed message. Large ones come under credit and piece by piece into a file
    without a name, of which `receive` gives a view; large ones for groups are announced by a signed manifest that the
    broker retains, and published once, whatever the number of devices.

    What is retained is cleared when the context of `connect` ends without an exception. If it ends with one, or the
    process dies, it stays for the coordinator that goes on.

    Parameters
    ----------
    settings
        The broker.
    signer, verifier
        The coordinator's own.
    spool_dir
        Where large envelopes are put, with room for one of each device; None for the system's temporary files. It is
        never cleaned up: its files have no names, and end with the process.
    sealing_key
        Opens what devices seal; None where they do not.
    desk, broadcasts
        Credit and limits for what comes, rates and times for what is published; the chunk size of the latter is that
        of ``settings``.

    Attributes
    ----------
    dropped
        What was dropped here. See `rejected`, and `link_counters` for the pieces of uploads.
    """

    def __init__(
        self,
        settings: MqttSettings,
        signer: FrameSigner,
        verifier: FrameVerifier,
        spool_dir: Path | None = None,
        *,
        sealing_key: X25519PrivateKey | None = None,
        desk: DeskSettings | None = None,
        broadcasts: BroadcastSettings | None = None,
    ) -> None:
        self.dropped = DropCounters()
        self._settings = settings
        self._topics = settings.topics
        self._signer = signer
        self._screen = Screen(verifier, self.dropped)
        self._attendance = Attendance(settings.topics.coordinator, signer, TO_EVERYONE)
        self._connection = Connection(
            settings,
            f"{settings.prefix}/{settings.federation}/{COORDINATOR}",
            Hooks(will=self._attendance.will, take=self._take, greet=self._greet),
        )
        self._deliveries = Deliveries(self._connection)
        self._pump = Pump(self._connection, self._draw, self._due_at)
        self._intake = Intake(
            settings.federation,
            desk or DeskSettings(chunk_limit_bytes=max(settings.chunk_bytes, DEFAULT_CHUNK_BYTES)),
            spool_dir,
            sealing_key,
            self.dropped,
        )
        self._publications = Publications(
            settings.topics,
            signer,
            random.random,
            _with_chunks(broadcasts or BroadcastSettings(), settings.chunk_bytes),
        )
        self._replies: deque[Outgoing] = deque(maxlen=REPLY_LIMIT)
        """What else is to be said."""
        self._present: set[DeviceId] = set()
        self._heard_at = 0.0
        """When a device last came, went or asked for something."""
        self._heard = anyio.Event()
        self._tasks: TaskGroup | None = None

    @property
    def published_model_bytes(self) -> int:
        """Bytes of envelopes that were published for groups and devices; they do not grow with a group's size."""
        return self._publications.published_bytes

    @property
    def link_counters(self) -> LinkCounters:
        """What was accepted and dropped of the pieces of uploads."""
        return self._intake.counters

    @property
    def rejected(self) -> Counter[Rejection]:
        """How many frames did not stand their checks, by reason."""
        return self._screen.verifier.rejected

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker, as far as is known."""
        return self._connection.connected

    @property
    def present(self) -> frozenset[DeviceId]:
        """The devices that say that they are there."""
        return frozenset(self._present)

    # -- the contract

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[None]:
        """Be connected as long as the context lasts, and again whenever the connection breaks.

        Raises
        ------
        TransportError
            If the first connection does not come about.
        """
        await self._connection.subscribe(self._topics.all_up, 1)
        with unwrapped():
            async with anyio.create_task_group() as self._tasks:
                try:
                    async with self._connection.opened():
                        self._tasks.start_soon(self._pump.run)
                        self._tasks.start_soon(self._intake.run)
                        # Before anything else, so that devices which come later know that we were there before them.
                        await self._keep(self._attendance.birth())
                        async with self._parting():
                            yield
                finally:
                    self._tasks.cancel_scope.cancel()
                    self._intake.close()

    async def receive(self) -> AsyncGenerator[Arrived | ConnectionLost, None]:
        """Yield what devices send, while connected."""
        while True:
            yield await self._intake.take()

    def arriving_since(self) -> float | None:
        """Return when the oldest came of what is complete and was not yielded yet, by the event loop's clock."""
        return self._intake.waiting_since

    async def send(self, device: DeviceId, data: bytes) -> None:
        """Send an envelope to one device; it waits at the broker for one that is away.

        One that does not fit into a message is published for the device alone.
        """
        if len(data) > self._settings.chunk_bytes:
            await self._publish(await self._publications.to_device(device, data, _now()))
            self._pump.wake()
            return
        self._intake.note_said(device, data)
        await self._publish(self._whole(device, data))

    async def broadcast(self, group: GroupId, data: bytes) -> None:
        """Begin to publish an envelope for a group."""
        await self._publish(await self._publications.to_group(group, data, _now()))
        self._pump.wake()

    # -- the beginning and the end

    def _greet(self, first: bool) -> None:
        self._attendance.connected()
        if not first:
            self._replies.extend(self._publications.manifests)
        self._pump.wake()

    @asynccontextmanager
    async def _parting(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            with anyio.move_on_after(OFFLINE_S, shield=True):
                await self._say_offline("the coordinator was stopped")
            raise
        await self._end()

    async def _say_offline(self, reason: str) -> None:
        await self._keep(self._attendance.farewell(reason))

    async def _keep(self, said: Retained) -> None:
        await self._connection.publish(said.topic, said.payload, qos=1, retain=True)

    async def _end(self) -> None:
        """Wait for those who still fetch the end, then leave the broker as it was."""
        with anyio.move_on_after(self._settings.farewell_s):
            await self._deliveries.drain()
        self._heard_at = _now()
        while self._publications.large and self._present:
            left_s = self._heard_at + self._settings.farewell_s - _now()
            with anyio.move_on_after(max(left_s, 0)) as waiting:
                await self._heard.wait()
            if waiting.cancelled_caught:
                break
        with anyio.move_on_after(OFFLINE_S):
            await self._say_offline("the coordinator has ended")
            for topic in (*self._publications.retained, self._topics.coordinator):
                await self._connection.publish(topic, b"", qos=1, retain=True)
            await self._connection.unsubscribe(self._topics.all_up)

    # -- out

    def _due_at(self) -> float | None:
        dues = [due_at for due_at in (self._intake.due_at, self._publications.due_at) if due_at is not None]
        return min(dues, default=None)

    def _draw(self, now: float) -> Sending | None:
        birth = self._attendance.draw()
        if birth is not None:
            return lambda: self._publish(Outgoing(birth.topic, birth.payload, acknowledged=True, retain=True))
        if self._replies:
            reply = self._replies.popleft()
            return lambda: self._publish(reply)
        addressed = self._intake.draw(now)
        if addressed is not None:
            device, packet = DeviceId(addressed.receiver), addressed.packet
            return lambda: self._publish(self._down(device, packet.encode()))
        outgoing = self._publications.draw(now)
        return None if outgoing is None else lambda: self._publish(outgoing)

    def _down(self, device: DeviceId, payload: bytes, *, acknowledged: bool = False) -> Outgoing:
        frame = self._signer.sign(payload, kind=kinds.DOWN, recipient=to_device(device))
        return Outgoing(self._topics.down(device), frame, acknowledged)

    def _whole(self, device: DeviceId, envelope: bytes) -> Outgoing:
        return self._down(device, encode(Whole(size=len(envelope)), envelope), acknowledged=True)

    async def _publish(self, outgoing: Outgoing) -> None:
        if outgoing.acknowledged:
            assert self._tasks is not None, "it works within connect()"
            await self._deliveries.post(self._tasks, outgoing.topic, outgoing.payload, retain=outgoing.retain)
        else:
            await self._connection.publish(outgoing.topic, outgoing.payload)

    # -- in

    def _take(self, incoming: Incoming) -> None:
        place = self._topics.place(incoming.topic)
        device = DeviceId("" if place is None else place.name)
        channel = None if place is None else place.channel
        match channel:
            case Channel.CTL:
                self._take_frame(device, incoming.payload)
            case Channel.CHUNK:
                self._take_chunk(device, incoming.payload)
            case Channel.PRESENCE:
                self._take_presence(device, incoming)
            case _:
                self.dropped.misplaced += 1
        if device in self._screen.revoked:
            self._screen.revoked.remove(device)
            # Not for its leave-taking: who hears the answer may be the same device with a new key already.
            self._note_lost(device, REVOKED, shut_out=channel is Channel.CTL)
        self._pump.wake()

    def _take_frame(self, device: DeviceId, payload: bytes) -> None:
        opened = self._screen.opened(payload, kinds.CTL, TO_COORDINATOR, device)
        message = None if opened is None else self._screen.message(opened.payload)
        if message is None:
            return
        header, tail = message
        now = _now()
        match header:
            case Whole():
                if len(tail) <= self._intake.limit_bytes:
                    self._intake.put(device, tail, now)
                else:
                    self.dropped.oversized += 1
                    _LOG.warning(
                        "%s sends %d bytes in one message, %d are allowed", device, len(tail), self._intake.limit_bytes
                    )
            case Offer():
                self._hear(now)
                self._take_upload(device, header, tail, now)
            case Want():
                self._hear(now)
                gone = self._publications.want(device, header, now)
                if gone is not None:
                    self._replies.append(self._down(device, encode(gone)))
            case _:
                self.dropped.misplaced += 1

    def _take_chunk(self, device: DeviceId, payload: bytes) -> None:
        message = self._screen.message(payload)
        if message is None:
            return
        header, tail = message
        if isinstance(header, Chunk):
            self._take_upload(device, header, tail, _now())
        else:
            self.dropped.misplaced += 1

    def _take_upload(self, device: DeviceId, header: Offer | Chunk, tail: memoryview, now: float) -> None:
        for envelope in self._intake.receive(device, header, tail, now):
            self._replies.append(self._whole(device, envelope))

    def _take_presence(self, device: DeviceId, incoming: Incoming) -> None:
        presence = self._screen.presence(incoming, TO_COORDINATOR, device)
        if presence is not None:
            self._note_presence(device, presence)

    def _note_presence(self, device: DeviceId, presence: Presence) -> None:
        self._hear(_now())
        if presence.online:
            self._present.add(device)
            return
        self._note_lost(device, presence.reason or "it is not there any more")

    def _note_lost(self, device: DeviceId, reason: str, *, shut_out: bool = False) -> None:
        self._hear(_now())
        self._present.discard(device)
        self._publications.forget(device)
        self._intake.note_lost(ConnectionLost(device, reason, shut_out))

    # -- the pieces

    def _hear(self, now: float) -> None:
        self._heard_at = now
        self._heard.set()
        self._heard = anyio.Event()


def _with_chunks(settings: BroadcastSettings, chunk_bytes: int) -> BroadcastSettings:
    return BroadcastSettings(
        chunk_bytes=chunk_bytes,
        bytes_per_s=settings.bytes_per_s,
        burst_bytes=settings.burst_bytes,
        collect_s=settings.collect_s,
        interval_s=settings.interval_s,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
