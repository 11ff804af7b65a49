"""The programs as a user has them: real processes over a real broker, with data that is made in no time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tierwise.runtime.cli.program import run

PROGRAM = (sys.executable, "-c", "from tierwise.runtime.cli import main; main()")
PATIENCE_S = 100.0
STORE = '[store]\npath = "run.db"\n'

# Three kinds of points in a plane; and a learner that takes its time, so that there is a middle of a fit.
PACK = """
import time
import numpy as np
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.task import Task
from tierwise.plugins import Kind, PluginDescriptor, hookimpl
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider
import msgspec

@hookimpl
def tierwise_data_sources():
    yield PluginDescriptor(kind=Kind.DATA_SOURCE, name="clouds", target="clouds_pack:Clouds",
                           options="clouds_pack:Options", summary="Three clouds of points.")

@hookimpl
def tierwise_learners():
    yield PluginDescriptor(kind=Kind.LEARNER, name="leisurely", target="clouds_pack:Leisurely",
                           options="clouds_pack:LeisurelyOptions", summary="What mlp learns, and takes its time.")

@hookimpl
def tierwise_tier_providers():
    yield PluginDescriptor(kind=Kind.TIER_PROVIDER, name="leisurely", target="clouds_pack:Ladder",
                           options="clouds_pack:LadderOptions", summary="The tiers of mlp for leisurely.")

class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    samples: int = 30
    pause_s: float = 0.0

class Clouds:
    task = Task(name="clouds", features=4, classes=("a", "b", "c"))

    def __init__(self, options):
        self.options = options

    def load(self, part, parts, seed):
        time.sleep(self.options.pause_s)
        random = np.random.default_rng((seed, part))
        return LocalData(self.samples(random, self.options.samples), self.samples(random, 9))

    def samples(self, random, size):
        labels = random.integers(0, 3, size)
        return Dataset((random.normal(size=(size, 4)) + 2 * np.eye(3, 4)[labels]).astype(np.float32), labels)

class LeisurelyOptions(MlpOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    fit_s: float = 0.0

class Leisurely(MlpLearner):
    def fit(self, weights, data, *, seed, budget, stop):
        until = time.monotonic() + self._options.fit_s
        while time.monotonic() < until:
            stop.check()
            time.sleep(0.01)
        return super().fit(weights, data, seed=seed, budget=budget, stop=stop)

class LadderOptions(MlpLadderOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    fit_s: float = 0.0

class Ladder(MlpTierProvider):
    def offers(self, task):
        own = {"fit_s": self._options.fit_s}
        return [msgspec.structs.replace(tier, learner="leisurely", options={**tier.options, **own})
                for tier in super().offers(task)]

    def initial(self, task, tier, seed):
        plain = {name: value for name, value in tier.options.items() if name != "fit_s"}
        return super().initial(task, msgspec.structs.replace(tier, options=plain), seed)
"""

CONFIGURATION = """
[federation]
name = "{name}"
[data]
source = "clouds"
[enrolment]
min_devices = {devices}
[rounds]
deadline_s = {deadline_s}
grace_s = {grace_s}
max_samples = 30
[grouping]
groups = {groups}
[tiers]
hidden = [[4], [{width}]]
{tiers}
[stop]
{stop}
[mqtt]
broker = "{broker}"
{more}
"""


def install_pack(folder: Path) -> Path:
    """Write the pack as pip would install it."""
    metadata = folder / "clouds_pack-1.0.dist-info"
    metadata.mkdir()
    (folder / "clouds_pack.py").write_text(PACK)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: clouds-pack\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[tierwise]\nclouds = clouds_pack\n")
    return folder


def configuration(
    path: Path, broker: str, *, name: str = "clouds", devices: int = 6, rounds: int = 3, width: int = 16,
    deadline_s: float = 20, grace_s: float = 10, groups: int = 2, tiers: str = "", stop: str = "", more: str = "",
) -> Path:  # fmt: skip
    """Write a coordinator's file; ``stop`` are other lines for its stop rule than the number of rounds."""
    path.write_text(
        CONFIGURATION.format(
            name=name, devices=devices, width=width, deadline_s=deadline_s, grace_s=grace_s, groups=groups,
            tiers=tiers, stop=stop or f"rounds = {rounds}", broker=broker, more=more,
        )
    )  # fmt: skip
    return path


class Running:
    """A process, of the program if nothing else is said, whose output goes into files."""

    def __init__(
        self, folder: Path, name: str, *arguments: object, program: Sequence[str] = PROGRAM, life: int = 1
    ) -> None:
        self.name = name
        stem = name if life == 1 else f"{name}.{life}"
        self.out, self.err = folder / f"{stem}.out", folder / f"{stem}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*program, *map(str, arguments)],
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**os.environ, "COLUMNS": "160"},
            )

    def lines(self) -> list[dict]:
        """Return what it printed as JSON lines so far."""
        return [json.loads(line) for line in self.out.read_text().split("\n")[:-1]]

    def wait(self, timeout: float = PATIENCE_S) -> int:
        return self.process.wait(timeout)

    def told(self, sign: signal.Signals) -> int:
        """Send it a signal and return what it exits with."""
        self.process.send_signal(sign)
        return self.wait()

    def kill(self) -> bool:
        """Kill it, and tell whether it was alive; if it had ended, all was well with it."""
        self.process.kill()
        code = self.wait()
        assert code in (0, -signal.SIGKILL), f"it has ended with {code}:\n{self.last_words()}"
        return code != 0

    def last_words(self) -> str:
        """Return the end of what it has printed, for a failure."""
        return self.err.read_text()[-4000:] + self.out.read_text()[-4000:]

    def until(self, reached: Callable[["Running"], bool]) -> None:
        """Wait for something that it prints."""
        deadline = time.monotonic() + PATIENCE_S
        while not reached(self):
            assert self.process.poll() is None, f"it has ended:\n{self.last_words()}"
            assert time.monotonic() < deadline, f"it does not come so far:\n{self.last_words()}"
            time.sleep(0.02)


class Scene:
    """A folder, a broker, and processes that are all gone in the end."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.folder = folder
        self.broker = broker
        self._running: list[Running] = []
        self._enrolled = False

    def start(self, name: str, *arguments: object, program: Sequence[str] = PROGRAM) -> Running:
        """Start a program; what an earlier one of that name has said is kept."""
        lives = sum(running.name == name for running in self._running)
        running = Running(self.folder, name, *arguments, program=program, life=lives + 1)
        self._running.append(running)
        return running

    def enrol(self, name: str, count: int = 6) -> None:
        """Give devices keys; the registry is `registry`."""
        where = ("--registry", str(self.folder / "registry"), "--broker", self.broker, "--federation", name)
        for number in range(count):
            assert run(["enrol", f"d{number}", *where, "--out", str(self.folder / f"d{number}.bundle.json")]) == 0
        self._enrolled = True

    def agent(self, number: int, *more: object, name: str = "clouds") -> Running:
        """Start an agent, with its bundle if it has one: the first three are weak, the others strong."""
        where = ("--broker", self.broker, "--federation", name, "--id", f"d{number}")
        return self.start(
            f"d{number}", "agent", *(("--bundle", f"d{number}.bundle.json") if self._enrolled else where),
            "--data", f"clouds:part={number},parts=9", "--declare", f"cpu_flops={(1e9, 1e11)[number >= 3]}",
            "--declare", f"memory_bytes={(600, 1e9)[number >= 3]}", "--out", f"model-{number}", *more,
        )  # fmt: skip

    def agents(self, *more: object, name: str = "clouds", count: int = 6) -> list[Running]:
        return [self.agent(number, *more, name=name) for number in range(count)]

    def close(self) -> None:
        for running in self._running:
            if running.process.poll() is None:
                running.process.kill()
            running.process.wait(10)


@contextmanager
def scene(folder: Path, broker: str) -> Iterator[Scene]:
    made = Scene(folder, broker)
    try:
        yield made
    finally:
        made.close()


def tierwise(*arguments: object, cwd: Path | None = None, **environment: str) -> tuple[int, str, str]:
    """Run the program; return its exit code, standard output and standard error."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr
