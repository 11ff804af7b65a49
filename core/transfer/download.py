"""The device's end of its group's broadcasts: takes what comes, and asks for what does not."""

from collections import deque
from collections.abc import Callable
from typing import Final

from tierwise.core.transfer.backoff import Backoff, Jitter
from tierwise.core.transfer.codec import Packet
from tierwise.core.transfer.counters import LinkCounters
from tierwise.core.transfer.facts import Downloaded
from tierwise.core.transfer.messages import Chunk, Gone, LinkMessage, Manifest, Want
from tierwise.core.transfer.outline import Outline, TransferId
from tierwise.core.transfer.ranges import to_ranges
from tierwise.core.transfer.reassembly import Reassembly, above_limits
from tierwise.core.transfer.settings import DownloadSettings
from tierwise.core.transfer.sink import Sink

REMEMBERED: Final = 16
"""Transfers that a device remembers to have completed, and to have given up."""


class Download:
    """The envelope that a device's group is sent; a newer manifest takes its place.

    Which manifest is newer, its order says, and where that is the same, the order of arrival. One download is for one
    group: a device that moves makes another.

    Chunks may come before their manifest. A few are kept; when no manifest follows, it is asked for.

    Parameters
    ----------
    open_sink
        Called with outline and tag when the first chunk of a download has arrived.
    jitter
        Spreads the wishes.
    settings
        Limits and times.

    Attributes
    ----------
    counters
        What was accepted and dropped.
    """

    def __init__(
        self, open_sink: Callable[[Outline, str], Sink], jitter: Jitter, settings: DownloadSettings | None = None
    ) -> None:
        self.counters = LinkCounters()
        self._open_sink = open_sink
        self._settings = settings or DownloadSettings()
        self._backoff = Backoff(self._settings.quiet_s, self._settings.quiet_limit_s, jitter)
        self._tag = ""
        self._order = 0
        """The highest of all manifests so far."""
        self._reassembly: Reassembly | None = None
        """None when no manifest is being fulfilled."""
        self._sought: TransferId | None = None
        """A transfer that is under way and whose manifest is missing; only when nothing is being fulfilled."""
        self._early: dict[int, bytes] = {}
        """Chunks of what is sought."""
        self._completed: deque[TransferId] = deque(maxlen=REMEMBERED)
        self._given_up: deque[TransferId] = deque(maxlen=REMEMBERED)
        self._wants = 0
        """Wishes in a row that nothing came of."""
        self._asking = False
        self._due_at: float | None = None

    @property
    def due_at(self) -> float | None:
        """When to call `tick`; None for never."""
        return self._due_at

    @property
    def transfer(self) -> TransferId | None:
        """What is being downloaded; None for nothing."""
        return None if self._reassembly is None else self._reassembly.outline.transfer

    def receive(self, message: LinkMessage, tail: memoryview, now: float) -> Downloaded | None:
        """Take a message of the coordinator's; ``tail`` is not kept."""
        match message:
            case Manifest():
                return self._begin(message, tail, now)
            case Chunk():
                return self._take(message, tail, now)
            case Gone():
                self._note_gone(message.transfer, now)
            case _:
                self.counters.foreign += 1
        return None

    def resume(self, now: float) -> None:
        """Ask soon for what is missing, after a reconnection."""
        if self._reassembly is not None or self._sought is not None:
            self._await_more(now)

    def cancel(self) -> None:
        """Stop; what was written is discarded."""
        if self._reassembly is not None:
            self._given_up.append(self._reassembly.outline.transfer)
            self._reassembly.discard()
        self._rest()

    def tick(self, now: float) -> None:
        """Ask for what is missing, if that is due."""
        if self._due_at is not None and now >= self._due_at:
            self._due_at = None
            self._asking = True

    def next_packet(self, now: float) -> Packet | None:
        """Return what to send next, if there is anything."""
        if not self._asking:
            return None
        self._asking = False
        self._wants += 1
        if self._wants < self._settings.want_limit:
            self._due_at = now + self._backoff.wait_s()
        if self._reassembly is not None:
            ranges = to_ranges(self._reassembly.missing())
            return Packet(Want(transfer=self._reassembly.outline.transfer, ranges=ranges))
        return None if self._sought is None else Packet(Want(transfer=self._sought))

    # -- what comes

    def _begin(self, manifest: Manifest, inline: memoryview, now: float) -> Downloaded | None:
        outline = manifest.outline
        transfer = outline.transfer
        if manifest.order < self._order:
            self.counters.stale += 1
            return None
        self._order = manifest.order
        if transfer in self._completed or transfer == self.transfer:
            return None
        limits = self._settings
        if above_limits(outline, limits.envelope_limit_bytes, limits.chunk_limit_bytes, limits.chunk_count_limit):
            self.counters.oversized += 1
            return None
        early = self._early if transfer == self._sought else {}
        self.cancel()
        tag = self._tag = manifest.tag
        self._reassembly = Reassembly(outline, lambda: self._open_sink(outline, tag), self.counters)
        self._await_more(now)
        if outline.count == 1:
            return self._write(self._reassembly, 0, inline, now)
        for index, data in early.items():
            done = self._write(self._reassembly, index, memoryview(data), now)
            if done is not None:
                return done
        return None

    def _take(self, chunk: Chunk, tail: memoryview, now: float) -> Downloaded | None:
        if self._reassembly is not None and chunk.transfer == self._reassembly.outline.transfer:
            return self._write(self._reassembly, chunk.index, tail, now)
        if chunk.transfer in self._completed:
            self.counters.duplicate += 1
        elif self._reassembly is not None or chunk.transfer in self._given_up:
            self.counters.unknown_transfer += 1
        else:
            self._keep_early(chunk, tail, now)
        return None

    def _write(self, reassembly: Reassembly, index: int, data: memoryview, now: float) -> Downloaded | None:
        if not reassembly.take(index, data):
            return None
        if not reassembly.complete:
            self._await_more(now)
            return None
        outline = reassembly.outline
        done = Downloaded(outline.transfer, self._tag, outline.size, reassembly.sink)
        self._completed.append(outline.transfer)
        self._rest()
        return done

    def _keep_early(self, chunk: Chunk, tail: memoryview, now: float) -> None:
        if chunk.transfer != self._sought:
            self._seek(chunk.transfer, now)
        if len(self._early) < self._settings.early_chunks and len(tail) <= self._settings.chunk_limit_bytes:
            self._early.setdefault(chunk.index, bytes(tail))
        else:
            self.counters.unknown_transfer += 1

    def _note_gone(self, transfer: TransferId, now: float) -> None:
        if transfer != self.transfer:
            self.counters.unknown_transfer += 1
            return
        self.cancel()
        self._seek(transfer, now)  # the answer, if there is one, is the manifest of what takes its place

    # -- the pieces

    def _seek(self, transfer: TransferId, now: float) -> None:
        self._sought = transfer
        self._early = {}
        self._await_more(now)

    def _await_more(self, now: float) -> None:
        """Something new has come: be quiet for a while."""
        self._wants = 0
        self._asking = False
        self._backoff.reset()
        self._due_at = now + self._backoff.wait_s()

    def _rest(self) -> None:
        self._reassembly = None
        self._sought = None
        self._early = {}
        self._asking = False
        self._due_at = None
