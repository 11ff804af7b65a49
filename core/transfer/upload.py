"""The device's end of uploads: sends what is granted, and nothing else."""

from collections import deque
from typing import Final

from tierwise.core.transfer.backoff import Backoff, Jitter
from tierwise.core.transfer.codec import Packet
from tierwise.core.transfer.counters import LinkCounters
from tierwise.core.transfer.facts import Uploaded
from tierwise.core.transfer.messages import Chunk, Gone, Grant, LinkMessage, Offer
from tierwise.core.transfer.outline import Outline, TransferId, readable
from tierwise.core.transfer.ranges import indices
from tierwise.core.transfer.settings import UploadSettings

REMEMBERED: Final = 64
"""Grants that a device remembers to have had, so that a copy of one is not taken for another."""


class Upload:
    """One envelope on its way to the coordinator; a newer one takes its place.

    Parameters
    ----------
    jitter
        Spreads the repetitions.
    settings
        Chunk size and waits.

    Attributes
    ----------
    counters
        What was dropped: grants of other transfers, and what is not for a device that uploads.
    """

    def __init__(self, jitter: Jitter, settings: UploadSettings | None = None) -> None:
        self.counters = LinkCounters()
        self._settings = settings or UploadSettings()
        self._backoff = Backoff(self._settings.retry_s, self._settings.retry_limit_s, jitter)
        self._view = memoryview(b"")
        self._outline: Outline | None = None
        """None when there is nothing to upload."""
        self._seen = 0
        """The highest number of a grant."""
        self._had: deque[int] = deque(maxlen=REMEMBERED)
        """The numbers of the latest grants. They go on counting when the coordinator is restarted."""
        self._granted: dict[int, None] = {}
        """What is granted and was not sent since, in the order of granting."""
        self._offering = False
        """Whether the next packet is the offer."""
        self._offered = False
        """Whether an offer is out that no grant has answered."""
        self._due_at: float | None = None

    @property
    def due_at(self) -> float | None:
        """When to call `tick`; None for never."""
        return self._due_at

    @property
    def transfer(self) -> TransferId | None:
        """What is being uploaded, until the coordinator says that it has it."""
        return None if self._outline is None else self._outline.transfer

    def offer(self, envelope: bytes | memoryview, outline: Outline | None = None) -> TransferId:
        """Begin to upload an envelope, which must not change until it is done or replaced.

        The same bytes again, while they are under way, change nothing; later they are offered again.

        Parameters
        ----------
        envelope
            At least one byte.
        outline
            The envelope's, with this upload's chunk size, if it was made already (in a worker thread, where it is
            large).

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
        if outline.transfer != self.transfer:
            self._outline = outline
            self._view = view
            self._seen = 0
            self._had.clear()
            self._restart()
        return outline.transfer

    def cancel(self) -> None:
        """Stop, and let go of the envelope."""
        self._outline = None
        self._view = memoryview(b"")
        self._granted.clear()
        self._offering = self._offered = False
        self._due_at = None

    def resume(self) -> None:
        """Ask where the upload stands, after a reconnection: what was sent last may be lost."""
        if self._outline is not None:
            self._granted.clear()
            self._backoff.reset()
            self._offering = True

    def receive(self, message: LinkMessage) -> Uploaded | None:
        """Take a message of the coordinator's."""
        if not isinstance(message, Grant | Gone):
            self.counters.foreign += 1
        elif self._outline is None or message.transfer != self._outline.transfer:
            self.counters.unknown_transfer += 1
        elif isinstance(message, Gone):
            if not self._offered and not self._offering:  # else it is one of many, and answered already
                self._restart()
        elif message.done:
            self.cancel()
            return Uploaded(message.transfer)
        elif message.number in self._had or message.number <= self._seen - REMEMBERED:
            self.counters.duplicate += 1
        else:
            self._take(message, self._outline)
        return None

    def tick(self, now: float) -> None:
        """Repeat the offer, if that is due."""
        if self._due_at is not None and now >= self._due_at:
            self._due_at = None
            self._offering = True

    def next_packet(self, now: float) -> Packet | None:
        """Return what to send next, if there is anything."""
        if self._outline is None:
            return None
        if self._offering:
            self._offering = False
            self._offered = True
            self._due_at = now + self._backoff.wait_s()
            return Packet(Offer(outline=self._outline, seen=self._seen))
        if not self._granted:
            return None
        index = next(iter(self._granted))
        del self._granted[index]
        if not self._granted:
            self._due_at = now + self._backoff.wait_s()
        start = self._outline.offset(index)
        data = self._view[start : start + self._outline.length(index)]
        return Packet(Chunk(transfer=self._outline.transfer, index=index), data)

    def _take(self, grant: Grant, outline: Outline) -> None:
        granted = dict.fromkeys(indices(grant.ranges, outline.count))
        if not granted:
            self.counters.out_of_range += 1
            return
        self._seen = max(self._seen, grant.number)
        self._had.append(grant.number)
        self._granted.update(granted)
        self._offering = self._offered = False  # an offer would say that nothing is left to send
        self._backoff.reset()
        self._due_at = None

    def _restart(self) -> None:
        self._granted.clear()
        self._backoff.reset()
        self._offering = True
        self._offered = False
        self._due_at = None
