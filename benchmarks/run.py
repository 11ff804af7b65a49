"""Runs the benchmarks, keeps what they give in `benchmarks/results`, and puts it into the page about performance.

All of them, one after the other, take under a quarter of an hour on two cores. One that lacks what it needs here is
skipped, one that fails does not keep back the others; both are named at the end, and a failure makes the exit code 1.
"""

import argparse
import sys
import time
from pathlib import Path

from page import write
from registry import Benchmark, benchmarks
from results import COMMITTED
from running import Outcome, run


def named(names: list[str]) -> list[Benchmark]:
    """Return those benchmarks, or all if none is named."""
    found = {one.name: one for one in benchmarks()}
    for name in names:
        if name not in found:
            sys.exit(f"there is no benchmark {name!r}, only {', '.join(found)}")
    return [found[name] for name in names] or list(found.values())


def told(outcome: Outcome) -> str:
    """Say in a line what came of a benchmark."""
    if outcome.result is None:
        return (
            f"skipped: {outcome.skipped}" if outcome.failure is None else f"FAILED: {outcome.failure}".splitlines()[0]
        )
    goals = [row.met for row in outcome.result.rows if row.met is not None]
    return f"{outcome.result.seconds:.0f} s, {len(outcome.result.rows)} figures, {sum(goals)} of {len(goals)} goals met"


def missed(outcome: Outcome) -> list[str]:
    """Name the goals that a benchmark does not reach."""
    rows = () if outcome.result is None else outcome.result.rows
    beside = {row: f", beside {row.baseline}" if row.baseline else "" for row in rows}
    return [f"{outcome.name}: {row.metric}{beside[row]}: {row.goal}" for row in rows if row.met is False]


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the benchmarks, and keep their results.")
    parser.add_argument("names", nargs="*", metavar="BENCHMARK", help="which; all of them if none is named")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases, to see that all works")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the results there, and leave the page as it is")
    options = parser.parse_args()
    if options.quick and options.out is None:
        parser.error("--quick measures too little for the page: say where its results go with --out DIR")
    chosen, began_at, outcomes = named(options.names), time.monotonic(), []
    for number, benchmark in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {benchmark.name} … ", end="", flush=True)
        outcome = run(benchmark, quick=options.quick)
        print(told(outcome), flush=True)
        if outcome.result is not None:
            outcome.result.save(options.out or COMMITTED)
        outcomes.append(outcome)
    print(f"{time.monotonic() - began_at:.0f} s in all; results are in {options.out or COMMITTED}")
    if options.out is None:
        try:
            write()
        except ValueError as error:  # the results are kept; the page can be mended, and `make docs` writes it then
            outcomes.append(Outcome("page", failure=str(error)))
    for line in (line for outcome in outcomes for line in missed(outcome)):
        print(f"goal missed: {line}")
    for outcome in outcomes:
        if outcome.skipped is not None:
            print(f"skipped: {outcome.name}: {outcome.skipped}")
        if outcome.failure is not None:
            print(f"FAILED: {outcome.name}: {outcome.failure}", file=sys.stderr)
    return 1 if any(outcome.failure is not None for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
