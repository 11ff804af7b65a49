"""Runs a benchmark as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry import Benchmark
from report import SKIPPED, Row
from results import Result, commit, machine, today, versions

SHOWN: Final = 2000
"""Characters of what a failed script wrote."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one benchmark: its result, or why there is none."""

    name: str
    result: Result | None = None
    skipped: str | None = None
    failure: str | None = None


def run(benchmark: Benchmark, *, quick: bool = False) -> Outcome:
    """Run one; what it takes longer than its limit it is not given."""
    with tempfile.TemporaryDirectory() as place:
        rows = Path(place) / "rows.json"
        given = ("--quick",) if quick else benchmark.arguments
        command = [sys.executable, str(benchmark.script), *given, "--json", str(rows)]
        measured = commit()  # before it runs: somebody may commit meanwhile
        before, began_at = os.getloadavg()[0], time.monotonic()
        try:
            done = _done(command, benchmark.limit_s)
        except subprocess.TimeoutExpired:
            return Outcome(benchmark.name, failure=f"not done after {benchmark.limit_s:g} s")
        seconds = time.monotonic() - began_at
        if done.returncode == SKIPPED:
            return Outcome(benchmark.name, skipped=done.stderr.strip())
        if done.returncode or not rows.exists():
            told = (done.stderr.strip() or done.stdout.strip())[-SHOWN:]
            return Outcome(benchmark.name, failure=f"exit code {done.returncode}\n{told}")
        found = json.loads(rows.read_text("utf-8"))
    result = Result(
        benchmark=benchmark.name,
        title=found["title"],
        date=today(),
        commit=measured,
        machine=machine(),
        versions=versions(),
        seconds=round(seconds, 1),
        load_before=round(before, 1),
        load_after=round(os.getloadavg()[0], 1),
        rows=tuple(Row(**row) for row in found["rows"]),
    )
    return Outcome(benchmark.name, result)


def _done(command: list[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run a command; if it is not done in time, it ends with all that it has started: a broker, say, and agents."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=limit_s)
        except BaseException:  # an interrupt, too, does not reach another session by itself
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
