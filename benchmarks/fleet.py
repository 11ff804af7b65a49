"""Federations of hundreds of agents over MQTT, for benchmarks: the agents in this process, a coordinator of its own.

The agents are those of the package (`tierwise.runtime.Agent` over `MqttAgent`), each with a connection of its own, its
bundle and its data; they share one worker thread, in which they really train. The coordinator is `tierwise
coordinator`. Every round must have every device: one that is late or lost ends the benchmark with an error.
"""

import asyncio
import itertools
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import numpy as np
import psutil
from broker import Mosquitto
from packs import installed
from programs import Program, enrol, events, times

from tierwise.core.hardware import HardwareProfile
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.task import Task
from tierwise.plugins.manager import Plugins
from tierwise.runtime.agent import Agent
from tierwise.runtime.cli.agent_link import AgentOptions, agent_link
from tierwise.runtime.compute import ThreadCompute

MODEL_BYTES: Final = 100_000
FILES: Final = 4096
"""Open files that the processes may have: two for each agent, one for each at the broker."""
CONNECTING: Final = 20
"""Agents that connect at the same time."""
WARM_UP: Final = 1
"""Rounds that are not counted."""
PATIENCE_S: Final = 900
TASK: Final = Task(name="fleet", features=88, classes=tuple("abcdefghij"))

# The network that is nearest to 25,000 parameters: 88 x 252 + 252 + 252 x 10 + 10.
PACK: Final = """
from tierwise.core.task import Task
from tierwise.plugins import Kind, PluginDescriptor, hookimpl

@hookimpl
def tierwise_data_sources():
    yield PluginDescriptor(kind=Kind.DATA_SOURCE, name="fleet", target="fleet_pack:Source", summary="Only the task.")

class Source:
    task = Task(name="fleet", features=88, classes=tuple("abcdefghij"))

    def load(self, part, parts, seed):
        raise NotImplementedError
"""
CONFIGURATION: Final = """
[federation]
name = "fleet"
[data]
source = "fleet"
[enrolment]
min_devices = {devices}
[rounds]
deadline_s = 120
[grouping]
groups = 1
[tiers]
hidden = [[252]]
[stop]
rounds = {rounds}
[mqtt]
broker = "{broker}"
{store}[security]
registry = "registry"
"""
STORE: Final = '[store]\npath = "fleet.db"\n'


@dataclass(frozen=True, slots=True)
class Measured:
    """What a federation took: seconds, and of the processors' time what the coordinator and the agents had."""

    rounds: list[float]
    to_next: list[float]
    enrolled_s: float
    coordinator_cpu_s: float
    fleet_cpu_s: float
    coordinator_rss: float


class Fleet:
    """Agents in this process."""

    def __init__(self, bundles: Sequence[Path]) -> None:
        self._bundles = bundles
        self._plugins = Plugins.discover()
        self._compute = ThreadCompute(workers=1)
        self._room = anyio.Semaphore(CONNECTING)
        self._data = _data()
        self.targets = 0

    async def run(self) -> None:
        """Take part until the federation ends."""
        async with anyio.create_task_group() as tasks:
            for bundle in self._bundles:
                tasks.start_soon(self._take_part, bundle)

    async def _take_part(self, bundle: Path) -> None:
        link = agent_link(AgentOptions(bundle=bundle))
        agent = Agent(
            link.device,
            task=TASK,
            data=self._data,
            transport=link.transport,
            declared=HardwareProfile.declared(cpu_flops=1e10, memory_bytes=1e9),
            probes=(),
            plugins=self._plugins,
            compute=self._compute,
        )
        async with AsyncExitStack() as stack:
            async with self._room:
                await stack.enter_async_context(agent)
            target = await agent.target()
            self.targets += target is not None


def _data() -> LocalData:
    random = np.random.default_rng(0)

    def samples(size: int) -> Dataset:
        features = random.normal(size=(size, TASK.features)).astype(np.float32)
        return Dataset(features, random.integers(0, len(TASK.classes), size))

    return LocalData(samples(10), samples(10))


def federation(folder: Path, broker: Mosquitto, devices: int, rounds: int, *, durable: bool = True) -> Measured:
    """Run one from its beginning to its end; ``durable``: with its log on the disk, else in memory."""
    environment = installed(folder, "fleet_pack", PACK)
    store = STORE if durable else ""
    (folder / "fleet.toml").write_text(
        CONFIGURATION.format(devices=devices, rounds=rounds, broker=broker.url, store=store)
    )
    bundles = enrol(folder, "fleet", broker.url, [f"device-{number:04}" for number in range(devices)])
    fleet = Fleet(bundles)

    async def take_part() -> tuple[float, float]:
        """Return the most that the coordinator had of the processor and of memory."""
        watched, cpu_s, rss = psutil.Process(coordinator.pid), 0.0, 0.0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fleet.run)
            while coordinator.poll() is None:
                spent = watched.cpu_times()
                cpu_s, rss = max(cpu_s, spent.user + spent.system), max(rss, watched.memory_info().rss)
                await anyio.sleep(0.2)
        return cpu_s, rss

    with Program(folder, environment, "coordinator.log", "coordinator", "fleet.toml", "--out", "result") as coordinator:
        before = sum(os.times()[:2])
        cpu_s, rss = asyncio.run(asyncio.wait_for(take_part(), PATIENCE_S))
        fleet_cpu_s = sum(os.times()[:2]) - before
        coordinator.succeed(PATIENCE_S)
    records = events(folder / "result")
    _require_all(records, fleet, devices, rounds)
    opened, closed = times(records, "round-opened"), times(records, "round-closed")
    return Measured(
        [end - start for start, end in zip(opened, closed, strict=False)][WARM_UP:],
        [after - start for start, after in itertools.pairwise(opened)][WARM_UP:],
        times(records, "grouping-opened")[0],
        cpu_s,
        fleet_cpu_s,
        rss,
    )


def _require_all(records: list[dict], fleet: Fleet, devices: int, rounds: int) -> None:
    cohorts = [len(one["event"]["survivors"]) for one in records if one["event"]["event"] == "cohort-closed"]
    lost = len(times(records, "device-lost"))
    if cohorts[:rounds] != [devices] * rounds or lost or fleet.targets != devices:
        sys.exit(
            f"devices are missing: cohorts of {cohorts}, {lost} devices lost, {fleet.targets} of {devices} targets"
        )


def allow_files() -> None:
    """Let this process and those that it starts have enough open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
