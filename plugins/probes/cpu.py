"""What the processor can do."""

import os
import time
from collections.abc import Callable
from typing import Annotated, Final

import anyio.to_thread
import msgspec
import numpy as np
import psutil

from tierwise.core.hardware import Unmeasured
from tierwise.plugins.probes._cgroup import cpu_limit
from tierwise.plugins.probes._sgd import measure_sgd_step

_SMALLEST: Final = 64
_LARGEST: Final = 512
"""Sides of the matrices that are multiplied; three of the largest take 3 MB."""
_REPEATS: Final = 3
"""Products of one side before the next: the first wakes up threads and brings fresh memory into the cache."""


class CpuOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `CpuProbe`.

    Attributes
    ----------
    seconds
        How long the measurement of ``cpu_flops`` takes; a slow device may take half as long again. That of
        ``sgd_step_s`` takes a quarter of it.
    """

    seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 0.1


class CpuProbe:
    """Counts cores, reads the clock and measures arithmetic.

    Quantities: ``cpu_count``, the cores that this process may use, by its affinity and by the quota of its control
    group (a fraction is possible); ``cpu_frequency_hz``, the highest clock frequency; ``cpu_flops``, see
    `measure_flops`; ``sgd_step_s``, the time of one training step of a small model that is the same everywhere, see
    `tierwise.plugins.probes._sgd.measure_sgd_step`.
    """

    alone = True

    def __init__(self, options: CpuOptions) -> None:
        self._options = options

    async def measure(self) -> dict[str, float | Unmeasured]:
        """Measure in a worker thread."""
        return await anyio.to_thread.run_sync(self._measure, abandon_on_cancel=True)

    def _measure(self) -> dict[str, float | Unmeasured]:
        return {
            "cpu_count": usable_cores(),
            "cpu_frequency_hz": _frequency_hz() or Unmeasured("the system does not tell it"),
            "cpu_flops": measure_flops(self._options.seconds),
            "sgd_step_s": measure_sgd_step(self._options.seconds / 4),
        }


def usable_cores() -> float:
    """Return how many cores this process may use."""
    # Affinity is known on Linux only; elsewhere all cores are taken to be usable.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return min(float(cores), cpu_limit())


def _frequency_hz() -> float:
    """Return the highest clock frequency, or the present one, or 0 where neither is known."""
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError, AttributeError):  # as systems without the figure vary
        return 0.0
    return 1e6 * float(frequency.max or frequency.current or 0) if frequency else 0.0


def measure_flops(seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """Measure the float32 FLOP/s of a product of two square matrices in NumPy, the best of several.

    It is what the installed NumPy reaches with its own linear algebra and number of threads, that is with the very
    code that trains models here: an upper bound for them, since small models spend much of their time between the
    products. A product of side ``n`` counts as ``2 n**3`` operations. Sides double from 64 to 512 while products
    are short for the time that is left, so that a slow board is not held up and a fast machine gets matrices that
    are worth its while.

    Parameters
    ----------
    seconds
        When to stop; the last product may take half as long again.
    clock
        Tells the time in seconds.
    """
    side, repeats, best, end = _SMALLEST, 0, 0.0, clock() + seconds
    left, right, product = _matrices(side)
    while True:
        start = clock()
        np.matmul(left, right, out=product)
        now = clock()
        best = max(best, 2 * side**3 / max(now - start, 1e-9))
        if now >= end:
            return best
        repeats += 1
        # Twice the side takes eight times as long.
        if repeats >= _REPEATS and side < _LARGEST and 8 * (now - start) < seconds / 2:
            side, repeats = 2 * side, 0
            left, right, product = _matrices(side)


def _matrices(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.full((side, side), 0.5, np.float32),
        np.full((side, side), 0.25, np.float32),
        np.full((side, side), 0.0, np.float32),  # written, so that its memory is there
    )
