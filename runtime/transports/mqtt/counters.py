"""What an end of the transport dropped."""

import msgspec


class DropCounters(msgspec.Struct, kw_only=True):
    """Counts of one end, since it was made; frames that fail a check are counted by its verifier, pieces by its link.

    Attributes
    ----------
    misplaced
        Messages on topics, or of kinds, that are not for this end.
    unreadable
        Payloads that are no link message, or no presence.
    stale
        Retained messages older than one that came before.
    oversized
        Envelopes in one message that are too large for that.
    overflowing
        Envelopes of a sender of which too many wait already.
    unsealable
        Envelopes that do not open with our key.
    unspooled
        Pieces that could not be written to the disk; they come again.
    """

    misplaced: int = 0
    unreadable: int = 0
    stale: int = 0
    oversized: int = 0
    overflowing: int = 0
    unsealable: int = 0
    unspooled: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        counts: tuple[int, ...] = msgspec.structs.astuple(self)
        return sum(counts)
