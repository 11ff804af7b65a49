"""The weighted sum beside what bounds it and what it replaces, all in one thread.

For K buffers of n float32 each, GB/s counts the bytes of the buffers, once: what any sum has to read.

- *read pass*: the same buffers read and nothing else, the bound that memory sets. It is the fastest that NumPy
  offers, chosen anew for every case from those in `READS`.
- *np.tensordot* of the stacked buffers: the usual one-liner; stacking is part of it, as the buffers come apart.
- *np loop*: one buffer after the other into the result, with the product in an array made beforehand.
- *twin*: the NumPy specification of the kernel, which gives the same bits.

Every repetition runs them all, one after the other, and ratios are medians over repetitions, so that a
machine whose speed wanders does not decide the result.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from report import Row, arguments, compared, report

from tierwise.ext import KERNELS, _average_numpy, weighted_sum

Buffers = list[NDArray[np.float32]]

CASES = (
    (8, 100_000),
    (32, 100_000),
    (100, 100_000),
    (8, 1_000_000),
    (32, 1_000_000),
    (100, 1_000_000),
    (8, 10_000_000),
)
QUICK_CASES = ((8, 100_000), (32, 100_000), (8, 1_000_000))

READS: dict[str, Callable[[NDArray[np.float32]], object]] = {
    "int32 max": lambda x: x.view(np.int32).max(),
    "float32 max": lambda x: x.max(),
    "dot": lambda x: np.dot(x, x),
}


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def fastest_read(buffers: Buffers) -> str:
    def median(read: Callable[[NDArray[np.float32]], object]) -> float:
        return statistics.median(seconds(lambda: [read(x) for x in buffers]) for _ in range(5))

    return min(READS, key=lambda name: median(READS[name]))


def measure(n_buffers: int, size: int, budget_s: float) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    buffers = [rng.standard_normal(size, dtype=np.float32) for _ in range(n_buffers)]
    weights = rng.integers(50, 500, n_buffers)
    divisor = int(weights.sum())
    coefficients = (weights / divisor).astype(np.float32)
    out, product, twin_out = (np.zeros(size, np.float32) for _ in range(3))
    held = tuple(buffers)
    read_name = fastest_read(buffers)
    read = READS[read_name]

    def loop() -> None:
        np.multiply(buffers[0], coefficients[0], out=out)
        for x, c in zip(buffers[1:], coefficients[1:], strict=True):
            np.multiply(x, c, out=product)
            np.add(out, product, out=out)

    runs: dict[str, Callable[[], object]] = {
        "ours": lambda: weighted_sum(buffers, weights, out, divisor=divisor),
        f"read pass ({read_name})": lambda: [read(x) for x in buffers],
        "np.tensordot of a stack": lambda: np.tensordot(coefficients, np.stack(buffers), 1),
        "np loop": loop,
        "twin": lambda: _average_numpy.weighted_sum(held, coefficients, twin_out),
    }
    for run in runs.values():
        run()  # touches every page once before anything is timed
    round_s = sum(seconds(run) for run in runs.values())
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(max(5, min(50, int(budget_s / round_s)))):
        for name, run in runs.items():
            times[name].append(seconds(run))

    gigabytes = n_buffers * size * 4 / 1e9
    ours = times.pop("ours")
    for name, theirs in times.items():
        yield compared(
            f"weighted_sum {n_buffers} x {size:,}",
            gigabytes / statistics.median(ours),
            "GB/s",
            baseline=name,
            baseline_value=gigabytes / statistics.median(theirs),
            ratio=statistics.median(b / a for a, b in zip(ours, theirs, strict=True)),
            at_least=1 if name.startswith("np") else None,
        )


def error(n_buffers: int) -> Row:
    """Measure the error where it is hardest to keep: equal values, whose roundings all go one way."""
    bound = 2e-6
    values = np.linspace(0.5, 1, 8, dtype=np.float32)
    out = np.empty_like(values)
    weighted_sum([values] * n_buffers, np.ones(n_buffers, np.int64), out, divisor=n_buffers)
    running = np.zeros_like(values)
    for _ in range(n_buffers):
        running += np.float32(1 / n_buffers) * values
    exact = values.astype(np.float64)  # the mean of equal models, and the sum of magnitudes as well
    ours, naive = (float(np.max(np.abs(a - exact) / exact)) for a in (out, running))
    return Row(
        metric=f"error, {n_buffers:,} equal buffers",
        value=ours,
        unit="of the sum of magnitudes",
        baseline="running float32 sum",
        baseline_value=naive,
        ratio=ours / naive,
        goal=f"value <= {bound:g}",
        met=ours <= bound,
    )


def main() -> None:
    options = arguments("Measure tierwise.ext.weighted_sum.").parse_args()
    rows = [
        row
        for n_buffers, size in (QUICK_CASES if options.quick else CASES)
        for row in measure(n_buffers, size, budget_s=0.5 if options.quick else 4.0)
    ]
    rows.append(error(100_000))
    report(f"Weighted sum, {KERNELS} kernels, one thread", rows, options.json)


if __name__ == "__main__":
    main()
