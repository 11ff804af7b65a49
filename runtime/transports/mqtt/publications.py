"""What the coordinator publishes: for each group, and for a device what does not fit into a message."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import anyio.to_thread

from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.transfer import Broadcast, BroadcastSettings, Gone, Jitter, Manifest, Outline, Want
from tierwise.core.transfer.codec import Packet
from tierwise.runtime.security.signing import FrameSigner, to_device, to_group
from tierwise.runtime.transports.mqtt import kinds
from tierwise.runtime.transports.mqtt.topics import Topics

HASH_BYTES: Final = 256 * 1024
"""Envelopes above this are hashed in a worker thread: it takes longer than a millisecond."""
DIRECTED_S: Final = 600.0
"""A device that has asked for nothing for so long has what was published for it, or does not want it."""

SETTLE_S: Final = 0.25
"""Between the first manifest of a group and the first chunk: its devices were told of it just now, and subscribe."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; with ``acknowledged`` it has to reach the broker."""

    topic: str
    payload: bytes
    acknowledged: bool = False
    retain: bool = False


@dataclass(slots=True, eq=False)
class _Publication:
    broadcast: Broadcast
    manifests: str
    """The topic; the others likewise."""
    chunks: str
    kind: str
    recipient: str
    retain: bool
    since: float | None = None
    """When to begin with the chunks; None for any time."""
    until: float = math.inf
    """When to end; for a device."""
    large: bool = False
    latest: Outgoing | None = None
    """The manifest that was published last."""


class Publications:
    """One envelope for each group and, now and then, for a device.

    A device is published for like a group of one: its manifest and chunks go where else is spoken to it, and nothing
    is retained.

    Parameters
    ----------
    topics
        Where.
    signer
        Signs the manifests.
    jitter
        See `Broadcast`.
    settings
        Of all broadcasts together the rate is the sum of theirs.
    """

    def __init__(self, topics: Topics, signer: FrameSigner, jitter: Jitter, settings: BroadcastSettings) -> None:
        self._topics = topics
        self._signer = signer
        self._jitter = jitter
        self._settings = settings
        self._groups: dict[GroupId, _Publication] = {}
        self._devices: dict[DeviceId, _Publication] = {}
        self._turns: deque[_Publication] = deque()
        """All of them; the first is the next to be drawn from."""
        self._past_bytes = 0

    @property
    def published_bytes(self) -> int:
        """Bytes of envelopes that were published, each as often as it was."""
        return self._past_bytes + sum(one.broadcast.published_bytes for one in self._turns)

    @property
    def retained(self) -> list[str]:
        """The topics where a manifest was retained."""
        return [one.manifests for one in self._groups.values()]

    @property
    def manifests(self) -> list[Outgoing]:
        """The groups' manifests as they were published: a broker may have lost them when it was restarted."""
        return [one.latest for one in self._groups.values() if one.latest is not None]

    @property
    def large(self) -> bool:
        """Whether what is published has pieces that a device could miss."""
        return any(one.large for one in self._turns)

    @property
    def due_at(self) -> float | None:
        """When to draw again."""
        dues = [one.broadcast.due_at if one.since is None else one.since for one in self._turns]
        return min((due_at for due_at in dues if due_at is not None), default=None)

    async def to_group(self, group: GroupId, envelope: bytes, now: float) -> Outgoing:
        """Begin to publish an envelope for a group, in place of the one before; return its manifest, to be sent now.

        So what is said later comes later, and finds the device waiting for the rest.
        """
        publication = self._groups.get(group)
        if publication is None:
            publication = self._groups[group] = self._add(
                self._topics.model(group), self._topics.group_chunk(group), kinds.MANIFEST, to_group(group), retain=True
            )
            publication.since = now + SETTLE_S
        return await self._publish(publication, envelope, now)

    async def to_device(self, device: DeviceId, envelope: bytes, now: float) -> Outgoing:
        """Begin to publish an envelope for a device, likewise."""
        publication = self._devices.get(device)
        if publication is None:
            topic = self._topics.down(device)
            publication = self._devices[device] = self._add(topic, topic, kinds.DOWN, to_device(device), retain=False)
        publication.until = now + DIRECTED_S
        return await self._publish(publication, envelope, now)

    def want(self, device: DeviceId, want: Want, now: float) -> Gone | None:
        """Take a device's wish, and return what to tell it, if anything."""
        for publication in self._asked(device):
            if publication.broadcast.transfer == want.transfer:
                if publication.until < math.inf:
                    publication.until = now + DIRECTED_S
                return publication.broadcast.receive(want, now)
        return Gone(transfer=want.transfer)

    def draw(self, now: float) -> Outgoing | None:
        """Return what to publish next, in turn, if there is anything."""
        self._drop_devices([device for device, one in self._devices.items() if now >= one.until])
        for _ in range(len(self._turns)):
            publication = self._turns[0]
            self._turns.rotate(-1)
            if publication.since is not None and now < publication.since:
                continue
            publication.since = None
            publication.broadcast.tick(now)
            packet = publication.broadcast.next_packet(now)
            if packet is not None:
                return self._framed(publication, packet)
        return None

    def forget(self, device: DeviceId) -> None:
        """Publish nothing for a device any more; it is gone, and says so anew when it is back."""
        if device in self._devices:
            self._drop_devices([device])

    # -- the pieces

    def _asked(self, device: DeviceId) -> Iterator[_Publication]:
        if device in self._devices:
            yield self._devices[device]
        yield from self._groups.values()

    def _add(self, manifests: str, chunks: str, kind: str, recipient: str, *, retain: bool) -> _Publication:
        broadcast = Broadcast(self._jitter, self._settings)
        publication = _Publication(broadcast, manifests, chunks, kind, recipient, retain)
        self._turns.append(publication)
        return publication

    async def _publish(self, publication: _Publication, envelope: bytes, now: float) -> Outgoing:
        outline = await outline_of(envelope, self._settings.chunk_bytes)
        publication.large = outline.count > 1
        publication.broadcast.publish(envelope, "", outline=outline)
        packet = publication.broadcast.next_packet(now)
        assert packet is not None, "a publication begins with its manifest"
        return self._framed(publication, packet)

    def _framed(self, publication: _Publication, packet: Packet) -> Outgoing:
        if isinstance(packet.message, Manifest):
            frame = self._signer.sign(packet.encode(), kind=publication.kind, recipient=publication.recipient)
            publication.latest = Outgoing(publication.manifests, frame, acknowledged=True, retain=publication.retain)
            return publication.latest
        return Outgoing(publication.chunks, packet.encode())

    def _drop_devices(self, devices: list[DeviceId]) -> None:
        for device in devices:
            publication = self._devices.pop(device)
            self._past_bytes += publication.broadcast.published_bytes
            self._turns.remove(publication)


async def outline_of(envelope: bytes | memoryview, chunk_bytes: int) -> Outline:
    """Return an envelope's outline; a large one is hashed in a worker thread."""
    if len(envelope) <= HASH_BYTES:
        return Outline.of(envelope, chunk_bytes)
    return await anyio.to_thread.run_sync(Outline.of, envelope, chunk_bytes)
