"""What a round over MQTT costs beyond its training: four agents, each a process, a mosquitto, and a coordinator.

Everything runs on this machine, as a user starts it: `tierwise coordinator` with a log on the disk (or in memory) and
`tierwise agent` with the bundle that `tierwise enrol` made (or without, unsigned). The model has 10,000 parameters, so
40 kB go to the devices and 40 kB come back from each.

- *overhead*: the time of a round (from ``round-opened`` to ``round-closed``, as the log has it) less the longest fit of
  that round, as the learner itself has measured it. It holds all that is not training: announcing, transfer both ways,
  signatures, sealing, evaluation, the log's syncs, checks, aggregation.
- *from round to round*: from one ``round-opened`` to the next, less the longest fit: the stop rule and the selection,
  too.

The limit is what the broker alone takes in the same run: one message of the model's size to four clients and one back
from each, all with QoS 1, before and after the federation.
"""

import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker import Mosquitto, mosquitto, round_trips
from packs import installed
from programs import Program, enrol, events, times
from report import Row, arguments, below, compared, report

DEVICES: Final = 4
GOAL_S: Final = 0.05
MODEL_BYTES: Final = 40_000
WARM_UP: Final = 2
"""Rounds at the beginning that are not counted: imports, and the first write of each file."""
PATIENCE_S: Final = 600

PACK: Final = """
import os
import time

import msgspec
import numpy as np

from tierwise.core.learning import Dataset, LocalData
from tierwise.core.task import Task
from tierwise.plugins import Kind, PluginDescriptor, hookimpl
from tierwise.plugins.learners.mlp import MlpLearner
from tierwise.plugins.tiers.mlp import MlpTierProvider

LADDER = "tierwise.plugins.tiers.mlp:MlpLadderOptions"
NETWORK = "tierwise.plugins.learners.mlp:MlpOptions"

@hookimpl
def tierwise_data_sources():
    yield PluginDescriptor(kind=Kind.DATA_SOURCE, name="points", target="round_pack:Points", summary="Points.")

@hookimpl
def tierwise_tier_providers():
    yield PluginDescriptor(kind=Kind.TIER_PROVIDER, name="timed", target="round_pack:Ladder", options=LADDER,
                           summary="Networks whose fits are timed.")

@hookimpl
def tierwise_learners():
    yield PluginDescriptor(kind=Kind.LEARNER, name="timed", target="round_pack:Timed", options=NETWORK,
                           summary="The built-in network; writes down how long each fit took.")

class Points:
    task = Task(name="points", features=79, classes=tuple("abcdefghij"))

    def load(self, part, parts, seed):
        random = np.random.default_rng((seed, part))
        return LocalData(self.samples(random, 200), self.samples(random, 50))

    def samples(self, random, size):
        return Dataset(random.normal(size=(size, 79)).astype(np.float32), random.integers(0, 10, size))

class Ladder(MlpTierProvider):
    def offers(self, task):
        return [msgspec.structs.replace(tier, learner="timed") for tier in super().offers(task)]

class Timed(MlpLearner):
    def fit(self, *given, **named):
        start = time.perf_counter()
        fit = super().fit(*given, **named)
        with open(os.environ["FIT_TIMES"], "a") as file:
            file.write(f"{time.perf_counter() - start}\\n")
        return fit
"""
CONFIGURATION: Final = """
[federation]
name = "bench"
[data]
source = "points"
[enrolment]
min_devices = 4
[rounds]
deadline_s = 60
[grouping]
groups = 1
[tiers]
provider = "timed"
hidden = [[111]]
[stop]
rounds = {rounds}
[mqtt]
broker = "{broker}"
"""
KEPT: Final = '[store]\npath = "bench.db"\n[security]\nregistry = "registry"\n'


VARIANTS: Final = {"signed, sealed, log on disk": True, "unsigned, in memory": False}
"""Ways to run a federation: whether with bundles and a store on the disk."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds, one of each for every round that counts."""

    overheads: list[float]
    to_next: list[float]
    fits: list[float]


def run(folder: Path, broker: Mosquitto, environment: dict[str, str], rounds: int, *, kept: bool) -> Measured:
    """Run one federation in a folder from its beginning to its end."""
    text = CONFIGURATION.format(rounds=rounds, broker=broker.url)
    (folder / "bench.toml").write_text(text + (KEPT if kept else ""))
    names = [f"device-{number}" for number in range(DEVICES)]
    bundles = enrol(folder, "bench", broker.url, names) if kept else []
    with ExitStack() as stack:
        coordinator = Program(folder, environment, "coordinator.log", "coordinator", "bench.toml", "--out", "result")
        stack.enter_context(coordinator)
        for number, name in enumerate(names):
            unsigned = ("--id", name, "--federation", "bench", "--broker", broker.url)
            who = ("--bundle", bundles[number]) if kept else unsigned
            data = ("--data", f"points:part={number},parts={DEVICES}")
            own = environment | {"FIT_TIMES": f"{name}.times"}
            stack.enter_context(Program(folder, own, f"{name}.log", "agent", *data, *who))
        coordinator.succeed(PATIENCE_S)
    fits = [[float(line) for line in (folder / f"{name}.times").read_text().split()] for name in names]
    return measured(events(folder / "result"), fits, rounds)


def measured(records: list[dict[str, Any]], fits: list[list[float]], rounds: int) -> Measured:
    """Take the fits out of the rounds; every device must have had a part in each."""
    opened, closed = times(records, "round-opened"), times(records, "round-closed")
    if len(closed) != rounds or any(len(one) != rounds for one in fits):
        sys.exit(f"of {rounds} rounds, {len(closed)} were closed; fits of each device: {[len(one) for one in fits]}")
    longest = [max(one) for one in zip(*fits, strict=True)]
    counted = slice(WARM_UP, None)
    return Measured(
        [end - start - fit for start, end, fit in zip(opened, closed, longest, strict=False)][counted],
        [after - start - fit for start, after, fit in zip(opened, opened[1:], longest, strict=False)][counted],
        longest[counted],
    )


def rows(rounds: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        environment = installed(folder, "round_pack", PACK)
        with mosquitto(folder) as broker:
            count = max(rounds // 2, 10)
            trips = list(asyncio.run(round_trips(broker, size=MODEL_BYTES, devices=DEVICES, count=count)))
            found = {}
            for name, kept in VARIANTS.items():
                own = folder / f"kept-{kept}"
                own.mkdir()
                found[name] = run(own, broker, environment, rounds, kept=kept)
                trips += asyncio.run(round_trips(broker, size=MODEL_BYTES, devices=DEVICES, count=count))
    limit_s = statistics.median(trips)
    baseline = "the broker alone: 40 kB to 4 and back, QoS 1"
    for variant, one in found.items():
        for name, seconds, goal in (
            ("overhead, median", statistics.median(one.overheads), GOAL_S),
            ("overhead, 95th percentile", _percentile(one.overheads), None),
            ("from round to round, median", statistics.median(one.to_next), None),
        ):
            row = compared(f"{variant}: {name}", 1e3 * seconds, "ms", baseline=baseline, baseline_value=1e3 * limit_s)
            yield row if goal is None else below(row, 1e3 * goal)
        yield Row(f"{variant}: longest fit of a round, median", 1e3 * statistics.median(one.fits), "ms")
    yield Row("the broker alone, 95th percentile", 1e3 * _percentile(trips), "ms")
    yield Row("load of the machine at the end", os.getloadavg()[0], "processes")


def _percentile(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def main() -> None:
    parser = arguments("Measure what a round over MQTT costs beyond its training.")
    parser.add_argument("--rounds", type=int, metavar="N", default=200, help="of each of the two federations")
    options = parser.parse_args()
    rounds = 12 if options.quick else options.rounds
    report("A round of four agents over MQTT, 10,000 parameters", rows(rounds), options.json)


if __name__ == "__main__":
    main()
