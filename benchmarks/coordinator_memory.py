"""A coordinator's memory while many devices send a large model: 10, 50 and 200 of them, 40 MB each.

`tierwise coordinator` runs as a process of its own, with its store on the disk. The devices are simulated: nobody
trains, an update is one block of noise with the device's number in it, but each device has a connection and keys of its
own and sends through `MqttAgent`, as agents do. They are in two processes, and a few of them at a time have an update
ready, so that the memory of this machine is not theirs; all of them are announced to the coordinator, which grants
credit to as many as it likes. Only one device of each process listens to its group, for the coordinator's sake the
broker need not carry 40 MB to each.

Measured of the coordinator, from the system, over what it has when it waits for devices:

- *anonymous memory*: RssAnon, what nobody else can give back: the heap, and what is being received.
- *RSS*, *PSS*: pages of mapped files, too, which the system takes back when it needs them.

The goal is that none of it grows with the number of devices: from the fewest to the most by less than one model.
"""

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import msgspec
from broker import Mosquitto, mosquitto
from packs import installed
from programs import Program, enrol
from report import Row, arguments, below, compared, report
from sending import TASK, Senders

PATIENCE_S: Final = 3600
COPIES: Final = 2
"""Of each update on the disk at the most, and more of those few that are on their way."""
SAMPLED_S: Final = 0.05
SETTLING_S: Final = 2.0
KINDS: Final = {"RssAnon": "anonymous memory", "VmRSS": "RSS", "Pss": "PSS"}

PACK: Final = f"""
from tierwise.core.task import Task
from tierwise.plugins import Kind, PluginDescriptor, hookimpl

@hookimpl
def tierwise_data_sources():
    yield PluginDescriptor(kind=Kind.DATA_SOURCE, name="noise", target="memory_pack:Source", summary="Only the task.")

class Source:
    task = Task(name="noise", features={TASK.features}, classes={TASK.classes}, metrics={TASK.metrics})

    def load(self, part, parts, seed):
        raise NotImplementedError
"""
CONFIGURATION: Final = """
[federation]
name = "memory"
[data]
source = "noise"
[enrolment]
min_devices = {devices}
[rounds]
deadline_s = 3600
grace_s = 3600
[grouping]
groups = 1
[tiers]
hidden = [[{hidden}]]
[stop]
rounds = 1
[mqtt]
broker = "{broker}"
[store]
path = "memory.db"
"""
SIGNED: Final = '[security]\nregistry = "registry"\n'

Figures = dict[str, float]
"""Bytes, by the names of `KINDS`."""


class Watch:
    """Looks at a process's memory again and again, and keeps the most of each kind."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._most: Figures = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def most(self) -> Figures:
        """The most so far."""
        return dict(self._most)

    def now(self) -> Figures:
        """Return what it is at the moment."""
        lines = [*_lines(self._pid, "status"), *_lines(self._pid, "smaps_rollup")]
        found = {name.rstrip(":"): 1024.0 * int(value) for name, value, *_ in lines if name.rstrip(":") in KINDS}
        return {kind: found[kind] for kind in KINDS}

    def _run(self) -> None:
        while not self._over.wait(SAMPLED_S):
            try:
                now = self.now()
            except (OSError, KeyError):  # it has ended
                return
            self._most = {kind: max(now[kind], self._most.get(kind, 0)) for kind in KINDS}


def _lines(pid: int, name: str) -> Iterator[list[str]]:
    for line in Path(f"/proc/{pid}/{name}").read_text().splitlines():
        parts = line.split()
        if len(parts) >= 2 and parts[1].isdigit():
            yield parts


def measure(folder: Path, broker: Mosquitto, devices: int, hidden: int, *, signed: bool) -> tuple[Figures, float]:
    """Run one round; return what the coordinator took beyond its idling, and the round's seconds."""
    environment = installed(folder, "memory_pack", PACK)
    names = [f"device-{number:03}" for number in range(devices)]
    text = CONFIGURATION.format(devices=devices, hidden=hidden, broker=broker.url)
    (folder / "memory.toml").write_text(text + (SIGNED if signed else ""))
    bundles = enrol(folder, "memory", broker.url, names) if signed else [None] * devices
    with ExitStack() as stack:
        coordinator = Program(folder, environment, "log.jsonl", "coordinator", "memory.toml", "--log-json")
        stack.enter_context(coordinator)
        watch = stack.enter_context(Watch(coordinator.pid))
        _reach(coordinator, "federation-opened")
        time.sleep(SETTLING_S)
        idle = watch.now()
        senders = stack.enter_context(Senders(broker.url, "memory", dict(zip(names, bundles, strict=True))))
        _reach(coordinator, "round-opened", senders)
        began_at = time.monotonic()
        _reach(coordinator, "round-closed", senders)
        taken_s = time.monotonic() - began_at
        most = watch.most
        _require_all(coordinator, devices)
    return {kind: most[kind] - idle[kind] for kind in KINDS}, taken_s


def _happened(coordinator: Program) -> list[dict]:
    lines = coordinator.log.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]


def _reach(coordinator: Program, event: str, senders: Senders | None = None) -> None:
    end = time.monotonic() + PATIENCE_S
    while not any(one.get("event") == event for one in _happened(coordinator)):
        if coordinator.poll() is not None or time.monotonic() > end or (senders is not None and senders.failed):
            sys.exit(f"it does not come to {event}:\n{coordinator.log.read_text()[-3000:]}")
        time.sleep(0.1)


def _require_all(coordinator: Program, devices: int) -> None:
    (cohort,) = (one for one in _happened(coordinator) if one.get("event") == "cohort-closed")
    if len(cohort["survivors"]) != devices:
        sys.exit(f"only {len(cohort['survivors'])} of {devices} updates came in time")


def rows(options: argparse.Namespace) -> Iterator[Row]:
    hidden, fleets = (989, (5, 10, 20)) if options.quick else (9891, options.devices)
    classes = len(TASK.classes)
    model = 4 * (hidden * (TASK.features + 1 + classes) + classes)
    room, needed = shutil.disk_usage(options.dir).free, COPIES * fleets[-1] * model
    if room < needed:
        sys.exit(f"{options.dir} has {room / 1e9:.0f} GB left, {needed / 1e9:.0f} GB may be needed: name another --dir")
    found: dict[int, tuple[Figures, float]] = {}
    for devices in fleets:
        with tempfile.TemporaryDirectory(dir=options.dir) as place, mosquitto(Path(place)) as broker:
            found[devices] = measure(Path(place), broker, devices, hidden, signed=not options.unsigned)
    for kind, name in KINDS.items():
        least = found[fleets[0]][0][kind]
        for devices, (most, _) in found.items():
            row = compared(
                f"{devices} devices: {name} over idling, peak", most[kind] / 1e6, "MB",
                baseline="one model", baseline_value=model / 1e6,
            )  # fmt: skip
            if devices == fleets[-1] and not options.quick:  # small models drown in what is constant
                row = below(row, (least + model) / 1e6)
            yield row
    for devices, (_, taken_s) in found.items():
        yield Row(
            f"{devices} devices: updates received, checked, kept and reduced", devices * model / 1e6 / taken_s, "MB/s"
        )
    yield Row("load of the machine at the end", os.getloadavg()[0], "processes")


def main() -> None:
    parser = arguments("Measure a coordinator's memory while many devices send a large model.")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", default=Path("/var/tmp"), help="on a disk with 20 GB left; no tmpfs"
    )
    parser.add_argument(
        "--devices", type=int, nargs="+", metavar="N", default=(10, 50, 200), help="fleets, from the smallest on"
    )
    parser.add_argument("--unsigned", action="store_true", help="neither sign nor seal")
    options = parser.parse_args()
    title = "A coordinator's memory, updates " + ("as they are" if options.unsigned else "signed and sealed")
    report(title, rows(options), options.json)


if __name__ == "__main__":
    main()
