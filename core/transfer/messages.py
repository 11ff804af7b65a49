"""What the two ends of a link say to each other.

A link message is a header (one of these classes) and, for those that say so, a *tail*: raw bytes that follow it.
`tierwise.core.transfer.codec` puts both into bytes. Who sent a message is the transport's knowledge.
"""

from typing import Annotated, Final

import msgspec

from tierwise.core.transfer.outline import SIZE_LIMIT, Outline, TransferId
from tierwise.core.transfer.ranges import INDEX_LIMIT, Ranges, check_ranges

TAG_LIMIT: Final = 256

_Transfer = Annotated[TransferId, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=INDEX_LIMIT)]


class LinkMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="link"):
    """A header."""


class Whole(LinkMessage, frozen=True, kw_only=True, tag="whole"):
    """An envelope in one message, either way; its tail is the envelope, of ``size`` bytes.

    There is no credit for it and no answer to it: it is for what is small and is repeated anyway.
    """

    size: Annotated[int, msgspec.Meta(ge=0, le=SIZE_LIMIT)]


class Offer(LinkMessage, frozen=True, kw_only=True, tag="offer"):
    """Device: I have this envelope for you, and nothing left to send of what you granted.

    ``seen`` is the highest number of a grant for this transfer that I have had; 0 for none. It replaces any other
    envelope that I offered before. Repeated until the `Grant` that is ``done``.
    """

    outline: Outline
    seen: _Count = 0


class Grant(LinkMessage, frozen=True, kw_only=True, tag="grant"):
    """Coordinator: send me these chunks now, once; ``done`` when I have them all.

    ``number`` counts the grants of a transfer, from the offer's ``seen`` on: one that comes twice is a copy that the
    network made.
    """

    transfer: _Transfer
    number: _Count
    ranges: Ranges = ()
    done: bool = False

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


class Chunk(LinkMessage, frozen=True, kw_only=True, tag="chunk"):
    """A chunk, either way; its tail is the data."""

    transfer: _Transfer
    index: _Count


class Manifest(LinkMessage, frozen=True, kw_only=True, tag="manifest"):
    """Coordinator, to a group, retained: this is the envelope that I publish.

    An envelope of one chunk is inline: it is the tail, and no `Chunk` follows. ``tag`` says what it is for, such as
    a cohort, so that one that is out of date can be told before anything is fetched. ``order`` never falls from one
    manifest to a newer one, over restarts too; a device ignores what is older than what it has seen.
    """

    outline: Outline
    order: _Count = 0
    tag: Annotated[str, msgspec.Meta(max_length=TAG_LIMIT)] = ""


class Want(LinkMessage, frozen=True, kw_only=True, tag="want"):
    """Device: I lack these chunks of what you publish; without any, I lack the manifest."""

    transfer: _Transfer
    ranges: Ranges = ()

    def __post_init__(self) -> None:
        check_ranges(self.ranges)


class Gone(LinkMessage, frozen=True, kw_only=True, tag="gone"):
    """Coordinator: I do not know that transfer (any more): offer it again, or stop asking for it."""

    transfer: _Transfer
