"""What a device is sent: models piece by piece, words whole, all in the order in which they were said."""

import random
from collections.abc import Sequence
from typing import Final

from tierwise.core.edges import Reconnected
from tierwise.core.ids import GroupId
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
        self._counters = LinkCounters()
        """Of what groups are sent; they go on when the groups are others."""
        self._groups: dict[GroupId, Download] = {}
        """Of what each group that is followed is sent."""
        self._direct = self._new_download(LinkCounters())
        """Of what is published for this device alone."""
        self._held: list[memoryview] = []
        self._held_until = 0.0

    @property
    def counters(self) -> tuple[LinkCounters, LinkCounters]:
        """What was accepted and dropped of the groups' pieces, and of the device's own."""
        return self._counters, self._direct.counters

    @property
    def due_at(self) -> float | None:
        """When to draw again."""
        dues = [download.due_at for download in self._downloads]
        dues.append(self._held_until if self._held else None)
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

    def receive(
        self, header: Manifest | Chunk | Gone, tail: memoryview, now: float, *, group: GroupId | None = None
    ) -> None:
        """Take something that is published for a group that is followed; without one, for this device."""
        direct = group is None
        download = self._direct if group is None else self._groups[group]
        self._held_until = now + HOLD_S
        if isinstance(header, Chunk):
            self._meter.took_piece(header.transfer, len(tail), now, direct=direct)
        downloaded = download.receive(header, tail, now)
        if downloaded is not None:
            self._meter.downloaded(downloaded.transfer, now, direct=direct)
            assert isinstance(downloaded.sink, BufferSink)
            self._arrive(downloaded.sink.data.toreadonly())
        if not self._fetching:
            self._release()

    def note_gone(self, gone: Gone, now: float) -> None:
        """Note that something is not published any more."""
        concerned = [group for group, download in self._groups.items() if download.transfer == gone.transfer]
        self.receive(gone, memoryview(b""), now, group=concerned[0] if concerned else None)

    def follow(self, groups: Sequence[GroupId]) -> None:
        """Fetch what these groups are sent from now on, and nothing else."""
        before, self._groups = self._groups, {}
        for group in groups:
            self._groups[group] = before.pop(group) if group in before else self._new_download(self._counters)
        for download in before.values():
            download.cancel()
        if not self._fetching:
            self._release()

    # -- out

    def resume(self, now: float) -> None:
        """Ask soon for what is missing."""
        for download in self._downloads:
            download.resume(now)

    def draw(self, now: float) -> tuple[GroupId | None, Packet] | None:
        """Do what is due, and return what to ask for next, and of which group's, if there is anything."""
        if self._held and now >= self._held_until:
            self._release()
        for group, download in (*self._groups.items(), (None, self._direct)):
            download.tick(now)
            packet = download.next_packet(now)
            if packet is not None:
                return group, packet
        return None

    # -- the pieces

    @property
    def _fetching(self) -> bool:
        return any(download.transfer is not None for download in self._downloads)

    @property
    def _downloads(self) -> tuple[Download, ...]:
        return (*self._groups.values(), self._direct)

    def _release(self) -> None:
        held, self._held = self._held, []
        for envelope in held:
            self._arrive(envelope)

    def _arrive(self, envelope: memoryview) -> None:
        if not self._inbox.put("coordinator", envelope):
            self._dropped.overflowing += 1

    def _new_download(self, counters: LinkCounters) -> Download:
        made = Download(lambda outline, _tag: BufferSink(outline.size), random.random, self._settings)
        made.counters = counters
        return made
