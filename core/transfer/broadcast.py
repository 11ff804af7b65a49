"""The coordinator's end of a group's broadcasts: each chunk once for all, and what is missing once more for all."""

import math
from array import array
from collections import deque

from tierwise.core.transfer.backoff import Jitter
from tierwise.core.transfer.codec import Packet
from tierwise.core.transfer.counters import LinkCounters
from tierwise.core.transfer.messages import Chunk, Gone, LinkMessage, Manifest, Want
from tierwise.core.transfer.outline import Outline, TransferId, readable
from tierwise.core.transfer.pace import Pace
from tierwise.core.transfer.ranges import indices
from tierwise.core.transfer.settings import BroadcastSettings


class Broadcast:
    """What one group is sent: one envelope at a time, the next takes its place.

    Parameters
    ----------
    jitter
        Spreads the moments at which wishes are met.
    settings
        Chunk size, rates and times.

    Attributes
    ----------
    counters
        What was dropped: wishes for other transfers and for chunks that there are not, and what is no wish. Wishes
        that came too soon after their chunk count as duplicate.
    published_bytes
        Bytes of envelopes that were drawn so far, inline ones included, headers not.
    """

    def __init__(self, jitter: Jitter, settings: BroadcastSettings | None = None) -> None:
        self.counters = LinkCounters()
        self.published_bytes = 0
        self._jitter = jitter
        self._settings = settings or BroadcastSettings()
        self._pace = Pace(self._settings.bytes_per_s, self._settings.burst_bytes)
        self._view = memoryview(b"")
        self._manifest: Manifest | None = None
        """None when nothing is published."""
        self._manifest_due = False
        self._manifest_at = -math.inf
        self._queue: deque[int] = deque()
        self._queued = bytearray()
        """For each chunk, whether it is in the queue."""
        self._published_at = array("d")
        """For each chunk, when it was drawn last."""
        self._wanted: set[int] = set()
        self._collected_at: float | None = None
        """When the wishes that are being collected are met."""

    @property
    def due_at(self) -> float | None:
        """When to call `tick`, then draw; None for never."""
        dues = [] if self._collected_at is None else [self._collected_at]
        if self._queue and (free_at := self._pace.free_at) is not None:
            dues.append(free_at)
        return min(dues, default=None)

    @property
    def transfer(self) -> TransferId | None:
        """What is published; None for nothing."""
        return None if self._manifest is None else self._manifest.outline.transfer

    def publish(
        self, envelope: bytes | memoryview, tag: str, *, order: int = 0, outline: Outline | None = None
    ) -> TransferId:
        """Publish an envelope, which must not change until it is replaced or withdrawn.

        The one before is dropped, as far as it has not gone out. The same bytes again, under the same tag, change
        nothing but that the manifest is published again.

        Parameters
        ----------
        envelope
            At least one byte.
        tag
            What it is for.
        order
            Not below that of what was published before, by whichever coordinator. Where it is the same, the order of
            arrival decides.
        outline
            The envelope's, with this broadcast's chunk size, if it was made already.

        Raises
        ------
        ValueError
            If the envelope is empty, or the outline is of another size.
        """
        view = readable(envelope)
        if outline is None:
            outline = Outline.of(view, self._settings.chunk_bytes)
        if outline.size != len(view):
            raise ValueError(f"the outline is of {outline.size} bytes, the envelope has {len(view)}")
        before = self._manifest
        if before is None or (before.outline, before.tag) != (outline, tag):
            self.withdraw()
            self._view = view
            if outline.count > 1:
                self._queue.extend(range(outline.count))
                self._queued = bytearray(b"\x01") * outline.count
                self._published_at = array("d", [-math.inf]) * outline.count
        self._manifest = Manifest(outline=outline, tag=tag, order=order)
        self._manifest_due = True
        return outline.transfer

    def withdraw(self) -> None:
        """Publish nothing any more, and let go of the envelope. The broker keeps the manifest until it is cleared."""
        self._manifest = None
        self._manifest_due = False
        self._manifest_at = -math.inf
        self._view = memoryview(b"")
        self._queue.clear()
        self._wanted.clear()
        self._collected_at = None

    def receive(self, message: LinkMessage, now: float) -> Gone | None:
        """Take a device's wish, and return what to tell that device, if anything."""
        if not isinstance(message, Want):
            self.counters.foreign += 1
            return None
        if self._manifest is None or message.transfer != self._manifest.outline.transfer:
            self.counters.unknown_transfer += 1
            self._repeat_manifest(now)
            return Gone(transfer=message.transfer)
        outline = self._manifest.outline
        if not message.ranges or outline.count == 1:
            self._repeat_manifest(now)
            return None
        if message.ranges[-1][1] > outline.count:
            self.counters.out_of_range += 1
            return None
        self._collect(message, outline, now)
        return None

    def tick(self, now: float) -> None:
        """Meet the wishes that were collected, if that is due."""
        if self._collected_at is not None and now >= self._collected_at:
            self._collected_at = None
            for index in sorted(self._wanted):
                self._queued[index] = 1
                self._queue.append(index)
            self._wanted.clear()

    def next_packet(self, now: float) -> Packet | None:
        """Return what to publish next, if there is anything and the pace allows it."""
        if self._manifest is None:
            return None
        outline = self._manifest.outline
        if self._manifest_due:
            self._manifest_due = False
            self._manifest_at = now
            inline = self._view if outline.count == 1 else memoryview(b"")
            self.published_bytes += len(inline)
            return Packet(self._manifest, inline)
        free_at = self._pace.free_at
        if not self._queue or (free_at is not None and now < free_at):
            return None
        index = self._queue.popleft()
        self._queued[index] = 0
        self._published_at[index] = now
        start = outline.offset(index)
        data = self._view[start : start + outline.length(index)]
        self._pace.spend(len(data), now)
        self.published_bytes += len(data)
        return Packet(Chunk(transfer=outline.transfer, index=index), data)

    def _collect(self, want: Want, outline: Outline, now: float) -> None:
        latest = now - self._settings.interval_s
        fresh = [
            index
            for index in indices(want.ranges, outline.count)
            if not self._queued[index] and self._published_at[index] <= latest
        ]
        if not fresh:
            self.counters.duplicate += 1
            return
        self._wanted.update(fresh)
        if self._collected_at is None:
            self._collected_at = now + self._settings.collect_s * (0.5 + 0.5 * self._jitter())

    def _repeat_manifest(self, now: float) -> None:
        if self._manifest is not None and now >= self._manifest_at + self._settings.interval_s:
            self._manifest_due = True
