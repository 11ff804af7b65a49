"""The coordinator's end of uploads: who may send what, and what has arrived."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tierwise.core.transfer.account import Account, CreditPool
from tierwise.core.transfer.codec import Packet
from tierwise.core.transfer.counters import LinkCounters
from tierwise.core.transfer.facts import Abandoned, Received, Refused, Repeated
from tierwise.core.transfer.messages import Chunk, Gone, Grant, LinkMessage, Offer
from tierwise.core.transfer.outline import Outline, TransferId
from tierwise.core.transfer.reassembly import Reassembly, above_limits
from tierwise.core.transfer.settings import DeskSettings
from tierwise.core.transfer.sink import Sink


@dataclass(frozen=True, slots=True)
class Addressed:
    """A packet, and whom it is for."""

    receiver: str
    packet: Packet


class UploadDesk:
    """Takes the uploads of many senders, one of each at a time.

    What it remembers of a sender is an outline, a bit for each chunk, and up to a window of grants; after the upload
    its id. Data goes to the sink at once.

    Parameters
    ----------
    open_sink
        Called with sender and outline when the first chunk of an upload has arrived.
    settings
        Limits and times.

    Attributes
    ----------
    counters
        What was accepted and dropped.
    """

    def __init__(self, open_sink: Callable[[str, Outline], Sink], settings: DeskSettings | None = None) -> None:
        self.counters = LinkCounters()
        self._open_sink = open_sink
        self._settings = settings or DeskSettings()
        self._pool = CreditPool(self._settings.pool_chunks)
        self._turn = max(1, min(self._settings.window_chunks // 2, self._settings.pool_chunks))
        """Chunks that are granted at once, unless fewer are left."""
        self._accounts: dict[str, Account] = {}
        self._done: dict[str, Grant] = {}
        """The last grant of each sender's latest complete upload."""
        self._waiting: deque[Account] = deque()
        """Who could be granted chunks, in turn."""
        self._replies: dict[tuple[str, TransferId], Grant | Gone] = {}
        """What else is to be said, once each."""
        self._due_at = math.inf

    @property
    def due_at(self) -> float | None:
        """When to call `tick`, or somewhat before there is anything to do; None for never."""
        return None if self._due_at == math.inf else self._due_at

    @property
    def in_flight(self) -> int:
        """Chunks that are granted, have not arrived, and do not count as lost."""
        return self._settings.pool_chunks - self._pool.free

    @property
    def uploads(self) -> int:
        """Uploads under way."""
        return len(self._accounts)

    def receive(
        self, sender: str, message: LinkMessage, tail: memoryview, now: float
    ) -> Received | Repeated | Refused | None:
        """Take a message of a sender's; ``tail`` is not kept."""
        match message:
            case Offer():
                return self._consider(sender, message, now)
            case Chunk():
                return self._take(sender, message, tail, now)
            case _:
                self.counters.foreign += 1
                return None

    def tick(self, now: float) -> tuple[Abandoned, ...]:
        """Take back the credit of silent senders, give up idle ones."""
        abandoned = []
        for account in list(self._accounts.values()):
            if now >= account.idle_at:
                self._close(account)
                reassembly = account.reassembly
                outline = reassembly.outline
                abandoned.append(Abandoned(account.sender, outline.transfer, reassembly.arrived, outline.count))
            elif account.silent_at is not None and now >= account.silent_at:
                account.lose_all()
                self._line_up(account)
        self._due_at = min((account.due_at for account in self._accounts.values()), default=math.inf)
        return tuple(abandoned)

    def next_packet(self, now: float) -> Addressed | None:
        """Return what to send next, if there is anything; a grant takes its credit here."""
        if self._replies:
            (sender, transfer) = next(iter(self._replies))
            return Addressed(sender, Packet(self._replies.pop((sender, transfer))))
        while self._waiting:
            account = self._waiting[0]
            room = 0 if account.closed else account.room
            if room and self._pool.free < min(room, self._turn):
                return None  # wait for a whole turn: the credit that is out comes back
            self._waiting.popleft()
            account.queued = False
            if room:
                grant = account.grant(min(room, self._pool.free), now)
                self._due_at = min(self._due_at, account.due_at)
                self._line_up(account)
                return Addressed(account.sender, Packet(grant))
        return None

    def forget(self, sender: str, transfer: TransferId | None = None) -> None:
        """Forget an upload, under way or complete, or all of a sender: if it is offered again, it is taken anew.

        For a sender that is removed, and for a `Repeated` upload whose bytes are not at hand any more; called before
        the next packet is drawn, it makes the sender begin again at once.
        """
        account = self._accounts.get(sender)
        if account is not None and transfer in (None, account.reassembly.outline.transfer):
            self._close(account)
        done = self._done.get(sender)
        if done is not None and transfer in (None, done.transfer):
            del self._done[sender]
            if (sender, done.transfer) in self._replies:
                self._reply(sender, Gone(transfer=done.transfer))

    # -- offers

    def _consider(self, sender: str, offer: Offer, now: float) -> Repeated | Refused | None:
        outline = offer.outline
        limits = self._settings
        reason = above_limits(outline, limits.envelope_limit_bytes, limits.chunk_limit_bytes, limits.chunk_count_limit)
        if reason:
            self.counters.oversized += 1
            return Refused(sender, outline.transfer, reason)
        done = self._done.get(sender)
        if done is not None and done.transfer == outline.transfer:
            self._reply(sender, done)
            return Repeated(sender, outline.transfer)
        account = self._accounts.get(sender)
        if account is None or account.reassembly.outline.transfer != outline.transfer:
            if account is not None:
                self._close(account)
            account = self._open(sender, outline, now)
        account.note_offer(offer.seen, now)
        self._due_at = min(self._due_at, account.due_at)
        self._line_up(account)
        return None

    def _open(self, sender: str, outline: Outline, now: float) -> Account:
        reassembly = Reassembly(outline, lambda: self._open_sink(sender, outline), self.counters)
        account = Account(sender, reassembly, self._pool, self._settings, now)
        self._accounts[sender] = account
        return account

    # -- chunks

    def _take(self, sender: str, chunk: Chunk, tail: memoryview, now: float) -> Received | None:
        account = self._accounts.get(sender)
        if account is None or account.reassembly.outline.transfer != chunk.transfer:
            self._drop_unknown(sender, chunk.transfer)
            return None
        reassembly = account.reassembly
        if chunk.index < reassembly.outline.count and not account.was_granted(chunk.index):
            self.counters.uncredited += 1
            return None
        account.note_word(now)
        if not reassembly.take(chunk.index, tail):
            return None
        account.note_chunk(chunk.index, now)
        if not reassembly.complete:
            self._due_at = min(self._due_at, account.due_at)  # one that was slow and is not any more: sooner
            self._line_up(account)
            return None
        account.close()
        del self._accounts[sender]
        done = self._done[sender] = account.done()
        self._reply(sender, done)
        outline = reassembly.outline
        return Received(sender, outline.transfer, outline.size, reassembly.sink, now)

    def _drop_unknown(self, sender: str, transfer: TransferId) -> None:
        done = self._done.get(sender)
        if done is not None and done.transfer == transfer:
            self.counters.duplicate += 1
            return
        self.counters.unknown_transfer += 1
        self._reply(sender, Gone(transfer=transfer))

    # -- the pieces

    def _reply(self, sender: str, message: Grant | Gone) -> None:
        self._replies[sender, message.transfer] = message

    def _line_up(self, account: Account) -> None:
        if not account.queued and account.worth_a_turn:
            account.queued = True
            self._waiting.append(account)

    def _close(self, account: Account) -> None:
        account.close()
        account.reassembly.discard()
        del self._accounts[account.sender]
