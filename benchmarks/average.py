"""The weighted sum beside what bounds it and what it replaces, all in one thread.

For K buffers of n float32 each, GB/s counts the bytes of the buffers, once: what any sum has to read.

- *C read pass*: the same buffers read and nothing else, the bound that memory sets.
- *C loop*: the same sum as C for this very machine, in any order of additions. Both are in average.c, compiled with
  ``-O3 -march=native -ffast-math``; without a compiler they are left out.
- *np.tensordot* of the stacked buffers: the usual one-liner; stacking is part of it, as the buffers come apart.
- *np loop*: one buffer after the other into the result, with the product in an array made beforehand.
- *float32*: `weighted_sum` of as many parameters; what codes them in fewer bytes has fewer to read.
- *ring_sum* has a read pass over its own buffers, of integers.
- *twin*: the NumPy specification of the kernel, which gives the same bits.

Every repetition runs them all, one after the other, and ratios are medians over repetitions, so that a machine whose
speed wanders does not decide the result. Each is called twice in a row, and the second call counts: what it finds in
the caches is its own doing. Times are of the thread on its processor.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import ctypes
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report import Row, arguments, compared, report

from tierwise.ext import (
    KERNELS,
    _average_numpy,
    encode_bfloat16,
    encode_int8,
    ring_sum,
    weighted_sum,
    weighted_sum_bfloat16,
    weighted_sum_float16,
    weighted_sum_int8,
)

Buffers = list[NDArray[np.float32]]
Runs = dict[str, Callable[[], object]]

CASES = (
    (8, 100_000),
    (32, 100_000),
    (100, 100_000),
    (8, 1_000_000),
    (32, 1_000_000),
    (100, 1_000_000),
    (8, 10_000_000),
    (32, 10_000_000),
    (16, 11_689_512),  # the parameters of ResNet-18
)
QUICK_CASES = ((8, 100_000), (32, 100_000), (8, 1_000_000))
LARGE = 100_000_000
"""Parameters of all buffers from which NumPy's ways and the twin are left out: they take seconds, and were seen."""


def seconds(run: Callable[[], object]) -> float:
    start = time.thread_time()
    run()
    return time.thread_time() - start


def compiled() -> ctypes.CDLL | None:
    """Compile average.c, or return None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "average.so"
        flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
        source = Path(__file__).with_suffix(".c")
        subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))


def in_c(library: ctypes.CDLL, buffers: Buffers, coefficients: NDArray[np.float32]) -> Runs:
    """Return the baselines in C."""
    size = ctypes.c_size_t(buffers[0].size)
    pointers = (ctypes.c_void_p * len(buffers))(*[x.ctypes.data for x in buffers])
    out = np.zeros(buffers[0].size, np.float32)
    factors, result = ctypes.c_void_p(coefficients.ctypes.data), ctypes.c_void_p(out.ctypes.data)
    library.read_pass.restype = ctypes.c_float

    def loop(_held: object = (coefficients, out)) -> None:
        library.c_loop(pointers, factors, len(buffers), size, result)

    return {READ_PASS: lambda: library.read_pass(pointers, len(buffers), size), "C loop": loop}


def in_numpy(buffers: Buffers, coefficients: NDArray[np.float32]) -> Runs:
    """Return the baselines in NumPy."""
    out, product, twin_out = (np.zeros_like(buffers[0]) for _ in range(3))
    held = tuple(buffers)

    def loop() -> None:
        np.multiply(buffers[0], coefficients[0], out=out)
        for x, c in zip(buffers[1:], coefficients[1:], strict=True):
            np.multiply(x, c, out=product)
            np.add(out, product, out=out)

    return {
        "np.tensordot of a stack": lambda: np.tensordot(coefficients, np.stack(buffers), 1),
        "np loop": loop,
        "twin": lambda: _average_numpy.weighted_sum(held, coefficients, twin_out),
    }


def timed(runs: Runs, budget_s: float) -> dict[str, list[float]]:
    """Return the seconds of interleaved repetitions."""
    for run in runs.values():
        run()  # touches every page once before anything is timed
    round_s = 2 * sum(seconds(run) for run in runs.values())
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(max(5, min(50, int(budget_s / round_s)))):
        for name, run in runs.items():
            run()
            times[name].append(seconds(run))
    return times


def drawn(n_buffers: int, size: int) -> tuple[Buffers, NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(size, dtype=np.float32) for _ in range(n_buffers)], rng.integers(50, 500, n_buffers)


READ_PASS = "C read pass"
GOALS = {"C loop": 1.0, "np.tensordot of a stack": 1.0, "np loop": 1.0}


def measure(library: ctypes.CDLL | None, n_buffers: int, size: int, budget_s: float) -> Iterator[Row]:
    buffers, weights = drawn(n_buffers, size)
    divisor = int(weights.sum())
    coefficients = (weights / divisor).astype(np.float32)
    out = np.zeros(size, np.float32)
    runs: Runs = {"ours": lambda: weighted_sum(buffers, weights, out, divisor=divisor)}
    if library is not None:
        runs |= in_c(library, buffers, coefficients)
    if n_buffers * size < LARGE or library is None:
        runs |= in_numpy(buffers, coefficients)
    times = timed(runs, budget_s)
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
            at_least=GOALS.get(name),
        )


def of_all(rows: list[Row]) -> Row:
    """Return the mean over the cases of what a sum reaches of a read pass."""
    passes = [row for row in rows if row.baseline == READ_PASS and row.ratio and row.baseline_value]
    return compared(
        "weighted_sum, mean of these cases",
        statistics.mean(row.value for row in passes),
        "GB/s",
        baseline=READ_PASS,
        baseline_value=statistics.mean(row.baseline_value or 0.0 for row in passes),
        ratio=statistics.mean(row.ratio or 0.0 for row in passes),
        at_least=0.8,
    )


def coded(n_buffers: int, size: int, budget_s: float) -> Iterator[Row]:
    """Measure sums of coded updates beside that of the float32."""
    buffers, weights = drawn(n_buffers, size)
    out = np.zeros(size, np.float32)
    steps, scales = zip(*(encode_int8(x, seed=k) for k, x in enumerate(buffers)), strict=True)
    halves = [x.astype(np.float16) for x in buffers]
    bfloats = [encode_bfloat16(x) for x in buffers]
    times = timed(
        {
            "float32": lambda: weighted_sum(buffers, weights, out, divisor=9),
            "int8": lambda: weighted_sum_int8(steps, scales, weights, out, divisor=9),
            "float16": lambda: weighted_sum_float16(halves, weights, out, divisor=9),
            "bfloat16": lambda: weighted_sum_bfloat16(bfloats, weights, out, divisor=9),
        },
        budget_s,
    )
    whole = times.pop("float32")
    millions = n_buffers * size / 1e6
    for name, ours in times.items():
        yield compared(
            f"weighted_sum_{name} {n_buffers} x {size:,}",
            millions / statistics.median(ours),
            "million parameters/s",
            baseline="float32",
            baseline_value=millions / statistics.median(whole),
            ratio=statistics.median(b / a for a, b in zip(ours, whole, strict=True)),
            at_least=2.5 if name == "int8" else None,
        )


def ring(library: ctypes.CDLL, bits: int, n_buffers: int, size: int, budget_s: float) -> Row:
    """Measure the sum of integers modulo ``2**bits`` beside reading them."""
    rng = np.random.default_rng(0)
    buffers = [rng.integers(0, 2**bits, size, f"uint{bits}") for _ in range(n_buffers)]
    out = np.zeros(size, f"uint{bits}")
    pointers = (ctypes.c_void_p * n_buffers)(*[x.ctypes.data for x in buffers])
    halves = ctypes.c_size_t(size * bits // 32)
    times = timed(
        {
            "ours": lambda: ring_sum(buffers, out),
            READ_PASS: lambda: library.read_integers(pointers, n_buffers, halves),
        },
        budget_s,
    )
    gigabytes = n_buffers * size * bits / 8 / 1e9
    return compared(
        f"ring_sum uint{bits} {n_buffers} x {size:,}",
        gigabytes / statistics.median(times["ours"]),
        "GB/s",
        baseline=READ_PASS,
        baseline_value=gigabytes / statistics.median(times[READ_PASS]),
        ratio=statistics.median(b / a for a, b in zip(times["ours"], times[READ_PASS], strict=True)),
        at_least=0.6,
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
    options = arguments("Measure tierwise.ext.weighted_sum and its like.").parse_args()
    library = compiled()
    budget_s = 0.5 if options.quick else 4.0
    rows = [
        row
        for n_buffers, size in (QUICK_CASES if options.quick else CASES)
        for row in measure(library, n_buffers, size, budget_s)
    ]
    rows += [of_all(rows)] if library is not None else []
    rows += coded(8, 100_000 if options.quick else 10_000_000, budget_s)
    if library is not None:
        rows += [ring(library, bits, 32, 100_000 if options.quick else 1_000_000, budget_s) for bits in (32, 64)]
    rows.append(error(100_000))
    report(f"Weighted sum, {KERNELS} kernels, one thread", rows, options.json)


if __name__ == "__main__":
    main()
