"""Robust aggregation: how fast, how much memory, and what it is worth under attack.

*Speed*: the kernels beside what they replace, of K separate buffers of n float32, in one thread. `np.median` and a
trimmed mean by `np.partition` take a stack of the buffers, which is part of them; 20 % are trimmed at each end. The
squared distances are held against NumPy's differences and products, pair by pair, of which some pairs are timed and
counted for all. GB/s counts the bytes of the buffers, once. Every repetition runs all, one after the other, each after
a pass over the buffers, and ratios are medians over repetitions. The read pass is the same buffers read and nothing
else: the bound that memory sets.

*Memory*: the most that a call has beyond the buffers and the result, as a multiple of the buffers' bytes.

*Attacks*: the accuracy of a federation of which 20 % of the devices attack, as `attacks.py` has it, beside the mean
without an attack. The rows of the mean are shown for what happens without a robust reducer, and have no goal; label
flips it bears by itself here.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
from attacks import ATTACKS, accuracy
from numpy.typing import NDArray
from report import Row, arguments, compared, report

from tierwise.ext import KERNELS, add_pairwise_sq_distances, coordinate_median, mean_around_median, trimmed_mean

Buffers = list[NDArray[np.float32]]
CASES = ((8, 100_000), (32, 100_000), (100, 100_000), (8, 1_000_000), (32, 1_000_000))
QUICK_CASES = ((8, 10_000), (32, 10_000))
TIMES = 10
"""As fast as NumPy, at least, from 8 updates on."""
REDUCERS = ("median", "trimmed-mean", "krum", "multi-krum", "bulyan", "geometric-median", "clipped-mean")
POINTS = 0.02


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def numpy_trimmed(buffers: Buffers, trim: int) -> NDArray[np.float32]:
    last = len(buffers) - 1 - trim
    return np.partition(np.stack(buffers), (trim, last), axis=0)[trim : last + 1].mean(axis=0)


def numpy_around(buffers: Buffers, kept: int) -> NDArray[np.float32]:
    values = np.stack(buffers)
    far = np.abs(values - np.median(values, axis=0))
    return np.take_along_axis(values, np.argpartition(far, kept - 1, axis=0)[:kept], axis=0).mean(axis=0)


def numpy_distances(buffers: Buffers, pairs: int) -> None:
    for k in range(pairs):
        difference = buffers[k % len(buffers)] - buffers[(k + 1) % len(buffers)]
        np.dot(difference, difference)


def speed(count: int, size: int, budget_s: float) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    buffers = [rng.standard_normal(size, dtype=np.float32) for _ in range(count)]
    out, sums = np.zeros(size, np.float32), np.zeros((count, count))
    trim = count // 5
    kept = count - 2 * trim
    some, all_pairs = 8, count * (count - 1) // 2
    runs: dict[str, tuple[Callable[[], object], Callable[[], object], float, str]] = {
        "median": (
            lambda: coordinate_median(buffers, out),
            lambda: np.median(np.stack(buffers), axis=0),
            1,
            "np.median",
        ),
        "trimmed mean": (
            lambda: trimmed_mean(buffers, out, trim=trim),
            lambda: numpy_trimmed(buffers, trim),
            1,
            "np.partition",
        ),
        "mean around the median": (
            lambda: mean_around_median(buffers, out, kept=kept),
            lambda: numpy_around(buffers, kept),
            1,
            "np.argpartition",
        ),
        "squared distances": (
            lambda: add_pairwise_sq_distances(buffers, sums),
            lambda: numpy_distances(buffers, some),
            all_pairs / some,
            "NumPy, pair by pair",
        ),
    }
    for ours, theirs, _, _ in runs.values():
        ours(), theirs()  # touches every page once before anything is timed
    whole_s = sum(seconds(ours) + seconds(theirs) for ours, theirs, _, _ in runs.values())
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    reads: list[float] = []

    def read() -> None:
        for x in buffers:
            x.view(np.int32).max()

    def after_reading(run: Callable[[], object]) -> float:
        read()  # so that each begins with the same in the caches, whatever ran before it
        return seconds(run)

    for _ in range(max(3, min(25, int(budget_s / whole_s)))):
        reads.append(after_reading(read))
        for name, (ours, theirs, factor, _) in runs.items():
            times[name].append((after_reading(ours), factor * after_reading(theirs)))
    gigabytes = count * size * 4 / 1e9
    for name, pairs in times.items():
        median_s = statistics.median(a for a, _ in pairs)
        yield compared(
            f"{name}, {count} x {size:,}",
            gigabytes / median_s,
            "GB/s",
            baseline=runs[name][3],
            baseline_value=gigabytes / statistics.median(b for _, b in pairs),
            ratio=statistics.median(b / a for a, b in pairs),
            at_least=TIMES if name in ("median", "trimmed mean") else 1,
        )
    yield compared(
        f"median, {count} x {size:,}",
        gigabytes / statistics.median(a for a, _ in times["median"]),
        "GB/s",
        baseline="read pass",
        baseline_value=gigabytes / statistics.median(reads),
        ratio=statistics.median(read / ours for read, (ours, _) in zip(reads, times["median"], strict=True)),
    )


def peak(run: Callable[[], object]) -> int:
    """Return the most bytes that are allocated in between, by NumPy or the kernels: both tell Python's tracer."""
    run()
    tracemalloc.start()
    run()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def memory(count: int, size: int) -> Iterator[Row]:
    buffers = [np.zeros(size, np.float32) for _ in range(count)]
    out = np.zeros(size, np.float32)
    for name, ours, theirs, baseline in (
        ("median", lambda: coordinate_median(buffers, out), lambda: np.median(np.stack(buffers), axis=0), "np.median"),
        (
            "trimmed mean",
            lambda: trimmed_mean(buffers, out, trim=count // 5),
            lambda: numpy_trimmed(buffers, count // 5),
            "np.partition",
        ),
    ):
        bytes_ = count * size * 4
        yield compared(
            f"{name}, {count} x {size:,}: memory beyond the buffers",
            peak(ours) / bytes_,
            "of the buffers' bytes",
            baseline=baseline,
            baseline_value=peak(theirs) / bytes_,
            at_most=0.1,
        )


def attacks(seeds: int, *, quick: bool) -> Iterator[Row]:
    rounds = 4 if quick else 20
    reducers = ("mean", "median") if quick else ("mean", *REDUCERS)

    def mean_accuracy(aggregator: str, attack: str) -> float:
        return statistics.mean(accuracy(aggregator, attack, rounds=rounds, seed=seed) for seed in range(seeds))

    clean = mean_accuracy("mean", "none")
    for aggregator in reducers:
        for attack in ("none", "scaling") if quick else ATTACKS:
            found = clean if (aggregator, attack) == ("mean", "none") else mean_accuracy(aggregator, attack)
            robust = aggregator != "mean"
            yield Row(
                metric=f"{aggregator}, {'no attack' if attack == 'none' else attack}",
                value=found,
                unit="accuracy",
                baseline="mean, no attack",
                baseline_value=clean,
                ratio=found / clean,
                goal=f"at most {POINTS:g} less" if robust else None,
                met=found >= clean - POINTS if robust else None,
            )


def main() -> None:
    parser = arguments("Measure robust aggregation: speed, memory, and accuracy under attack.")
    parser.add_argument("--seeds", type=int, default=3, help="federations for each attack; their mean counts")
    options = parser.parse_args()
    rows = [
        row
        for count, size in (QUICK_CASES if options.quick else CASES)
        for row in speed(count, size, budget_s=0.3 if options.quick else 4.0)
    ]
    rows += memory(32, 10_000 if options.quick else 1_000_000)
    rows += attacks(1 if options.quick else options.seeds, quick=options.quick)
    report(f"Robust aggregation, {KERNELS} kernels, one thread", rows, options.json)


if __name__ == "__main__":
    main()
