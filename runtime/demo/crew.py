"""Processes that belong together: started here, watched here, and none of them left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import Process

from tierwise.core.errors import FederationError

PROGRAM: Final = (sys.executable, "-P", "-c", "from tierwise.runtime.cli import main; main()")
PARTING_S: Final = 4.0
"""How long a process may take to end when it is asked to."""


@dataclass(frozen=True, slots=True)
class Member:
    """A process of a crew, and the file with what it says on standard error."""

    name: str
    process: Process
    log: Path

    def last_words(self) -> str:
        """Return the last line that it said."""
        with suppress(OSError):
            lines = self.log.read_text("utf-8", errors="replace").split("\n")
            return next((line for line in reversed(lines) if line.strip()), "")
        return ""


class Crew:
    """Runs commands of tierwise as processes.

    Parameters
    ----------
    directory
        Where each process has its log.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._members: list[Member] = []

    @asynccontextmanager
    async def together(self) -> AsyncIterator["Crew"]:
        """End all members with the context, the last one first."""
        try:
            yield self
        finally:
            with anyio.CancelScope(shield=True):
                await self._dismiss()

    async def start(self, name: str, *arguments: str) -> Member:
        """Start ``tierwise`` with arguments; its standard output can be read."""
        log = self._directory / f"{name}.log"
        # Shielded: a process that starts while we are told to end would be nobody's.
        with log.open("wb") as errors, anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                [*PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,  # so that Ctrl-C reaches this program alone, which ends the others in order
            )
            member = Member(name, process, log)
            self._members.append(member)
        return member

    async def mind(self, members: Sequence[Member]) -> None:
        """Wait until members have ended.

        Raises
        ------
        FederationError
            As soon as one ends with an error.
        """
        async with anyio.create_task_group() as tasks:
            for member in members:
                tasks.start_soon(self._mind, member)

    async def _mind(self, member: Member) -> None:
        output = member.process.stdout
        if output is not None:
            async for _ in output:
                pass  # a full pipe would hold it up
        code = await member.process.wait()
        if code:
            raise FederationError(f"{member.name} has ended with {code}: {member.last_words()}")

    async def _dismiss(self) -> None:
        for member in reversed(self._members):
            with suppress(ProcessLookupError):
                member.process.terminate()
        with anyio.move_on_after(PARTING_S):
            for member in self._members:
                await member.process.wait()
        self.kill()
        for member in self._members:
            await member.process.wait()
            await member.process.aclose()

    def kill(self) -> None:
        """End at once whatever still runs; for when there is no time left, from any thread."""
        for member in self._members:
            if member.process.returncode is None:
                with suppress(ProcessLookupError):
                    os.kill(member.process.pid, signal.SIGKILL)
