"""Dividing a fleet of up to a million devices, beside polars' sort of its table.

Devices are drawn from the catalogue of real models, so that processor, memory and power belong together, and each
differs a little from its model; links are drawn by themselves. One in ten does not tell its power.

- *answer*: from the table to the groups. The baseline sorts the same table by the quantity that the policy goes by
  (by the first one, where there are several), in the same run, with the same threads.
- *every reason told*: the same, and then the sentence of each device: who asks for one of them pays for one.
- *memory*: the most that a process has while it divides the largest fleet, over what it had before, beside the table.
- *spread within groups*: what k-means makes least, for the devices' standardised logarithms: as the policy finds groups
  in a fleet that is larger than what it clusters, beside scikit-learn's k-means of the whole fleet.

Every repetition runs policy and sort, one after the other, and ratios are medians over repetitions.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import psutil
from numpy.typing import NDArray
from report import Row, arguments, compared, report
from sklearn.cluster import KMeans

from tierwise.core.grouping import Grouping
from tierwise.core.hardware import fleet_table
from tierwise.core.task import Task
from tierwise.core.tiers import RoundLimits
from tierwise.plugins import Plugins
from tierwise.runtime.fleet.draw import draw_fleet

MOST = 5
"""Sorts that an answer may take."""
LARGE = 1_000_000
TOLD = 10_000
"""Devices of which every reason is told: sentence by sentence, it grows with the fleet."""
MODELS = 2_000
TASK = Task(name="made-up", features=64, classes=tuple("0123456789"))
LIMITS = RoundLimits(deadline_s=1.0, samples=2_000)
COMPARED = ("cpu_flops", "memory_bytes", "uplink_bytes_per_s")
RULES = (
    {"name": "small", "where": "memory_bytes < 2e9 OR cpu_flops < 2e9"},
    {"name": "middle", "where": "memory_bytes < 8e9 AND power_w < 20"},
    {"name": "slow", "where": "cpu_flops < 2e10"},
)
POLICIES: dict[str, tuple[str, dict[str, object]]] = {
    "quantile": ("cpu_flops", {}),
    "threshold": ("memory_bytes", {"rules": RULES, "otherwise": "leave-out"}),
    "deadline": ("cpu_flops", {}),
    "kmeans": ("cpu_flops", {}),
    "kmeans, k = 4": ("cpu_flops", {"k": 4}),
}
Divide = Callable[[pl.DataFrame], Grouping]


def fleet(devices: int) -> pl.DataFrame:
    """Draw the table of a fleet, in the order of ids, as coordinators have it."""
    random = np.random.default_rng(0)
    models = fleet_table({device: one.profile for device, one in draw_fleet(MODELS, 0).items()})
    table = models.drop("device")[random.integers(0, len(models), devices)]

    def about(spread: float) -> NDArray[np.float64]:
        return np.exp(random.normal(0, spread, devices))

    link = 1e6 * about(1.5)
    return table.with_columns(
        pl.col("cpu_flops") * about(0.2),
        pl.col("memory_bytes") * about(0.05),
        pl.Series("uplink_bytes_per_s", link),
        pl.Series("downlink_bytes_per_s", link * (1 + 4 * random.random(devices))),
        pl.Series("power_w", np.where(random.random(devices) < 0.1, np.nan, 5 * about(0.8))).fill_nan(None),
    ).insert_column(0, pl.Series("device", [f"d{number:07}" for number in range(devices)]))


def policies() -> dict[str, Divide]:
    plugins = Plugins.discover()
    offers = plugins.tier_provider("mlp", {"hidden": [[16], [128], [1024]]}).offers(TASK)

    def divide(name: str, options: dict[str, object]) -> Divide:
        policy = plugins.grouping_policy(name.partition(",")[0], options)
        return lambda table: policy.group(table, offers, LIMITS)

    return {name: divide(name, options) for name, (_, options) in POLICIES.items()}


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def memory(name: str) -> Row:
    """Ask a process of its own, whose memory nothing has been in before."""
    command = [sys.executable, __file__, "--peak", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    most, size = map(float, done.stdout.split())
    metric = f"{name}, {LARGE:,} devices: memory"
    return compared(metric, most / 1e6, "MB", baseline="the table", baseline_value=size / 1e6)


def peak(name: str) -> tuple[float, int]:
    """Return the bytes that this process has at the most while it divides a large fleet, over those before; Linux."""
    divide, table = policies()[name], fleet(LARGE)
    divide(fleet(TOLD))  # imports
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    divide(table)
    lines = Path("/proc/self/status").read_text().splitlines()
    most = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return float(most - before), table.estimated_size()


def measure(devices: int, repetitions: int) -> Iterator[Row]:
    table = fleet(devices)
    for name, divide in policies().items():
        yield from of_policy(
            f"{name}, {devices:,} devices", partial(divide, table), table, POLICIES[name][0], repetitions
        )


def of_policy(name: str, run: Callable[[], Grouping], table: pl.DataFrame, by: str, repetitions: int) -> Iterator[Row]:
    sort = partial(table.sort, by)
    fault = run().fault(table.get_column("device").to_list())
    assert fault is None, fault
    sort()  # imports, and pages that nobody has touched yet, are behind both
    pairs = [(seconds(run), seconds(sort)) for _ in range(repetitions)]
    answer_s, sort_s = (statistics.median(times) for times in zip(*pairs, strict=True))
    against = {"baseline": f"sort by {by}", "baseline_value": 1e3 * sort_s}
    ratio = statistics.median(a / b for a, b in pairs)
    large = len(table) >= LARGE
    yield compared(f"{name}: answer", 1e3 * answer_s, "ms", ratio=ratio, at_most=MOST if large else None, **against)
    if len(table) <= TOLD:
        grouping = run()
        told_s = seconds(lambda: (dict(grouping.reasons), dict(grouping.unplaced)))
        yield compared(f"{name}: every reason told", 1e3 * (answer_s + told_s), "ms", **against)


def quality(devices: int) -> Row:
    """Compare the groups of a sample's clusters with those of all devices' clusters."""
    table = fleet(devices)
    logarithms = np.log(table.select(COMPARED).to_numpy())
    points = (logarithms - logarithms.mean(axis=0)) / logarithms.std(axis=0)
    row_of = {device: row for row, device in enumerate(table.get_column("device"))}
    groups = [points[[row_of[device] for device in group]] for group in policies()["kmeans, k = 4"](table).groups]
    ours = sum(float(((group - group.mean(axis=0)) ** 2).sum()) for group in groups)
    whole = float(KMeans(n_clusters=4, n_init=10, random_state=0).fit(points).inertia_)
    return compared(
        f"kmeans, k = 4, {devices:,} devices: spread within groups", ours / devices, "",
        baseline="k-means of all", baseline_value=whole / devices, at_most=1.02,
    )  # fmt: skip


def main() -> None:
    parser = arguments("Measure the grouping policies on large fleets.")
    parser.add_argument(
        "--peak", choices=list(POLICIES), help="print the peak of memory of one policy, and its table's"
    )
    options = parser.parse_args()
    if options.peak is not None:
        print(*peak(options.peak))
        return
    sizes = (10_000,) if options.quick else (10_000, 100_000, LARGE)
    rows = [row for size in sizes for row in measure(size, 3)]
    if not options.quick and Path("/proc/self/clear_refs").exists():
        rows += [memory(name) for name in POLICIES]
    rows.append(quality(20_000 if options.quick else 100_000))
    report("Grouping policies, tables in the order of ids", rows, options.json)


if __name__ == "__main__":
    main()
