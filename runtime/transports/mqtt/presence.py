"""Who is there, and which of two retained messages is the newer one."""

from enum import Enum, auto
from typing import Annotated, Final

import msgspec

from tierwise.runtime.security.ordering import Order
from tierwise.runtime.security.signing import FrameSigner
from tierwise.runtime.transports.mqtt import kinds
from tierwise.runtime.transports.mqtt.dialling import Retained

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


class Attendance:
    """Makes what an end says on a retained topic: that it is there, or not any more.

    Parameters
    ----------
    topic
        The end's own.
    signer
        The end's.
    recipient
        Who is told.
    """

    def __init__(self, topic: str, signer: FrameSigner, recipient: str) -> None:
        self._topic = topic
        self._signer = signer
        self._recipient = recipient
        self._birth = Retained(topic, b"")
        self._due = False

    def will(self) -> Retained:
        """Return what the broker shall say if the next connection breaks."""
        # The birth is signed first, so that the will counts as the newer one.
        self._birth = self._saying(Presence(online=True))
        return self._saying(Presence(online=False, reason="its connection broke"))

    def connected(self) -> None:
        """Note that there is a connection: `draw` has something to say."""
        self._due = True

    def draw(self) -> Retained | None:
        """Return that we are there, if that was not said in this connection."""
        return self.birth() if self._due else None

    def birth(self) -> Retained:
        """Return that we are there."""
        self._due = False
        return self._birth

    def farewell(self, reason: str) -> Retained:
        """Return that we are not there any more."""
        self._due = False  # it would come after its end
        return self._saying(Presence(online=False, reason=reason))

    def _saying(self, presence: Presence) -> Retained:
        return Retained(
            self._topic, self._signer.sign(presence.encode(), kind=kinds.PRESENCE, recipient=self._recipient)
        )


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
