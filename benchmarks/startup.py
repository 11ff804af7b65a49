"""What one waits for before anything happens: `tierwise --help`, the help of a command, and imports.

Each is a process of its own, from its start to its end. Beside it, a Python that does nothing, which is the limit, and
one that imports the libraries without which the program can do nothing of the kind: click for the help of the program;
click, NumPy, anyio and msgspec for a command, and for all that `tierwise.runtime` offers.

On a machine that does other things, too, the time by the clock is longer than what the processor has spent on it,
which is shown for the help of the program. Byte code and libraries are in the page cache. Every repetition runs them
all, one after the other, and ratios are medians over repetitions.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from report import Row, arguments, below, compared, report

GOAL_S = 0.15
"""For `tierwise --help`."""
PROGRAM = (sys.executable, "-c", "from tierwise.runtime.cli import main; main()")
NOTHING, CLICK = "python -c pass", "python importing click"
LIBRARIES = "python importing click, numpy, anyio, msgspec"
HELP, IMPORT, EVERYTHING = "tierwise --help", "import tierwise.runtime", "from tierwise.runtime import *"
COMMANDS = ("agent", "coordinator", "simulate")
RUNS: dict[str, tuple[str, ...]] = {
    NOTHING: (sys.executable, "-c", "pass"),
    CLICK: (sys.executable, "-c", "import click"),
    LIBRARIES: (sys.executable, "-c", "import click, numpy, anyio, msgspec"),
    HELP: (*PROGRAM, "--help"),
    IMPORT: (sys.executable, "-c", IMPORT),
    EVERYTHING: (sys.executable, "-c", EVERYTHING),
    **{f"tierwise {command} --help": (*PROGRAM, command, "--help") for command in COMMANDS},
}
# As that of an installed package, byte code is kept.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(command: tuple[str, ...]) -> tuple[float, float]:
    """Return how long a process takes by the clock, and how long it has a processor."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT, check=True)
    taken_s, after = time.perf_counter() - start, os.times()
    return taken_s, after[2] + after[3] - before[2] - before[3]


def rows(repetitions: int) -> Iterator[Row]:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in RUNS}
    for repetition in range(repetitions + 1):
        for name, command in RUNS.items():
            taken = seconds(command)
            if repetition:  # the first one reads the disk
                times[name].append(taken)

    def beside(name: str, baseline: str, clock: int = 0) -> Row:
        ours, theirs = ([one[clock] for one in times[which]] for which in (name, baseline))
        return compared(
            name + ", processor time" * clock, 1e3 * statistics.median(ours), "ms",
            baseline=baseline, baseline_value=1e3 * statistics.median(theirs),
            ratio=statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        )  # fmt: skip

    yield below(beside(HELP, NOTHING), 1e3 * GOAL_S)
    yield beside(HELP, NOTHING, clock=1)
    yield beside(HELP, CLICK)
    yield beside(IMPORT, NOTHING)
    yield beside(EVERYTHING, LIBRARIES)
    for command in COMMANDS:
        yield beside(f"tierwise {command} --help", LIBRARIES)


def main() -> None:
    options = arguments("Measure how long the program takes to start.").parse_args()
    report("From the start of a process to its end", rows(2 if options.quick else 4), options.json)


if __name__ == "__main__":
    main()
