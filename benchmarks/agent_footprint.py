"""What an idle agent takes: its memory, and the time from its start to its first word to the coordinator.

An agent with the built-in NumPy learner and a few kilobytes of data is started as a process of its own against a
mosquitto on this machine, and left alone once it has been welcomed: this script answers in the coordinator's place, so
that nothing else is measured. Beside it a bare interpreter that imports NumPy and aiomqtt: less than that no agent in
Python with this transport can take.

- *RSS*: the process's resident memory; pages of libraries that it shares with others count in full.
- *PSS*: those pages count in part, by how many share them; it is what one more agent costs a machine.
- *started*: from the start of the interpreter until the coordinator has the agent's hello, and of that, the time in
  which its hardware is measured (0.2 s: of that 0.125 s the processor's speed, set by an option of the probe).
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import psutil
from broker import mosquitto
from packs import installed
from report import Row, arguments, below, compared, report

from tierwise.core import messages as m
from tierwise.core.edges import Arrived
from tierwise.core.envelope import open_from_device, seal
from tierwise.core.ids import DeviceId
from tierwise.runtime.security.keys import COORDINATOR
from tierwise.runtime.security.signing import UnsignedSigner, UnsignedVerifier
from tierwise.runtime.transports.mqtt.coordinator import MqttCoordinator
from tierwise.runtime.transports.mqtt.settings import MqttSettings

MEMORY_GOAL = 60e6
START_GOAL_S = 0.5
SETTLING_S = 1.0
FEDERATION = "footprint"

PACK = """
import numpy as np
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.task import Task
from tierwise.plugins import Kind, PluginDescriptor, hookimpl

@hookimpl
def tierwise_data_sources():
    yield PluginDescriptor(kind=Kind.DATA_SOURCE, name="footprint", target="footprint_pack:Source", summary="Few.")

class Source:
    task = Task(name="footprint", features=8, classes=("a", "b"))

    def load(self, part, parts, seed):
        samples = Dataset(np.ones((64, 8), np.float32), np.zeros(64, np.int64))
        return LocalData(samples, samples)
"""
BARE = "import numpy, aiomqtt, sys; print('ready', flush=True); sys.stdin.read()"
AGENT = "from tierwise.runtime.cli import main; main()"


def memory(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Return RSS and PSS; without PSS on this system, the first twice."""
    found = psutil.Process(process.pid)
    try:
        full = found.memory_full_info()
    except psutil.AccessDenied:
        full = found.memory_info()
    return float(full.rss), float(getattr(full, "pss", full.rss))


def bare(environment: dict[str, str]) -> tuple[float, float, float]:
    """Measure the limit: RSS, PSS, and the time until the imports are done."""
    began_at = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", BARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        started_s = time.perf_counter() - began_at
        time.sleep(SETTLING_S)
        measured = memory(process)
    return *measured, started_s


async def agent(number: int, broker: str, environment: dict[str, str]) -> tuple[float, float, float]:
    """Measure an agent: RSS and PSS when it idles, and the time until its hello."""
    signer, verifier = UnsignedSigner(COORDINATOR, FEDERATION), UnsignedVerifier(FEDERATION)
    transport = MqttCoordinator(MqttSettings(broker=broker, federation=FEDERATION), signer, verifier)
    device = DeviceId(f"agent-{number}")
    command = [sys.executable, "-c", AGENT, "agent", "--broker", broker, "--federation", FEDERATION, "--id", device]
    async with transport.connect():
        began_at = time.perf_counter()
        process = subprocess.Popen(  # noqa: ASYNC220  (it is all that is waited for)
            [*command, "--data", "footprint"], env=environment, stderr=subprocess.DEVNULL
        )
        try:
            async for arrived in transport.receive():
                if isinstance(arrived, Arrived) and isinstance(open_from_device(arrived.data)[0], m.Hello):
                    started_s = time.perf_counter() - began_at
                    break
            await transport.send(device, seal(m.Welcome(federation=FEDERATION, assignment=None)))
            await anyio.sleep(SETTLING_S)
            return *memory(process), started_s
        finally:
            process.terminate()
            process.wait()


def rows(repetitions: int) -> Iterator[Row]:
    agents, limits = [], []
    with tempfile.TemporaryDirectory() as place:
        environment = installed(Path(place), "footprint_pack", PACK)
        with mosquitto(Path(place)) as broker:
            for number in range(repetitions + 1):
                limit, measured = bare(environment), anyio.run(agent, number, broker.url, environment)
                if number:  # the first one reads the disk
                    limits.append(limit)
                    agents.append(measured)
    names = (
        ("idle, RSS", "MB", 1e6, MEMORY_GOAL),
        ("idle, PSS", "MB", 1e6, MEMORY_GOAL),
        ("started", "s", 1, START_GOAL_S),
    )
    for place, (name, unit, factor, goal) in enumerate(names):
        value = statistics.median(one[place] for one in agents)
        limit = statistics.median(one[place] for one in limits)
        row = compared(name, value / factor, unit, baseline="python, numpy, aiomqtt", baseline_value=limit / factor)
        yield below(row, goal / factor)


def main() -> None:
    options: argparse.Namespace = arguments("Measure an idle agent.").parse_args()
    report("An idle agent with the NumPy learner", rows(1 if options.quick else 5), options.json)


if __name__ == "__main__":
    main()
