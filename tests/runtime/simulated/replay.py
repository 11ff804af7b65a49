"""Replays a run with faults, and prints what went wrong in it and its event log::

python tests/runtime/simulated/replay.py SEED
python tests/runtime/simulated/replay.py --digest SEED    (prints only the hash of the log)
"""

import asyncio
import hashlib
import sys
from dataclasses import fields
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3]))  # the tests are no package that is installed

from tests.runtime.simulated import harness, invariants
from tierwise.core.events import encode_record

WIDTH = 400
"""Characters of a printed event; the rest is layouts, mostly."""


def digest(outcome: harness.Outcome) -> str:
    """Return the hash of a run's log."""
    return hashlib.sha256(b"".join(encode_record(record) for record in outcome.records)).hexdigest()


def main(seed: int) -> None:
    """Print a run, then check it."""
    setup = harness.drawn(seed)
    print(f"{setup.devices} devices, aggregator {setup.aggregator!r}")
    print(f"taken out: {setup.removals}")
    for field in fields(setup.plan):
        print(f"{field.name}: {getattr(setup.plan, field.name)}")
    store = harness.WitnessStore()
    try:
        outcome = harness.run(setup, store)
    finally:
        for record in asyncio.run(store.records()):
            print(f"{record.sequence:4} {record.at:9.3f}  {record.event}"[:WIDTH])
    print(f"{outcome.crashes} crashes of the coordinator, log {digest(outcome)}")
    invariants.check(outcome)
    print("everything holds")


if __name__ == "__main__":
    *options, seed = sys.argv[1:]
    if options == ["--digest"]:
        print(digest(harness.run(harness.drawn(int(seed)))))
    else:
        main(int(seed))
