"""Which of some moments is the oldest."""


class Moments:
    """Moments that come in their order and go in any."""

    def __init__(self) -> None:
        self._counts: dict[float, int] = {}  # in the order of their coming

    @property
    def oldest(self) -> float | None:
        """The oldest that has not gone; None if there is none."""
        return next(iter(self._counts), None)

    def add(self, moment: float) -> None:
        """Note a moment; none before it comes later."""
        self._counts[moment] = self._counts.get(moment, 0) + 1

    def remove(self, moment: float) -> None:
        """Forget a moment, once."""
        self._counts[moment] -= 1
        if not self._counts[moment]:
            del self._counts[moment]
