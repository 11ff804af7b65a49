"""The laws of probes."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

import math
import re
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from tierwise.core.hardware import Probe
from tierwise.plugins.testing._laws import hold

_MULTIPLE: Final = re.compile(r"[kmgt](i?b|bps|hz|flops|w|wh)|[mu]s|minutes|hours|wh|percent")
_LONGEST_PAUSE_S: Final = 0.25
_TRIES: Final = 3


def check_probe(probe: Probe) -> None:
    """Check that a probe keeps its contract on this machine.

    It runs an event loop of its own, so call it from code that is not async.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    hold(probe, LAWS)


def quantities_are_named_numbers(probe: Probe) -> str | None:
    """``measure`` answers with a dict of texts to numbers."""
    found: object = anyio.run(probe.measure)
    if not isinstance(found, dict):
        return f"measure() gave {found!r}, not a dict"
    for name, value in found.items():
        if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int | float):
            return f"measure() gave {name!r}: {value!r}"
    return None


def quantities_are_finite_and_not_negative(probe: Probe) -> str | None:
    """What cannot be measured is left out, rather than given as NaN or -1."""
    for name, value in anyio.run(probe.measure).items():
        if not math.isfinite(value) or value < 0:
            return f"{name} is {value!r}; leave out what cannot be measured"
    return None


def names_end_with_an_SI_unit(probe: Probe) -> str | None:  # noqa: N802  (the name is read by people)
    """``memory_bytes`` says what the number means; ``memory`` and ``memory_gb`` do not."""
    for name in anyio.run(probe.measure):
        stem, _, unit = name.rpartition("_")
        if not stem or _MULTIPLE.fullmatch(unit):
            return f"{name!r} does not end with the name of an SI unit without a prefix, as 'memory_bytes' does"
    return None


def the_event_loop_stays_responsive(probe: Probe) -> str | None:
    """Work that takes long goes to a worker thread."""
    pauses = []
    for _ in range(_TRIES):  # a busy machine can pause a loop, but hardly every time
        pauses.append(anyio.run(_longest_pause, probe.measure))
        if pauses[-1] < _LONGEST_PAUSE_S:
            return None
    return f"measure() held the event loop for {min(pauses):.2f} s; use anyio.to_thread.run_sync"


async def _longest_pause(measure: Callable[[], Awaitable[object]]) -> float:
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = anyio.current_time()
            await anyio.sleep(0.01)
            longest = max(longest, anyio.current_time() - before)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        await anyio.sleep(0.02)  # the ticks have begun
        await measure()
        await anyio.sleep(0.02)  # the tick that a pause delayed has come
        group.cancel_scope.cancel()
    return longest


LAWS: Final = (
    quantities_are_named_numbers,
    quantities_are_finite_and_not_negative,
    names_end_with_an_SI_unit,
    the_event_loop_stays_responsive,
)
