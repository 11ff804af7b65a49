"""Who is there, and which of two retained messages is the newer one."""

from enum import Enum, auto
from typing import Annotated, Final

import msgspec

from tierwise.runtime.security.ordering import Order

REASON_LIMIT: Final = 200

_Text = Annotated[str, msgspec.Meta(max_length=REASON_LIMIT)]


class Presence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Says that its sender is there, or not any more.

    Attributes
    ----------
    online
        Which of the two.
    reason
        Why it is not there.
    """

    online: bool
    reason: _Text = ""

    def encode(self) -> bytes:
        """Return it as msgpack."""
        return msgspec.msgpack.encode(self)


_DECODER: Final = msgspec.msgpack.Decoder(Presence)


def read_presence(data: memoryview) -> Presence | None:
    """Return what a payload says; None if it is no presence."""
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


class Age(Enum):
    """How old a retained message is, compared with the newest that came before."""

    NEWER = auto()
    SAME = auto()
    OLDER = auto()


class Newest:
    """Remembers the newest retained message of each topic: they come again with every subscription."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}

    def judge(self, topic: str, order: Order) -> Age:
        """Compare a message's order, and remember it if it is the newest."""
        known = self._orders.get(topic)
        if known is not None and order <= known:
            return Age.SAME if order == known else Age.OLDER
        self._orders[topic] = order
        return Age.NEWER
