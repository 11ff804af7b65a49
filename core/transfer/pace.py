"""So many bytes per second on average, with bursts."""


class Pace:
    """Says when the next bytes may go.

    Parameters
    ----------
    bytes_per_s
        On average over any longer time.
    burst_bytes
        How much may go at once after a rest, and a last piece beyond it.
    """

    def __init__(self, bytes_per_s: float, burst_bytes: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._burst_s = burst_bytes / bytes_per_s
        self._paid_until: float | None = None
        """When all that went would have gone at the average rate."""

    @property
    def free_at(self) -> float | None:
        """From when on something may go; None for any time."""
        return None if self._paid_until is None else self._paid_until - self._burst_s

    def spend(self, size: int, now: float) -> None:
        """Note that so many bytes go now."""
        paid_until = now if self._paid_until is None else max(self._paid_until, now)
        self._paid_until = paid_until + size / self._bytes_per_s
