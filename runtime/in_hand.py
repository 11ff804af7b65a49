"""What has come and is not judged yet: no deadline that is later has passed."""

import math
from dataclasses import dataclass

from tierwise.core.edges import Arrived, ConnectionLost


@dataclass(slots=True, eq=False)
class Arrival:
    """Something that came, and when, in federation time (seconds)."""

    came: Arrived | ConnectionLost
    at: float


class InHand:
    """All of it."""

    def __init__(self) -> None:
        self._arrivals: set[Arrival] = set()

    def add(self, arrival: Arrival) -> None:
        """Take something in hand."""
        self._arrivals.add(arrival)

    def remove(self, arrival: Arrival) -> None:
        """Say that it is judged."""
        self._arrivals.remove(arrival)

    @property
    def oldest_at(self) -> float:
        """When the oldest came (federation time, seconds); infinite if there is nothing."""
        return min((arrival.at for arrival in self._arrivals), default=math.inf)
