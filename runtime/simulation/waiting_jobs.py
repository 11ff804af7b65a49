"""Jobs that were begun and are not handed to a process yet, and how long each kind of them takes."""

import heapq
import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

from tierwise.core.errors import FederationError
from tierwise.core.events import Purpose
from tierwise.core.ids import DeviceId, TierName
from tierwise.core.learning import FitStopped
from tierwise.core.work import Job, JobDone
from tierwise.runtime.simulation.workers import JobFailed

MOST: Final = 64
"""Jobs of a batch at the most."""
Kind = tuple[TierName, Purpose]
"""What decides how long a job takes."""
Outcome = JobDone | JobFailed | FederationError | FitStopped


@dataclass(slots=True, eq=False)
class Begun:
    """A job, from its beginning until it was taken or dropped.

    Attributes
    ----------
    device, job
        Whose, and what.
    dropped
        Whether nobody wants it any more.
    outcome
        What came of it, what `Workers` raise included; None as long as that is not known.
    ticket
        Which one it has while a process has it; None before and after.
    """

    device: DeviceId
    job: Job
    dropped: bool = False
    outcome: Outcome | None = None
    ticket: int | None = None

    @property
    def kind(self) -> Kind:
        """What decides how long it takes."""
        return self.job.tier.name, self.job.purpose

    @property
    def size_bytes(self) -> int:
        """Of the update that comes of it, at the most."""
        return len(self.job.model) if self.job.purpose is Purpose.FIT else 0


class WaitingJobs:
    """A queue from which what is due first comes first."""

    def __init__(self) -> None:
        self._order = itertools.count()
        self._heap: list[tuple[float, int, Begun]] = []
        self._counts: Counter[Kind] = Counter()
        self._takes_s: dict[Kind, float] = {}

    def __len__(self) -> int:
        return self._counts.total()

    @property
    def seconds(self) -> float:
        """How long a process takes for all of it; infinite if that is not known of all."""
        return sum((count * self._known(kind) for kind, count in self._counts.items() if count), 0.0)

    def learn(self, kind: Kind, seconds: float) -> None:
        """Note how long a job took."""
        self._takes_s[kind] = seconds

    def push(self, begun: Begun, due_at: float) -> None:
        """Add a job."""
        heapq.heappush(self._heap, (due_at, next(self._order), begun))
        self._counts[begun.kind] += 1

    def discard(self, begun: Begun) -> None:
        """Forget a job, which is marked as dropped."""
        self._counts[begun.kind] -= 1

    def pop(self, seconds: float, size_bytes: int) -> list[Begun]:
        """Take out what is due first: so much that it takes so long, or a little longer, with updates of such size."""
        found: list[Begun] = []
        while self._heap and seconds > 0 and len(found) < MOST:
            begun = self._heap[0][2]
            if not begun.dropped:
                if begun.size_bytes > size_bytes:
                    break
                found.append(begun)
                self._counts[begun.kind] -= 1
                seconds -= self._known(begun.kind)
                size_bytes -= begun.size_bytes
            heapq.heappop(self._heap)
        return found

    def _known(self, kind: Kind) -> float:
        return self._takes_s.get(kind, math.inf)
