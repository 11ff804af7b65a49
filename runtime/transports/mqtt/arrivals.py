"""What a device is sent: models piece by piece, words whole, all in the order in which they were said."""

import random
from typing import Final

from tierwise.core.edges import Reconnected
from tierwise.core.transfer import (
    BufferSink,
    Chunk,
    Download,
    DownloadSettings,
    Gone,
    LinkCounters,
    Manifest,
)
from tierwise.core.transfer.codec import Packet
from tierwise.runtime.transports.mqtt.counters import DropCounters
from tierwise.runtime.transports.mqtt.inbox import Inbox
from tierwise.runtime.transports.mqtt.meter import LinkMeter

WAITING_LIMIT: Final = 64
"""Envelopes that wait to be taken."""
HOLD_S: Final = 15.0
"""How long a model that comes no further keeps what was said after it waiting."""


class Arrivals:
    """Fetches what is published, and keeps all until it is taken.

    Small envelopes that come while a model is on its way wait for that model.

    Parameters
    ----------
    settings
        Waits and limits of what is published.
    dropped
        Where is counted what does not arrive.
    meter
        Learns from what comes in pieces.
    """

    def __init__(self, settings: DownloadSettings, dropped: DropCounters, meter: LinkMeter) -> None:
        self._settings = settings
        self._meter = meter
        self._dropped = dropped
        self._inbox: Inbox[memoryview | Reconnected] = Inbox(WAITING_LIMIT)
        self._greeted = False
        """Whether a `Reconnected` waits to be taken."""
        self._group = self._new_download(LinkCounters())
        """Of what the group is sent."""
        self._direct = self._new_download(LinkCounters())
        """Of what is published for this device alone."""
        self._held: list[memoryview] = []
        self._held_until = 0.0

    @property
    def counters(self) -> tuple[LinkCounters, LinkCounters]:
        """What was accepted and dropped of the group's pieces, and of the device's own."""
        return self._group.counters, self._direct.counters

    @property
    def due_at(self) -> float | None:
        """When to draw again."""
        dues = [self._group.due_at, self._direct.due_at, self._held_until if self._held else None]
        return min((due_at for due_at in dues if due_at is not None), default=None)

    async def take(self) -> memoryview | Reconnected:
        """Return what arrived first; wait for it."""
        item = await self._inbox.get()
        if isinstance(item, Reconnected):
            self._greeted = False
        return item

    # -- in

    def put(self, envelope: memoryview) -> None:
        """Take a small envelope."""
        if self._fetching and len(self._held) < WAITING_LIMIT:
            self._held.append(envelope)
        else:
            self._arrive(envelope)

    def put_reconnected(self) -> None:
        """Note a reconnection; two that nobody has heard of yet are one."""
        if not self._greeted:
            self._greeted = True
            self._inbox.put("reconnected", Reconnected())

    def receive(self, header: Manifest | Chunk | Gone, tail: memoryview, now: float, *, direct: bool = False) -> None:
        """Take something that is published for the group, or with ``direct`` for this device."""
        download = self._direct if direct else self._group
        self._held_until = now + HOLD_S
        if isinstance(header, Chunk):
            self._meter.took_piece(header.transfer, len(tail), now, direct=direct)
        downloaded = download.receive(header, tail, now)
        if downloaded is not None:
            self._meter.downloaded(downloaded.transfer, now, direct=direct)
            assert isinstance(downloaded.sink, BufferSink)
            self._arrive(memoryview(downloaded.sink.data).toreadonly())
        if not self._fetching:
            self._release()

    def note_gone(self, gone: Gone, now: float) -> None:
        """Note that something is not published any more."""
        self.receive(gone, memoryview(b""), now, direct=gone.transfer == self._direct.transfer)

    def move(self) -> None:
        """Begin anew: another group is followed."""
        self._group.cancel()
        self._group = self._new_download(self._group.counters)
        if not self._fetching:
            self._release()

    # -- out

    def resume(self, now: float) -> None:
        """Ask soon for what is missing."""
        self._group.resume(now)
        self._direct.resume(now)

    def draw(self, now: float) -> Packet | None:
        """Do what is due, and return what to ask for next, if there is anything."""
        if self._held and now >= self._held_until:
            self._release()
        for download in (self._group, self._direct):
            download.tick(now)
            packet = download.next_packet(now)
            if packet is not None:
                return packet
        return None

    # -- the pieces

    @property
    def _fetching(self) -> bool:
        return self._group.transfer is not None or self._direct.transfer is not None

    def _release(self) -> None:
        held, self._held = self._held, []
        for envelope in held:
            self._arrive(envelope)

    def _arrive(self, envelope: memoryview) -> None:
        if not self._inbox.put("coordinator", envelope):
            self._dropped.overflowing += 1

    def _new_download(self, counters: LinkCounters) -> Download:
        made = Download(lambda outline, _tag: BufferSink(outline.size), random.random, self._settings)
        made.counters = counters  # they go on when the group is another one
        return made
