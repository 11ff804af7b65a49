"""Asks a machine's probes, and waits for each so long only.

A probe runs on a thread of its own, with an event loop of its own. So one that hangs, or blocks, or does not let go of
what it waits for, keeps neither an agent from going on nor a program from ending.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio

from tierwise.core.hardware import HardwareProfile, Probe, Quantity, Unmeasured
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.manager import Plugins

BUDGET_S: Final = 5.0
"""What all probes together may take."""

_Answer = Mapping[str, float | Unmeasured]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the probes gave.

    Attributes
    ----------
    quantities
        By name, in SI units.
    unmeasured
        Quantities that cannot be measured here, and why.
    failed
        Probes that gave nothing at all, and why.
    """

    quantities: dict[str, float]
    unmeasured: dict[str, str]
    failed: dict[str, str]

    @property
    def profile(self) -> HardwareProfile:
        """The quantities as measured ones."""
        return HardwareProfile(quantities={name: Quantity(value=value) for name, value in self.quantities.items()})


class Probing:
    """The probes of the machine that this runs on.

    Those that want to be alone are asked one after the other, and then all others side by side. What is left of the
    budget is shared evenly among those turns. Who has not answered by then is left to itself, and not asked again
    before it has come to an end.

    Parameters
    ----------
    plugins
        Where probes are looked up.
    names
        Which ones; None for all that are installed. Of a quantity that two of them give, the latter's counts.
    budget_s
        What all of them together may take, in seconds.

    Raises
    ------
    TierwiseError
        If there is no probe of a name, or it cannot be made.
    """

    def __init__(self, plugins: Plugins, names: Sequence[str] | None = None, budget_s: float = BUDGET_S) -> None:
        if names is None:
            names = [found.name for found in plugins.descriptors(Kind.PROBE)]
        self._probes = {name: plugins.probe(name, {}) for name in names}
        self._budget_s = budget_s
        self._answers: dict[str, _Answer | str] = {}
        """The latest of each probe, or why there is none."""
        self._hung: dict[str, threading.Thread] = {}

    async def measure(self) -> Reading:
        """Ask all probes."""
        await self._ask(list(self._probes))
        return self._reading()

    async def measure_again(self) -> Reading:
        """Ask those whose quantities change; of the others, the reading has what they said before."""
        await self._ask([name for name, probe in self._probes.items() if getattr(probe, "volatile", False)])
        return self._reading()

    async def _ask(self, names: Sequence[str]) -> None:
        asked = [name for name in names if name not in self._hung or not self._hung[name].is_alive()]
        alone = [[name] for name in asked if getattr(self._probes[name], "alone", False)]
        together = [name for name in asked if not getattr(self._probes[name], "alone", False)]
        turns = [*alone, *([together] if together else [])]
        until = anyio.current_time() + self._budget_s
        for number, turn in enumerate(turns):
            limit_s = max(until - anyio.current_time(), 0) / (len(turns) - number)
            async with anyio.create_task_group() as tasks:
                for name in turn:
                    tasks.start_soon(self._ask_one, name, limit_s)

    async def _ask_one(self, name: str, limit_s: float) -> None:
        thread, answered = _start(name, self._probes[name])
        with anyio.move_on_after(limit_s) as scope:
            answer = await answered
            # The profile goes on without what cannot be measured here.
            self._answers[name] = _named(answer) if isinstance(answer, BaseException) else answer
        if scope.cancelled_caught:
            self._hung[name] = thread
            self._answers[name] = f"it has not answered within {limit_s:.1f} s"

    def _reading(self) -> Reading:
        reading = Reading({}, {}, {})
        for name in self._probes:
            answer = self._answers.get(name, {})
            if isinstance(answer, str):
                reading.failed[name] = answer
                continue
            for quantity, value in answer.items():
                _note(reading, quantity, value)
        for quantity in reading.quantities:
            reading.unmeasured.pop(quantity, None)  # another probe knows it
        return reading


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _note(reading: Reading, quantity: str, value: float | Unmeasured) -> None:
    if isinstance(value, Unmeasured):
        reading.unmeasured[quantity] = value.reason
        return
    try:
        HardwareProfile(quantities={quantity: Quantity(value=float(value))})
    except (TypeError, ValueError) as error:  # a plugin's mistake
        reading.unmeasured[quantity] = str(error)
    else:
        reading.quantities[quantity] = float(value)


def _start(name: str, probe: Probe) -> "tuple[threading.Thread, asyncio.Future[_Answer | BaseException]]":
    """Let a probe measure on a thread that nobody waits for, not even at the program's end."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[_Answer | BaseException] = loop.create_future()

    def settle(answer: _Answer | BaseException) -> None:
        if not answered.done():
            answered.set_result(answer)

    def work() -> None:
        answer: _Answer | BaseException
        try:
            answer = dict(anyio.run(probe.measure))
        except BaseException as error:  # told where the answer is waited for
            answer = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, answer)

    thread = threading.Thread(target=work, name=f"probe {name}", daemon=True)  # and so are those that it starts
    thread.start()
    return thread, answered
