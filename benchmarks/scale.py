"""Simulations of 1,000, 10,000 and 100,000 devices in one process: what one device costs must not grow with the fleet.

A tenth of the fleet takes part in each of two rounds, whose learner returns a copy of its 10,000 float32, and all of it
in the closing evaluation. No two devices have the same hardware. Each size runs in a process of its own, so that its
peak of memory is its own; what the process has before there are devices does not count as theirs. A device's share of
the time is of the whole run, from enrolment to the end.

The baseline of each size is the smallest one in the same run. Of the memory it is the second: the smallest is lost in
what any run takes.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import numpy as np
from crowd import DIGITS, Copying, alike, plugins, run, unlike
from report import Row, arguments, compared, report

from tierwise.core.ids import DeviceId
from tierwise.core.learning import Dataset, LocalData
from tierwise.runtime.policies import Choice
from tierwise.runtime.simulation.fleet import DeviceSpec

SIZES, QUICK = (1_000, 10_000, 100_000), (100, 300, 900)
SHARE = 10
"""One of so many devices takes part in a round."""
ROUNDS = 2
PEAK_GOAL_MB = 2_000


def simulated(devices: int) -> dict[str, float]:
    """Run one size here; return seconds and megabytes."""
    known = plugins()
    few = Dataset(np.zeros((1, DIGITS.features), np.float32), np.zeros(1, np.int64))
    own = LocalData(few, few)  # a device's data would be the user's memory, not the simulation's
    run(Copying, {DeviceId(f"d{number}"): DeviceSpec(alike(number), own) for number in range(3)}, 1, known=known)
    before = _peak_mb()
    began = time.perf_counter()
    fleet = {DeviceId(f"device-{number:06}"): DeviceSpec(unlike(number), own) for number in range(devices)}
    some = Choice(name="random", options={"count": devices // SHARE})
    done = run(Copying, fleet, ROUNDS, selection=some, known=known)
    taken_s = time.perf_counter() - began
    history = done.result.groups[0].history
    if [one.devices for one in history] != [devices // SHARE] * ROUNDS:
        sys.exit(f"not all updates came in time: {history}")
    return {"seconds": taken_s, "before_mb": before, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def in_process(devices: int) -> dict[str, float]:
    """Run one size in a process of its own."""
    ran = subprocess.run([sys.executable, __file__, "--size", str(devices)], stdout=subprocess.PIPE, check=True)
    return json.loads(ran.stdout)


def rows(sizes: tuple[int, ...]) -> Iterator[Row]:
    found = {devices: in_process(devices) for devices in sizes}
    each_us = {devices: 1e6 * one["seconds"] / devices for devices, one in found.items()}
    each_kb = {devices: 1e3 * (one["peak_mb"] - one["before_mb"]) / devices for devices, one in found.items()}
    for number, devices in enumerate(sizes):
        metric = f"{devices:,} devices, {devices // SHARE:,} a round: time for each device"
        if number == 0:
            yield Row(metric, each_us[devices], "µs")
        else:
            yield compared(
                metric, each_us[devices], "µs",
                baseline=f"{sizes[0]:,} devices", baseline_value=each_us[sizes[0]], at_most=1.5,
            )  # fmt: skip
    for number, devices in enumerate(sizes):
        metric = f"{devices:,} devices: memory for each device, its share of the updates included"
        if number < 2:
            yield Row(metric, each_kb[devices], "kB")
        else:
            yield compared(
                metric, each_kb[devices], "kB",
                baseline=f"{sizes[1]:,} devices", baseline_value=each_kb[sizes[1]], at_most=1.2,
            )  # fmt: skip
    peak = found[sizes[-1]]["peak_mb"]
    yield Row(
        f"{sizes[-1]:,} devices: peak RSS of the process", peak, "MB",
        goal=f"< {PEAK_GOAL_MB:,} MB", met=peak < PEAK_GOAL_MB,
    )  # fmt: skip
    yield Row("load of the machine at the end", os.getloadavg()[0], "processes")


def main() -> None:
    parser = arguments("Measure what each device of large simulated fleets takes.")
    parser.add_argument("--size", type=int, metavar="DEVICES", help="run this size only, here, and print it as JSON")
    options = parser.parse_args()
    if options.size is not None:
        sys.stdout.write(json.dumps(simulated(options.size)))
        return
    report("Simulated fleets, small and large", rows(QUICK if options.quick else SIZES), options.json)


if __name__ == "__main__":
    main()
