"""What devices upload, from its offer to the whole envelope."""

import logging
from collections import deque
from pathlib import Path
from typing import Final, assert_never

import anyio.to_thread
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tierwise.core.edges import Arrived, ConnectionLost
from tierwise.core.envelope import Letter
from tierwise.core.errors import DeviceError
from tierwise.core.ids import DeviceId
from tierwise.core.transfer import (
    Abandoned,
    Addressed,
    Chunk,
    DeskSettings,
    LinkCounters,
    Offer,
    Outline,
    Received,
    Refused,
    Repeated,
    UploadDesk,
)
from tierwise.runtime.transports.mqtt.complaints import Complaints
from tierwise.runtime.transports.mqtt.counters import DropCounters
from tierwise.runtime.transports.mqtt.inbox import Inbox
from tierwise.runtime.transports.mqtt.moments import Moments
from tierwise.runtime.transports.mqtt.sealed import is_sealed, unsealed_from
from tierwise.runtime.transports.mqtt.spooling import FileSink, spooled

_LOG: Final = logging.getLogger(__name__)

WAITING_LIMIT: Final = 64
"""Envelopes of one device that wait to be taken; an agent waits for an answer before it says much more."""
ANSWERS: Final = 4
"""What is said again to a device that misses the answer to its upload: the latest messages since."""


class Intake:
    """Puts large envelopes into files, opens sealed ones, and keeps all until they are taken.

    Parameters
    ----------
    federation
        Named in what is sealed.
    desk
        Credit and limits.
    spool_dir
        Where large envelopes are put.
    sealing_key
        Opens what is sealed; None for nothing is.
    dropped
        Where is counted what does not arrive.
    """

    def __init__(
        self,
        federation: str,
        desk: DeskSettings,
        spool_dir: Path | None,
        sealing_key: X25519PrivateKey | None,
        dropped: DropCounters,
    ) -> None:
        self.limit_bytes = desk.chunk_limit_bytes
        """Of an envelope in one message."""
        self._federation = federation
        self._spool_dir = spool_dir
        self._sealing_key = sealing_key
        self._dropped = dropped
        self._desk = UploadDesk(self._open_sink, desk)
        self._inbox: Inbox[Arrived | ConnectionLost] = Inbox(WAITING_LIMIT)
        self._sealed: Inbox[Arrived] = Inbox(WAITING_LIMIT)
        """What has to be opened before it arrives; in order, for one device's words should not overtake each other."""
        self._uploading: set[str] = set()
        """Devices that have ever uploaded."""
        self._complaints = Complaints(_LOG)
        self._waiting_since = Moments()
        """When what is complete and not taken came."""
        self._answers: dict[str, deque[bytes]] = {}
        """What was said to a device since its last upload."""

    @property
    def counters(self) -> LinkCounters:
        """What was accepted and dropped of the pieces."""
        return self._desk.counters

    @property
    def due_at(self) -> float | None:
        """When to draw again."""
        return self._desk.due_at

    @property
    def waiting_since(self) -> float | None:
        """When the oldest came of what is complete and was not taken yet."""
        return self._waiting_since.oldest

    async def take(self) -> Arrived | ConnectionLost:
        """Return what arrived first; wait for it."""
        taken = await self._inbox.get()
        if isinstance(taken, Arrived):
            self._settle(taken)
        return taken

    async def run(self) -> None:
        """Open what is sealed, for ever."""
        while True:
            await self._unseal(await self._sealed.get())

    def close(self) -> None:
        """Give up what is not complete."""
        for device in self._uploading:
            self._desk.forget(device)

    # -- in

    def receive(self, device: DeviceId, header: Offer | Chunk, tail: memoryview, now: float) -> list[bytes]:
        """Take a piece or an offer; return envelopes to say to the device again, if it misses an answer."""
        try:
            fact = self._desk.receive(device, header, tail, now)
        except OSError:
            self._dropped.unspooled += 1
            _LOG.exception("a piece of what %s sends cannot be written to %s", device, self._spool_dir or "a file")
            return []
        match fact:
            case Received():
                assert isinstance(fact.sink, FileSink)
                self._answers[device] = deque(maxlen=ANSWERS)
                self.put(device, fact.sink.finish(), fact.last_chunk_at)
            case Repeated():
                return list(self._answers.get(device, ()))
            case Refused():
                self._complaints.tell((device, "offer"), "%s offers %s", device, fact.reason)
            case None:
                pass
            case never:
                assert_never(never)
        return []

    def put(self, device: DeviceId, data: memoryview, at: float) -> None:
        """Take a whole envelope, sealed or not, which arrived at a time."""
        arrived = Arrived(device, data, at)
        self._waiting_since.add(at)
        if not is_sealed(data):
            self._arrive(arrived)
        elif self._sealing_key is None:
            self._settle(arrived)
            self._dropped.unsealable += 1
            self._complaints.tell(
                (device, "key"), "%s seals what it sends, and this coordinator has no key for it", device
            )
        elif not self._sealed.put(device, arrived):
            self._overflow(arrived)

    def note_lost(self, lost: ConnectionLost) -> None:
        """Take the word that a device is lost; it has room of its own, which what floods us cannot take."""
        if not self._inbox.put(f"{lost.device}/lost", lost):
            self._dropped.overflowing += 1

    def note_said(self, device: DeviceId, envelope: bytes) -> None:
        """Note what was said to a device: it may be the answer to its upload."""
        if device in self._answers:
            self._answers[device].append(envelope)

    # -- out

    def draw(self, now: float) -> Addressed | None:
        """Do what is due, and return what to say next, if there is anything."""
        if self._desk.due_at is not None and now >= self._desk.due_at:
            for abandoned in self._desk.tick(now):
                _note_abandoned(abandoned)
        return self._desk.next_packet(now)

    # -- the pieces

    def _open_sink(self, device: str, outline: Outline) -> FileSink:
        self._uploading.add(device)
        return FileSink(self._spool_dir, outline.size)

    async def _unseal(self, sealed: Arrived) -> None:
        assert not isinstance(sealed.data, Letter), "a broker carries bytes"
        assert self._sealing_key is not None
        try:
            pieces = unsealed_from(sealed.device, self._federation, self._sealing_key, sealed.data)
            if len(sealed.data) <= self.limit_bytes:
                opened = memoryview(b"".join(pieces))
            else:  # segment by segment, from file to file
                opened = await anyio.to_thread.run_sync(spooled, self._spool_dir, pieces)
        except DeviceError as error:
            self._settle(sealed)
            self._dropped.unsealable += 1
            self._complaints.tell((sealed.device, "seal"), "%s", error)
        except OSError:
            self._settle(sealed)
            self._dropped.unspooled += 1
            self._desk.forget(sealed.device)  # it comes again
            _LOG.exception("what %s sent cannot be written to %s", sealed.device, self._spool_dir or "a file")
        else:
            self._arrive(Arrived(sealed.device, opened, sealed.at))

    def _arrive(self, arrived: Arrived) -> None:
        if not self._inbox.put(arrived.device, arrived):
            self._overflow(arrived)

    def _overflow(self, arrived: Arrived) -> None:
        self._settle(arrived)
        self._dropped.overflowing += 1
        self._desk.forget(arrived.device)  # if it was an upload, it comes again

    def _settle(self, arrived: Arrived) -> None:
        assert arrived.at is not None, "all that is put in has its time"
        self._waiting_since.remove(arrived.at)


def _note_abandoned(fact: Abandoned) -> None:
    _LOG.info("%s stopped sending after %d of %d pieces", fact.sender, fact.arrived, fact.count)
