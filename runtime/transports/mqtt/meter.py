"""Learns a device's link from what it carries anyway.

The round trip is from a small message to the broker's acknowledgement: there and back to the broker, and not to the
coordinator behind it. The least of the latest ones counts, since the others have waited behind something.

The rates are those that large transfers reached, whatever held them up: the line, the broker, a coordinator that has
others to serve, pieces that were lost and came again. So they are what the next transfer can count on, and no more
than the line can carry. The latest few count together, bytes by seconds. What is done within a few round trips tells
of the latency, and not of the rate.
"""

from collections import deque
from typing import Final

from tierwise.core.transfer.outline import TransferId

SMALL_BYTES: Final = 4096
"""Up to here, a message's size does not matter for its round trip."""
LARGE_BYTES: Final = 16 * 1024
"""From here on, a transfer may tell the rate."""
ROUND_TRIPS: Final = 4
"""It does if it took so many round trips."""
LEAST_S: Final = 0.005
"""And so long: an event loop that was busy for a moment finds several pieces at once."""
_REMEMBERED_ROUND_TRIPS: Final = 16
_REMEMBERED_TRANSFERS: Final = 8


class LinkMeter:
    """What one device's link has shown so far. Times are by the event loop's clock, in seconds."""

    def __init__(self) -> None:
        self._round_trips: deque[float] = deque(maxlen=_REMEMBERED_ROUND_TRIPS)
        self._up: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED_TRANSFERS)
        self._down: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED_TRANSFERS)
        self._upload: tuple[TransferId, float, int] | None = None
        """What is being sent: when its first piece went, and the bytes from that on."""
        self._downloads: dict[bool, tuple[TransferId, float, int]] = {}
        """What is coming for the group and for the device: when its first piece came, and the bytes after that."""

    @property
    def link(self) -> dict[str, float]:
        """What is known, as `tierwise.core.edges.AgentTransport.link` says."""
        known = {
            "round_trip_s": min(self._round_trips, default=None),
            "uplink_bytes_per_s": _rate(self._up),
            "downlink_bytes_per_s": _rate(self._down),
        }
        return {name: value for name, value in known.items() if value is not None}

    def acknowledged(self, size: int, seconds: float) -> None:
        """Note that the broker has acknowledged a message, so long after it was given to the network."""
        if size <= SMALL_BYTES:
            self._round_trips.append(seconds)
        else:
            self._note(self._up, size, seconds, seconds - self._round_trip_s)

    def sent_piece(self, transfer: TransferId, size: int, now: float) -> None:
        """Note that a piece of an upload goes out now."""
        under_way = self._upload
        if under_way is None or under_way[0] != transfer:
            under_way = (transfer, now, 0)
        self._upload = (transfer, under_way[1], under_way[2] + size)

    def uploaded(self, transfer: TransferId, now: float) -> None:
        """Note that the coordinator has said that it has all of an upload."""
        under_way, self._upload = self._upload, None
        if under_way is not None and under_way[0] == transfer:
            seconds = now - under_way[1]
            self._note(self._up, under_way[2], seconds, seconds - self._round_trip_s)

    def took_piece(self, transfer: TransferId, size: int, now: float, *, direct: bool) -> None:
        """Note that a piece came, of what is published for the group, or with ``direct`` for this device."""
        under_way = self._downloads.get(direct)
        if under_way is None or under_way[0] != transfer:
            self._downloads[direct] = (transfer, now, 0)  # when the first one began to come is not known
        else:
            self._downloads[direct] = (transfer, under_way[1], under_way[2] + size)

    def downloaded(self, transfer: TransferId, now: float, *, direct: bool) -> None:
        """Note that this was the last piece."""
        under_way = self._downloads.pop(direct, None)
        if under_way is not None and under_way[0] == transfer:
            seconds = now - under_way[1]
            self._note(self._down, under_way[2], seconds, seconds)

    def interrupted(self) -> None:
        """Forget what is under way: the connection, or the coordinator, was gone for a while."""
        self._upload = None
        self._downloads.clear()

    @property
    def _round_trip_s(self) -> float:
        return min(self._round_trips, default=0.0)

    def _note(self, transfers: deque[tuple[int, float]], size: int, seconds: float, carrying_s: float) -> None:
        if size >= LARGE_BYTES and seconds >= max(ROUND_TRIPS * self._round_trip_s, LEAST_S):
            transfers.append((size, carrying_s))


def _rate(transfers: deque[tuple[int, float]]) -> float | None:
    return sum(size for size, _ in transfers) / sum(seconds for _, seconds in transfers) if transfers else None
