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
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from broker import Mosquitto, mosquitto, round_trips
from packs import installed
from report import Row, arguments, compared, report

DEVICES: Final = 4
GOAL_S: Final = 0.05
MODEL_BYTES: Final = 40_000
WARM_UP: Final = 2
"""Rounds at the beginning that are not counted: imports, and the first write of each file."""
PATIENCE_S: Final = 600
PROGRAM: Final = (sys.executable, "-c", "from tierwise.runtime.cli import main; main()")

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


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run a federation."""

    name: str
    kept: bool
    """Whether with bundles and a store on the disk, else unsigned and in memory."""


VARIANTS: Final = (Variant("signed, sealed, log on disk", kept=True), Variant("unsigned, in memory", kept=False))


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds, one of each for every round that counts."""

    overheads: list[float]
    to_next: list[float]
    fits: list[float]


class Federation:
    """One coordinator and its agents, as processes in a folder."""

    def __init__(self, folder: Path, broker: Mosquitto, environment: dict[str, str], variant: Variant) -> None:
        self.folder = folder
        self._broker = broker
        self._environment = environment
        self._variant = variant

    def run(self, rounds: int) -> Measured:
        """Run it from its beginning to its end."""
        text = CONFIGURATION.format(rounds=rounds, broker=self._broker.url)
        (self.folder / "bench.toml").write_text(text + (KEPT if self._variant.kept else ""))
        names = [f"device-{number}" for number in range(DEVICES)]
        if self._variant.kept:
            for name in names:
                self._start("enrol", name, "--registry", "registry", "--federation", "bench", *self._broker_option)
        with ExitStack() as stack:
            coordinator = stack.enter_context(self._running("coordinator", "bench.toml", "--out", "result"))
            for number, name in enumerate(names):
                stack.enter_context(self._running(*self._agent(number, name), FIT_TIMES=f"{name}.times"))
            if coordinator.wait(PATIENCE_S) != 0:
                sys.exit(f"the coordinator failed:\n{(self.folder / 'coordinator.log').read_text()}")
        return self._read(names, rounds)

    @property
    def _broker_option(self) -> tuple[str, str]:
        return "--broker", self._broker.url

    def _agent(self, number: int, name: str) -> Sequence[str]:
        data = ("--data", f"points:part={number},parts={DEVICES}")
        if self._variant.kept:
            return "agent", *data, "--bundle", f"{name}.bundle.json"
        return "agent", *data, "--id", name, "--federation", "bench", *self._broker_option

    def _start(self, *given: str) -> None:
        subprocess.run([*PROGRAM, *given], cwd=self.folder, env=self._environment, check=True, capture_output=True)

    def _running(self, *given: str, **more: str) -> "_Process":
        return _Process(self.folder, self._environment | more, *given)

    def _read(self, names: Sequence[str], rounds: int) -> Measured:
        result = msgspec.json.decode((self.folder / "result" / "result.json").read_bytes())
        opened, closed, cohorts = (self._times(result, kind) for kind in ("round-opened", "round-closed", "cohort-closed"))
        fits = [[float(line) for line in (self.folder / f"{name}.times").read_text().split()] for name in names]
        if len(closed) != rounds or any(len(one) != rounds for one in fits) or len(cohorts) < rounds:
            sys.exit(f"a round lacks a device: {len(closed)} of {rounds} rounds, fits of each {[len(f) for f in fits]}")
        longest = [max(one) for one in zip(*fits, strict=True)]
        counted = slice(WARM_UP, None)
        return Measured(
            [end - start - fit for start, end, fit in zip(opened, closed, longest, strict=False)][counted],
            [after - start - fit for start, after, fit in zip(opened, opened[1:], longest, strict=False)][counted],
            longest[counted],
        )

    @staticmethod
    def _times(result: dict[str, Any], kind: str) -> list[float]:
        return [record["at"] for record in result["events"] if record["event"]["event"] == kind]


class _Process(subprocess.Popen[bytes]):
    """One of ours; ended with the context."""

    def __init__(self, folder: Path, environment: dict[str, str], *given: str) -> None:
        with (folder / f"{environment.get('FIT_TIMES', given[0])}.log").open("wb") as log:
            super().__init__([*PROGRAM, *given], cwd=folder, env=environment, stdout=log, stderr=log)

    def __exit__(self, *_: object) -> None:
        if self.poll() is None:
            self.terminate()
        self.wait()


def rows(rounds: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        environment = installed(folder, "round_pack", PACK)
        with mosquitto(folder) as broker:
            count = max(rounds // 2, 10)
            trips = list(asyncio.run(round_trips(broker, size=MODEL_BYTES, devices=DEVICES, count=count)))
            measured = []
            for variant in VARIANTS:
                own = folder / str(len(measured))
                own.mkdir()
                measured.append((variant, Federation(own, broker, environment, variant).run(rounds)))
                trips += asyncio.run(round_trips(broker, size=MODEL_BYTES, devices=DEVICES, count=count))
    limit_s = statistics.median(trips)
    baseline = "the broker alone: 40 kB to 4 and back, QoS 1"
    for variant, found in measured:
        for name, seconds, goal in (
            ("overhead, median", statistics.median(found.overheads), GOAL_S),
            ("overhead, 95th percentile", _percentile(found.overheads), None),
            ("from round to round, median", statistics.median(found.to_next), None),
        ):
            row = compared(
                f"{variant.name}: {name}", 1e3 * seconds, "ms", baseline=baseline, baseline_value=1e3 * limit_s
            )
            if goal is None:
                yield row
            else:
                yield Row(
                    row.metric, row.value, row.unit, row.baseline, row.baseline_value, row.ratio,
                    goal=f"< {1e3 * goal:g} ms", met=seconds < goal,
                )  # fmt: skip
        yield Row(f"{variant.name}: longest fit of a round, median", 1e3 * statistics.median(found.fits), "ms")
    yield Row("the broker alone, 95th percentile", 1e3 * _percentile(trips), "ms")
    yield Row("load of the machine at the end", os.getloadavg()[0], "processes")


def _percentile(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def main() -> None:
    options = arguments("Measure what a round over MQTT costs beyond its training.").parse_args()
    report("A round of four agents over MQTT, 10,000 parameters", rows(12 if options.quick else 200), options.json)


if __name__ == "__main__":
    main()
