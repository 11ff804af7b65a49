"""Compares the benchmarks as they are now with the committed results, and names each ratio that has fallen by a fifth.

A machine that does other things, too, can take a fifth off a ratio for a while. So a benchmark in which something has
fallen is run twice more, and only what has fallen in the median of the three runs is named; the exit code is then 1.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from comparing import compare
from registry import benchmarks
from results import COMMITTED, Result, results
from running import run

AGAIN: Final = 2
"""Runs more of a benchmark in which a ratio has fallen."""
Runs = dict[str, list[Result]]


def measured(chosen: set[str], *, quick: bool) -> tuple[Runs, list[str]]:
    """Run benchmarks; return what they gave, by name, and what failed."""
    runs: Runs = {}
    failed = []
    for benchmark in (one for one in benchmarks() if one.name in chosen):
        outcome = run(benchmark, quick=quick)
        if outcome.result is not None:
            runs[outcome.name] = [outcome.result]
            print(f"{outcome.name}: {outcome.result.seconds:.0f} s, load {outcome.result.load_after}", flush=True)
        elif outcome.failure is not None:
            failed.append(f"FAILED: {outcome.name}: {outcome.failure}")
        else:
            print(f"{outcome.name}: skipped: {outcome.skipped}", flush=True)
    return runs, failed


def rerun(earlier: Mapping[str, Result], runs: Runs, *, quick: bool) -> list[str]:
    """Run those again in which something has fallen, add what they give to their runs, and return what failed."""
    failed: list[str] = []
    for _ in range(AGAIN):
        fallen = {fall.ratio[0] for fall in compare(earlier, {name: found[:1] for name, found in runs.items()}).falls}
        if fallen:
            print(f"again, since a ratio has fallen: {', '.join(sorted(fallen))}", flush=True)
        more, failures = measured(fallen, quick=quick)
        failed += failures
        for name, found in more.items():
            runs[name] += found
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description="Name what has become slower beside its baseline.")
    parser.add_argument("names", nargs="*", metavar="BENCHMARK", help="which; all that have earlier results by default")
    parser.add_argument("--earlier", type=Path, metavar="DIR", default=COMMITTED, help="compare with these results")
    parser.add_argument("--results", type=Path, metavar="DIR", help="compare these results, and run nothing")
    parser.add_argument("--quick", action="store_true", help="run with fewer and smaller cases")
    options = parser.parse_args()
    earlier = results(options.earlier)
    chosen = set(options.names or earlier)
    if unknown := sorted(chosen - set(earlier)):
        sys.exit(f"{options.earlier} has no results of {', '.join(unknown)}, only of {', '.join(earlier)}")
    failed: list[str] = []
    if options.results is not None:
        runs = {name: [one] for name, one in results(options.results).items() if name in chosen}
    else:
        runs, failed = measured(chosen, quick=options.quick)
        failed += rerun(earlier, runs, quick=options.quick)
    found = compare(earlier, runs)
    for name, (first, *_) in runs.items():
        if first.machine != earlier[name].machine:
            print(f"{name}: the earlier results are of another machine, {earlier[name].machine['processor']}")
    for identity in found.gone:
        print(f"gone: {', '.join(identity)}")
    for line in failed:
        print(line, file=sys.stderr)
    for fall in found.falls:
        print(f"fell: {fall}")
    print(f"{len(found.falls)} of {found.compared} ratios fell by a fifth or more")
    if not found.compared:
        print("nothing was compared", file=sys.stderr)
        return 1
    return 1 if found.falls or failed else 0


if __name__ == "__main__":
    sys.exit(main())
