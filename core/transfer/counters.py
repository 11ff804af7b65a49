"""What was dropped, and why."""

import msgspec


class LinkCounters(msgspec.Struct, kw_only=True):
    """Counts of one machine, since it was made; each message is counted once.

    Attributes
    ----------
    accepted
        Chunks that were new and right, and inline envelopes.
    duplicate
        Chunks that were there already.
    truncated
        Chunks shorter than the outline says.
    oversized
        Chunks longer than that; offers and manifests of envelopes, chunks or outlines above the limits.
    out_of_range
        Chunks with an index that the outline does not have.
    wrong_hash
        Chunks whose bytes are not those of the outline.
    uncredited
        Chunks that were never granted.
    unknown_transfer
        Messages of a transfer that is not, or no longer, under way.
    stale
        Manifests that are older than one that came before.
    foreign
        Messages that this machine is not the receiver of. Whoever decodes adds what `ProtocolError` was raised for.
    """

    accepted: int = 0
    duplicate: int = 0
    truncated: int = 0
    oversized: int = 0
    out_of_range: int = 0
    wrong_hash: int = 0
    uncredited: int = 0
    unknown_transfer: int = 0
    stale: int = 0
    foreign: int = 0

    @property
    def dropped(self) -> int:
        """All but what was accepted."""
        counts: tuple[int, ...] = msgspec.structs.astuple(self)
        return sum(counts) - self.accepted
