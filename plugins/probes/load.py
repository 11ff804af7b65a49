"""How busy the processor is with other things."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

import anyio
import msgspec
import psutil

from tierwise.core.hardware import Unmeasured

_UNTOLD: Final = (OSError, NotImplementedError, RuntimeError, AttributeError)
"""As systems without the figures vary."""


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `LoadProbe`.

    Attributes
    ----------
    seconds
        How long the sample is. The first one begins when the probe is made, while others measure.
    """

    seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 0.2


@dataclass(frozen=True, slots=True)
class Spent:
    """What the processors have done until a moment, in seconds of one processor.

    Attributes
    ----------
    total, idle
        Of the cores that this process may use.
    own
        Spent on this process.
    at
        The moment, by a monotonic clock.
    """

    total: float
    idle: float
    own: float
    at: float = 0.0


class LoadProbe:
    """Looks for a moment at what the processor does.

    Quantity: ``idle_ratio``, the share of the time of the cores that this process may use which was idle, or spent on
    this process itself: an agent that trains, or measures, does not count as busy with other things.
    """

    volatile = True

    def __init__(self, options: LoadOptions) -> None:
        self._seconds = options.seconds
        self._made: Spent | None = None
        with suppress(*_UNTOLD):  # the reason is given when it is asked
            self._made = spent()

    async def measure(self) -> dict[str, float | Unmeasured]:
        """Look twice."""
        try:
            before, self._made = self._made or spent(), None
            await anyio.sleep(max(before.at + self._seconds - time.monotonic(), 0))
            return {"idle_ratio": idle_ratio(before, spent())}
        except _UNTOLD as error:
            return {"idle_ratio": Unmeasured(f"the system does not tell what its processors do: {error}")}


def spent() -> Spent:
    """Read the processors' times."""
    cores = psutil.cpu_times(percpu=True)
    # Affinity is known on Linux only. A core that is off is not in the list, so it may be shorter than the numbers.
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(cores))
    mine = [cores[number] for number in usable if number < len(cores)] or cores
    # A guest's time is part of the user's, too.
    total = sum(sum(core) - getattr(core, "guest", 0) - getattr(core, "guest_nice", 0) for core in mine)
    idle = sum(core.idle + getattr(core, "iowait", 0) for core in mine)
    return Spent(total=total, idle=idle, own=time.process_time(), at=time.monotonic())


def idle_ratio(before: Spent, after: Spent) -> float | Unmeasured:
    """Return the share, to two places; more than the sample would not tell."""
    total = after.total - before.total
    if total <= 0:
        return Unmeasured("the system does not count what its processors do")
    free = after.idle - before.idle + after.own - before.own
    return round(min(max(free / total, 0.0), 1.0), 2)
