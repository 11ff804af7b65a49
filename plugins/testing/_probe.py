"""The laws of probes."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

import re
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from tierwise.core.hardware import Probe, Unmeasured, fault_of
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
    """``measure`` answers with a dict of texts to numbers, or to `Unmeasured`."""
    found: object = anyio.run(probe.measure)
    if not isinstance(found, dict):
        return f"measure() gave {found!r}, not a dict"
    for name, value in found.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(name, str) or not (number or isinstance(value, Unmeasured)):
            return f"measure() gave {name!r}: {value!r}"
    return None


def values_suit_their_unit(probe: Probe) -> str | None:
    """Values are finite and not negative, a ratio at most 1, a bool 0 or 1; else they are `Unmeasured`."""
    for name, value in anyio.run(probe.measure).items():
        if not isinstance(value, Unmeasured) and (fault := fault_of(name, value)):
            return f"{name} is {value!r}: {fault}; give Unmeasured(reason) for what cannot be measured"
    return None


def what_is_not_measured_has_a_reason(probe: Probe) -> str | None:
    """The device's owner reads it in one line."""
    for name, value in anyio.run(probe.measure).items():
        if isinstance(value, Unmeasured) and (not value.reason.strip() or "\n" in value.reason):
            return f"the reason for {name} is {value.reason!r}, not one line of text"
    return None


def names_end_with_an_SI_unit(probe: Probe) -> str | None:  # noqa: N802  (the name is read by people)
    """``memory_bytes`` says what the number means; ``memory`` and ``memory_gb`` do not."""
    for name in anyio.run(probe.measure):
        stem, _, unit = name.rpartition("_")
        if not stem or _MULTIPLE.fullmatch(unit):
            return f"{name!r} does not end with the name of an SI unit without a prefix, as 'memory_bytes' does"
    return None


def who_is_cancelled_lets_go(probe: Probe) -> str | None:
    """An agent that is stopped, or has waited long enough, does not wait for a thread that hangs."""
    waits = []
    for _ in range(_TRIES):  # a busy machine can delay an end, but hardly every time
        waits.append(anyio.run(_wait_after_cancelling, probe.measure))
        if waits[-1] < _LONGEST_PAUSE_S:
            return None
    return f"measure() went on for {min(waits):.2f} s after it was cancelled; use abandon_on_cancel=True"


def the_event_loop_stays_responsive(probe: Probe) -> str | None:
    """Work that takes long goes to a worker thread."""
    pauses = []
    for _ in range(_TRIES):  # a busy machine can pause a loop, but hardly every time
        pauses.append(anyio.run(_longest_pause, probe.measure))
        if pauses[-1] < _LONGEST_PAUSE_S:
            return None
    return f"measure() held the event loop for {min(pauses):.2f} s; use anyio.to_thread.run_sync"


async def _wait_after_cancelling(measure: Callable[[], Awaitable[object]]) -> float:
    async with anyio.create_task_group() as group:
        group.start_soon(_await, measure)
        await anyio.sleep(0.02)  # it is in the middle of it
        cancelled_at = anyio.current_time()
        group.cancel_scope.cancel()
    return anyio.current_time() - cancelled_at


async def _await(measure: Callable[[], Awaitable[object]]) -> None:
    await measure()


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
    values_suit_their_unit,
    what_is_not_measured_has_a_reason,
    names_end_with_an_SI_unit,
    the_event_loop_stays_responsive,
    who_is_cancelled_lets_go,
)
