"""What makes an old message known as old.

Every frame carries an *order*: its sender's boot counter and a sequence number. The boot counter is on the sender's
disk and grows with each start, so that an order is never used twice, although sequence numbers are only in memory. A
sequence belongs to a stream (sender, recipient, kind), and has no gaps there unless something was lost.

The receiver keeps, for each stream, the highest sequence number and which of the 64 up to it have been seen, as IPsec
does (RFC 4303, section 3.4.3; RFC 2401, appendix C): MQTT delivers in order within one connection, but repeats what
was not acknowledged when a connection breaks. What was seen, or is older than the window, is not accepted. A new boot
ends all of the sender's streams of earlier ones.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from tierwise.runtime.security import files

WINDOW: Final = 64
"""Sequence numbers; how far behind the highest one a frame may arrive."""
ORDER_LIMIT: Final = 2**63 - 1

Ordinal = Annotated[int, msgspec.Meta(ge=1, le=ORDER_LIMIT)]


@dataclass(frozen=True, slots=True, order=True)
class Order:
    """When a frame was made, as its sender counts: compared by boot first."""

    boot: int
    sequence: int


class _BootFile(msgspec.Struct, frozen=True, kw_only=True):
    format: Literal["tierwise.boot.1"]
    boot: Ordinal


def next_boot(path: Path, clock: Callable[[], float] = time.time) -> int:
    """Count a start, on disk, and return its number; called once by each process that signs.

    The number is the time in seconds where that is more than one above the last: a device whose disk was wiped then
    still gets a number above its former ones, if its clock is right. Without the file and with a wrong clock, its
    messages count as stale until it is enrolled anew.

    Parameters
    ----------
    path
        The counter's file, created at the first start. It belongs to one key; two devices never share it.
    clock
        Gives seconds since 1970.

    Raises
    ------
    ConfigurationError
        If the file is damaged or cannot be written.
    """
    with files.locked(path.with_name(f".{path.name}.lock")):
        last = 0
        if path.exists():
            remedy = "delete it if this machine's clock is right, else enrol the device anew"
            data = files.read(path, remedy=remedy)
            last = files.decode(path, data, _BootFile, what="boot counter of tierwise", remedy=remedy).boot
        boot = min(max(last + 1, int(clock())), ORDER_LIMIT)
        files.replace(path, files.encode(_BootFile(format="tierwise.boot.1", boot=boot)))
    return boot


class Judgement(Enum):
    """What an order is."""

    FRESH = auto()
    REPLAYED = auto()
    """Seen before."""
    STALE = auto()
    """Of an earlier boot, or older than the window: nobody knows whether it was seen."""


@dataclass(slots=True)
class _Window:
    """Bit ``i`` of ``seen`` stands for the sequence number ``highest - i``."""

    highest: int = 0
    seen: int = 0

    def judge(self, sequence: int) -> Judgement:
        if sequence > self.highest:
            ahead = min(sequence - self.highest, WINDOW)  # a claimed leap must not cost a number of that many bits
            self.seen = (self.seen << ahead | 1) & (2**WINDOW - 1)
            self.highest = sequence
            return Judgement.FRESH
        behind = self.highest - sequence
        if behind >= WINDOW:
            return Judgement.STALE
        if self.seen >> behind & 1:
            return Judgement.REPLAYED
        self.seen |= 1 << behind
        return Judgement.FRESH


@dataclass(slots=True)
class _Sender:
    boot: int
    streams: dict[tuple[str, str], _Window] = field(default_factory=dict)


class _SavedSender(msgspec.Struct, frozen=True, kw_only=True):
    key: bytes
    boot: Ordinal
    highest: tuple[tuple[str, str, Ordinal], ...]


class _OrdersFile(msgspec.Struct, frozen=True, kw_only=True):
    format: Literal["tierwise.orders.1"]
    senders: tuple[_SavedSender, ...]


class ReplayGuard:
    """Remembers the orders that were accepted.

    Ask it only about authentic frames: whoever could make it take note of a forged one could silence the real sender.
    It remembers by key, so a device that is enrolled anew starts anew. Its memory is bounded by the number of senders
    times the recipients and kinds that the caller admits.

    A receiver that restarts without `load` has forgotten everything: what was recorded earlier can then be replayed to
    it, once, as far as no newer boot of its sender has been heard. Save it at the end, and now and then.
    """

    def __init__(self) -> None:
        self._senders: dict[bytes, _Sender] = {}

    def judge(self, key: bytes, recipient: str, kind: str, order: Order) -> Judgement:
        """Judge an order, and take note of it if it is fresh.

        Parameters
        ----------
        key
            The sender's public key.
        recipient, kind, order
            As the frame says.
        """
        sender = self._senders.get(key)
        if sender is None or order.boot > sender.boot:
            sender = self._senders[key] = _Sender(order.boot)
        elif order.boot < sender.boot:
            return Judgement.STALE
        stream = sender.streams.get((recipient, kind))
        if stream is None:
            stream = sender.streams[recipient, kind] = _Window()
        return stream.judge(order.sequence)

    def encode(self) -> bytes:
        """Return what `load` reads: the highest orders."""
        senders = tuple(
            _SavedSender(
                key=key,
                boot=sender.boot,
                highest=tuple((*stream, window.highest) for stream, window in sorted(sender.streams.items())),
            )
            for key, sender in sorted(self._senders.items())
        )
        return files.encode(_OrdersFile(format="tierwise.orders.1", senders=senders))

    def save(self, path: Path) -> None:
        """Write down the highest orders, atomically.

        Raises
        ------
        ConfigurationError
            If the file cannot be written.
        """
        files.replace(path, self.encode())

    @classmethod
    def load(cls, path: Path) -> "ReplayGuard":
        """Read what `save` wrote; a file that is not there is an empty memory.

        All orders up to the highest count as seen, so a frame that was overtaken before the restart is not accepted
        after it.

        Raises
        ------
        ConfigurationError
            If the file is damaged.
        """
        guard = cls()
        if not path.exists():
            return guard
        remedy = "delete it, which lets messages recorded before be replayed once"
        data = files.read(path, remedy=remedy)
        for saved in files.decode(path, data, _OrdersFile, what="memory of orders", remedy=remedy).senders:
            guard._senders[saved.key] = _Sender(
                saved.boot,
                {(recipient, kind): _Window(highest, 2**WINDOW - 1) for recipient, kind, highest in saved.highest},
            )
        return guard
