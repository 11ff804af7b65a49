"""What durability costs a round: a federation over MQTT with its log on the disk, beside the same one in memory.

100 agents (``fleet.py``) with a model of 100 kB. With the log on the disk, an update is receipted when it and its
record are synced, and so is every step of a round. Federations of both kinds take turns, and ratios are of the
medians of all their rounds.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from broker import mosquitto
from fleet import Measured, allow_files, federation
from report import Row, arguments, compared, report


def measure(devices: int, rounds: int, *, durable: bool) -> Measured:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with mosquitto(folder) as broker:
            return federation(folder, broker, devices, rounds, durable=durable)


def rows(devices: int, rounds: int, turns: int) -> Iterator[Row]:
    found: dict[bool, list[Measured]] = {True: [], False: []}
    for turn in range(turns):
        for durable in (True, False) if turn % 2 else (False, True):
            found[durable].append(measure(devices, rounds, durable=durable))

    def to_next(durable: bool) -> float:
        return statistics.median(seconds for one in found[durable] for seconds in one.to_next)

    def cpu_ms(durable: bool) -> float:
        return statistics.median(1e3 * one.coordinator_cpu_s / (devices * rounds) for one in found[durable])

    yield compared(
        f"from one round of {devices} to the next, log on the disk",
        to_next(True),
        "s",
        baseline="log in memory",
        baseline_value=to_next(False),
        at_most=1.1,
    )
    yield compared(
        "coordinator's CPU for an update, log on the disk",
        cpu_ms(True),
        "ms",
        baseline="log in memory",
        baseline_value=cpu_ms(False),
    )
    yield Row("load of the machine at the end", os.getloadavg()[0], "processes")


def main() -> None:
    options = arguments("Measure what durability costs a round over MQTT.").parse_args()
    allow_files()
    devices, rounds, turns = (20, 3, 1) if options.quick else (100, 12, 3)
    report(f"Durability, {devices} agents over MQTT, model of 100 kB", rows(devices, rounds, turns), options.json)


if __name__ == "__main__":
    main()
