"""Waits that grow."""

from collections.abc import Callable
from typing import Final

Jitter = Callable[[], float]
"""Gives numbers from 0 up to 1, such as the method `random.Random.random` of a seeded generator."""

GROWTH: Final = 2.0


class Backoff:
    """Each wait is twice as long as the one before, up to a limit, less up to a half by jitter.

    Parameters
    ----------
    first_s, limit_s
        The first wait and the longest.
    jitter
        Spreads them, so that many devices do not speak at once.
    """

    def __init__(self, first_s: float, limit_s: float, jitter: Jitter) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._jitter = jitter
        self._wait_s = first_s

    def reset(self) -> None:
        """Begin again with the first wait."""
        self._wait_s = self._first_s

    def wait_s(self) -> float:
        """Return the next wait."""
        wait_s = self._wait_s * (0.5 + 0.5 * self._jitter())
        self._wait_s = min(self._wait_s * GROWTH, self._limit_s)
        return wait_s
