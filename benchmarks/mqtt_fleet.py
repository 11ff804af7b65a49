"""A fleet of hundreds of agents over MQTT: 500 in one process, a model of 100 kB, a coordinator of its own.

What runs is in ``fleet.py``; the coordinator has its log on the disk.

Two limits are measured in the same run, with messages of the model's size: what one client of the broker can send to
another, and how long the broker alone takes for what a round moves, one message to all clients and one back from each.
"""

import asyncio
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from broker import mosquitto, one_way_rate, round_trips
from fleet import MODEL_BYTES, allow_files, federation
from report import Row, arguments, compared, report


def rows(devices: int, rounds: int) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with mosquitto(folder) as broker:
            rate = one_way_rate(broker, size=MODEL_BYTES, count=4 * devices)
            trips = asyncio.run(round_trips(broker, size=MODEL_BYTES, devices=devices, count=3))
            found = federation(folder, broker, devices, rounds)
            trips += asyncio.run(round_trips(broker, size=MODEL_BYTES, devices=devices, count=3))
            rate = statistics.mean((rate, one_way_rate(broker, size=MODEL_BYTES, count=4 * devices)))
    trip_s, round_s = statistics.median(trips), statistics.median(found.rounds)
    updates = devices / statistics.median(found.to_next)
    moved = 2 * MODEL_BYTES / 1e6
    per_update = 1e3 * found.coordinator_cpu_s / (devices * rounds)
    alone, one_way = f"the broker alone: to {devices} and back", "one client to another, QoS 1"
    yield compared("a round, median", round_s, "s", baseline=alone, baseline_value=trip_s)
    yield compared("updates", updates, "1/s", baseline=one_way, baseline_value=rate)
    yield compared(
        "models and updates moved", updates * moved, "MB/s", baseline=alone, baseline_value=devices * moved / trip_s
    )
    yield Row("rounds, each with all devices", rounds, f"of {devices}")
    yield Row("the longest round", max(found.rounds), "s")
    yield Row("from the coordinator's start until all are enrolled", found.enrolled_s, "s")
    yield Row("coordinator's CPU for an update, all included", per_update, "ms")
    yield Row("agents' CPU for an update, all included", 1e3 * found.fleet_cpu_s / (devices * rounds), "ms")
    yield Row("coordinator's memory, RSS, peak", found.coordinator_rss / 1e6, "MB")
    yield Row("load of the machine at the end", os.getloadavg()[0], "processes")


def main() -> None:
    parser = arguments("Measure a fleet of hundreds of agents over MQTT.")
    parser.add_argument("--rounds", type=int, metavar="N", default=10, help="with all agents")
    options = parser.parse_args()
    allow_files()
    devices, rounds = (30, 3) if options.quick else (500, options.rounds)
    report(f"{devices} agents over MQTT, model of 100 kB", rows(devices, rounds), options.json)


if __name__ == "__main__":
    main()
