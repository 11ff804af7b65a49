"""What is to happen on virtual time, and when.

A fleet of like devices does many things at once. So it is moments that are kept in order, not what happens in them:
comparing two numbers costs less than comparing what else tells two happenings apart, and a moment is looked for once.
"""

import heapq
from collections.abc import Callable
from typing import Any, TypeVarTuple

Ts = TypeVarTuple("Ts")
Happening = tuple[Callable[..., None], tuple[Any, ...]]
"""What is called with the time, and what with besides."""


class Schedule:
    """Happenings by their moments; of one moment, what was added first comes first."""

    def __init__(self) -> None:
        self._moments: list[float] = []
        """A heap of those that anything is to happen at."""
        self._at: dict[float, list[Happening]] = {}

    @property
    def next_at(self) -> float | None:
        """The next moment; None if there is none."""
        return self._moments[0] if self._moments else None

    def add(self, due_at: float, happening: Callable[[float, *Ts], None], *given: *Ts) -> None:
        """Have ``happening`` called at a moment, with its time and what is given."""
        found = self._at.get(due_at)
        if found is None:
            self._at[due_at] = [(happening, given)]
            heapq.heappush(self._moments, due_at)
        else:
            found.append((happening, given))

    def pop(self) -> list[Happening]:
        """Take out what happens at the next moment; what is added for it from now on is a moment of its own."""
        return self._at.pop(heapq.heappop(self._moments))
