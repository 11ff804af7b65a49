"""What a device says: small envelopes in an outbox, a large one as an upload."""

import asyncio
import hashlib
import random
from dataclasses import dataclass
from typing import Final

import anyio.to_thread
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from tierwise.core.ids import DeviceId
from tierwise.core.transfer import Chunk, Gone, Grant, Outline, Upload, UploadSettings
from tierwise.core.transfer.codec import Packet
from tierwise.runtime.security.sealing import sealed_size
from tierwise.runtime.transports.mqtt.meter import LinkMeter
from tierwise.runtime.transports.mqtt.sealed import sealed_by

OUTBOX_LIMIT: Final = 32
"""Small envelopes that wait for a connection; an agent repeats what matters, and the same one waits once."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An envelope as it is uploaded; what it was before is known by its hash."""

    digest: bytes
    data: bytes
    outline: Outline


class Uplink:
    """A device's envelopes on their way out.

    Parameters
    ----------
    device, federation
        Whose, and where.
    settings
        The chunk size divides small from large.
    seal_to
        The coordinator's key; None for not sealing.
    meter
        Learns from what goes out.
    """

    def __init__(
        self,
        device: DeviceId,
        federation: str,
        settings: UploadSettings,
        seal_to: X25519PublicKey | None,
        meter: LinkMeter,
    ) -> None:
        self.upload = Upload(random.random, settings)
        self._device = device
        self._federation = federation
        self._chunk_bytes = settings.chunk_bytes
        self._seal_to = seal_to
        self._meter = meter
        self._outbox: dict[bytes, None] = {}
        self._kept: _Prepared | None = None
        """The latest upload, for as long as it may be repeated: sealed again, it would be another one."""
        self._preparing = asyncio.Lock()

    async def put(self, envelope: bytes) -> None:
        """Take an envelope; a large one takes the place of the one before, unless it is the same."""
        size = len(envelope) if self._seal_to is None else sealed_size(len(envelope))
        if size <= self._chunk_bytes:
            if len(self._outbox) == OUTBOX_LIMIT and envelope not in self._outbox:
                del self._outbox[next(iter(self._outbox))]
            self._outbox[envelope] = None
            return
        async with self._preparing:
            prepared = self._kept = await anyio.to_thread.run_sync(self._prepare, envelope)
            self.upload.offer(prepared.data, prepared.outline)

    def first(self) -> bytes | None:
        """Return the oldest small envelope; `sent` says that it is gone."""
        return next(iter(self._outbox), None)

    def sent(self, envelope: bytes) -> None:
        """Forget a small envelope."""
        self._outbox.pop(envelope, None)

    def sealed(self, envelope: bytes) -> bytes:
        """Return an envelope as it goes over the wire."""
        if self._seal_to is None:
            return envelope
        return sealed_by(self._device, self._federation, self._seal_to, envelope)

    def draw(self, now: float) -> Packet | None:
        """Do what is due for the upload, and return what to send next of it, if there is anything."""
        self.upload.tick(now)
        packet = self.upload.next_packet(now)
        if packet is not None and isinstance(packet.message, Chunk):
            self._meter.sent_piece(packet.message.transfer, len(packet.tail), now)
        return packet

    def receive(self, answer: Grant | Gone, now: float) -> None:
        """Take what the coordinator says about the upload."""
        if self.upload.receive(answer) is not None:
            self._meter.uploaded(answer.transfer, now)

    def free(self) -> None:
        """Let go of an upload that is complete: a new model has come, and nobody asks for the old one's update."""
        if self.upload.transfer is None and not self._preparing.locked():
            self._kept = None

    def _prepare(self, envelope: bytes) -> _Prepared:
        """Seal and hash; in a worker thread, because it takes a second for each GB."""
        digest = hashlib.sha256(envelope).digest()
        kept = self._kept
        if kept is not None and kept.digest == digest:
            return kept
        data = self.sealed(envelope)
        return _Prepared(digest, data, Outline.of(data, self._chunk_bytes))
