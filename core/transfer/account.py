"""One sender's credit: which chunks of its upload are granted, which are lost, which come next."""

from dataclasses import dataclass
from itertools import islice

from tierwise.core.transfer.messages import Grant
from tierwise.core.transfer.ranges import to_ranges
from tierwise.core.transfer.reassembly import Reassembly
from tierwise.core.transfer.settings import DeskSettings


@dataclass(slots=True)
class CreditPool:
    """Chunks that may still be granted, to whomever."""

    free: int


@dataclass(frozen=True, slots=True)
class _Flight:
    order: int
    """Counts all chunks granted for this upload, again for those granted again."""
    grant: int


class Account:
    """The upload of one sender.

    Parameters
    ----------
    sender
        Whose it is.
    reassembly
        What has arrived of it.
    pool
        Where its credit comes from and returns to.
    settings
        The desk's.
    now
        When it was offered.
    """

    def __init__(
        self, sender: str, reassembly: Reassembly, pool: CreditPool, settings: DeskSettings, now: float
    ) -> None:
        self.sender = sender
        self.reassembly = reassembly
        self.queued = False
        """Whether it waits for its turn."""
        self.closed = False
        self._pool = pool
        self._settings = settings
        self._flights: dict[int, _Flight] = {}
        """What is in flight, by chunk, in the order of granting."""
        self._lost: set[int] = set()
        """Granted once, not in flight, not arrived: never more than a window and what a late chunk leaves."""
        self._next = 0
        """The first chunk that was never granted."""
        self._granted = 0
        self._grants = 0
        self._unanswered = 0
        """Grants in a row that nothing came of."""
        self._patience_s = settings.regrant_s
        self._heard_at = now
        """When the last grant was made, or the last chunk came."""
        self._answered = True
        """Whether a chunk has come since the latest grant."""
        self._silent = True
        """Whether no chunk has come since the last loss or first grant, so that the next one tells no pace."""
        self._alive_at = now

    @property
    def due_at(self) -> float:
        """When `lose_all` or giving up is due, if nothing comes before."""
        idle_at = self.idle_at
        return min(self._heard_at + self._patience_s, idle_at) if self._flights else idle_at

    @property
    def idle_at(self) -> float:
        """When it is given up, if nothing new comes before."""
        return self._alive_at + self._settings.idle_s

    @property
    def silent_at(self) -> float | None:
        """When what is in flight counts as lost, if nothing comes before; None when nothing is."""
        return self._heard_at + self._patience_s if self._flights else None

    @property
    def room(self) -> int:
        """How many chunks it could be granted now."""
        if self._unanswered >= self._settings.unanswered_limit:
            return 0
        window = self._settings.window_chunks - len(self._flights)
        return max(0, min(window, len(self._lost) + self.reassembly.outline.count - self._next))

    @property
    def worth_a_turn(self) -> bool:
        """Whether a grant would not be a trickle: half a window, or all that is left."""
        left = len(self._lost) + self.reassembly.outline.count - self._next
        return self.room > 0 and self.room >= min(self._settings.window_chunks // 2, left)

    def was_granted(self, index: int) -> bool:
        """Tell whether a chunk was ever granted."""
        return index < self._next

    def grant(self, chunks: int, now: float) -> Grant:
        """Take credit for so many chunks, lost ones first."""
        chosen = sorted(self._lost)[:chunks]
        self._lost.difference_update(chosen)
        fresh = range(self._next, min(self._next + chunks - len(chosen), self.reassembly.outline.count))
        self._next = max(self._next, fresh.stop)
        chosen += fresh
        self._grants += 1
        for index in chosen:
            self._granted += 1
            self._flights[index] = _Flight(self._granted, self._grants)
        self._pool.free -= len(chosen)
        self._heard_at = now
        self._answered = False
        return Grant(transfer=self.reassembly.outline.transfer, number=self._grants, ranges=to_ranges(sorted(chosen)))

    def done(self) -> Grant:
        """Return the last grant."""
        self._grants += 1
        return Grant(transfer=self.reassembly.outline.transfer, number=self._grants, done=True)

    def note_offer(self, seen: int, now: float) -> None:
        """Note that the sender has nothing left to send of the grants up to ``seen``.

        They may be grants of a desk before this one: the numbers go on from there.
        """
        self._alive_at = now
        self._unanswered = 0
        self._grants = max(self._grants, seen)
        if not self._answered and now >= self._heard_at + self._settings.regrant_s / 2:
            seen = self._grants  # the latest grant was lost: an offer that crossed it would have come sooner
        self._lose([index for index, flight in self._flights.items() if flight.grant <= seen])

    def note_word(self, now: float) -> None:
        """Note a chunk that came, were it a copy: on a slow link, what counted as lost too soon fills the line."""
        self._unanswered = 0
        if not self._silent:
            pace_s = now - self._heard_at
            self._patience_s = min(max(self._settings.regrant_s, 2 * pace_s), self._settings.regrant_limit_s)
        self._heard_at = now
        self._answered = True
        self._silent = False

    def note_chunk(self, index: int, now: float) -> None:
        """Note a chunk that was taken; those granted a whole window before it are lost."""
        self._alive_at = now
        self._lost.discard(index)
        flight = self._flights.pop(index, None)
        if flight is None:
            return
        self._pool.free += 1
        overtaken = flight.order - self._settings.window_chunks
        oldest = islice(self._flights.items(), self._settings.window_chunks)
        self._lose([other for other, sent in oldest if sent.order <= overtaken])

    def lose_all(self) -> None:
        """Take back all credit: the sender has been silent for too long."""
        self._lose(list(self._flights))
        self._unanswered += 1
        self._silent = True
        self._patience_s = min(2 * self._patience_s, self._settings.regrant_limit_s)

    def close(self) -> None:
        """Give all credit back, for good."""
        self._lose(list(self._flights))
        self.closed = True

    def _lose(self, indices: list[int]) -> None:
        for index in indices:
            del self._flights[index]
        self._lost.update(indices)
        self._pool.free += len(indices)
