"""What worker processes give a simulation: two beside its own thread, from start-up to the last model.

- *whole simulations*: 100 devices with made-up data of the shape of digits (64 features, a multi-layer perceptron of 32
  hidden units, 15 samples each) and of Fashion-MNIST (784 features, 256 hidden units, 150 and 600 samples each); two
  rounds, all devices in one group. The log is the same to the byte, which is checked.
- *jobs*: the same jobs without a federation around them, from trivial ones on, so that one sees from which size on
  processes pay; and what a trivial job costs more.
- *the machine*: the same fits, shared out between two processes that need no messages at all. Nothing can be faster
  than that; what else runs on the machine, and the memory that processors share, decides how much it is.
- *large updates*: a model of 40 MB to and fro.
- *start-up*: from the call to the first result of a process.

Every repetition runs both, one after the other, and ratios are medians over repetitions.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from made_up import Case, serve_fits
from report import Row, arguments, compared, report

from tierwise.core.events import encode_record
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.learning import LocalData, StopToken
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.work import Job
from tierwise.plugins import Plugins
from tierwise.runtime.codecs import Codecs
from tierwise.runtime.learners import Learners
from tierwise.runtime.policies import Choice, Policies
from tierwise.runtime.processes import end, start
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.in_processes import in_processes
from tierwise.runtime.simulation.run import simulate
from tierwise.runtime.simulation.workers import InThread, Workers

WORKERS = 2
THREAD = "this thread"


DIGITS = Case("digits, 15 samples", 64, (32,), 15)
FASHION = (Case("fashion, 150 samples", 784, (256,), 150), Case("fashion, 600 samples", 784, (256,), 600, 60))
SIZES = (
    Case("trivial", 4, (2,), 1, 1),
    DIGITS,
    Case("digits, 150 samples", 64, (32,), 150),
    Case("fashion, 15 samples", 784, (256,), 15),
    *FASHION,
)
LARGE = Case("40 MB", 1000, (10_000,), 1, 1, devices=8)


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def paired(
    metric: str,
    unit: str,
    per: float,
    one: Callable[[], float],
    other: Callable[[], float],
    repetitions: int,
    baseline: str = THREAD,
    at_most: float | None = None,
) -> Row:
    """Measure both by turns; ``per`` makes the figures from seconds."""
    pairs = [(one(), other()) for _ in range(repetitions)]
    return compared(
        metric,
        per * statistics.median(a for a, _ in pairs),
        unit,
        baseline=baseline,
        baseline_value=per * statistics.median(b for _, b in pairs),
        ratio=statistics.median(a / b for a, b in pairs),
        at_most=at_most,
    )


# -- whole simulations


def federation(case: Case, workers: int) -> bytes:
    profile = HardwareProfile.declared(cpu_flops=1e9, uplink_bytes_per_s=1e6, downlink_bytes_per_s=1e6)
    devices = {
        name: DeviceSpec(
            HardwareProfile.declared(
                cpu_flops=1e9 * (1 + number / 100),
                uplink_bytes_per_s=profile.value("uplink_bytes_per_s"),
                downlink_bytes_per_s=profile.value("downlink_bytes_per_s"),
            ),
            local,
        )
        for number, (name, local) in enumerate(case.data.items())
    }
    settings = FederationSettings(
        name="workers",
        task=case.task,
        seed=0,
        enrolment=EnrolmentSettings(min_devices=len(devices), window_s=None),
        rounds=RoundSettings(deadline_s=3600, max_samples=case.samples),
    )
    policies = Policies(
        grouping=Choice(name="quantile", options={"groups": 1}),
        tiers=Choice(name="mlp", options=case.options),
        stop=Choice(name="rounds", options={"rounds": 2}),
    )
    records = simulate(settings, devices, policies=policies, workers=workers).records
    return b"".join(map(encode_record, records))


def simulations(cases: tuple[Case, ...], repetitions: int) -> Iterator[Row]:
    for case in cases:
        assert federation(case, WORKERS) == federation(case, 1), "other workers, other bytes"
        yield paired(
            f"simulation, {case.name}",
            "s",
            1.0,
            lambda case=case: seconds(lambda: federation(case, WORKERS)),
            lambda case=case: seconds(lambda: federation(case, 1)),
            repetitions,
            at_most=0.65 if case is FASHION[1] else None,
        )


# -- jobs


def all_jobs(workers: Workers, job: Job, data: Mapping[DeviceId, LocalData]) -> None:
    begun = [workers.begin(name, job, due_at=float(due)) for due, name in enumerate(data)]
    for one in begun:
        one.take()


def jobs(cases: tuple[Case, ...], repetitions: int) -> Iterator[Row]:
    plugins = Plugins.discover()
    for case in cases:
        data, job = case.data, case.job(plugins)
        learners = Learners(plugins, case.task)
        in_thread = InThread(data, learners, Codecs(plugins).of, StopToken())
        with in_processes(WORKERS, data, case.task, plugins, StopToken()) as processes:
            all_jobs(processes, job, data)
            all_jobs(in_thread, job, data)
            yield paired(
                f"job of {case.name}",
                "us",
                1e6 / len(data),
                lambda: seconds(lambda: all_jobs(processes, job, data)),  # noqa: B023  (called at once)
                lambda: seconds(lambda: all_jobs(in_thread, job, data)),  # noqa: B023
                repetitions,
            )


# -- the machine


def machine(case: Case, repetitions: int) -> Row:
    names = list(case.data)
    processes = start(WORKERS, serve_fits, case)

    def share_out(shares: int) -> float:
        def run() -> None:
            for number, one in enumerate(processes[:shares]):
                one.pipe.send(names[number::shares])
            for one in processes[:shares]:
                one.pipe.recv()

        return seconds(run)

    try:
        share_out(WORKERS)
        return paired(
            f"the machine, {case.name}",
            "us",
            1e6 / len(names),
            lambda: share_out(WORKERS),
            lambda: share_out(1),
            repetitions,
            baseline="one process",
        )
    finally:
        end(processes)


# -- start-up


def first_result(case: Case, plugins: Plugins) -> float:
    data, job = case.data, case.job(plugins)

    def run() -> None:
        with in_processes(WORKERS, data, case.task, plugins, StopToken()) as processes:
            processes.begin(next(iter(data)), job, 0.0).take()

    return seconds(run)


def numpy_process() -> float:
    """Start a process that imports what any learner does."""
    return seconds(lambda: subprocess.run([sys.executable, "-c", "import numpy, msgspec"], check=True))


def main() -> None:
    options = arguments("Measure what worker processes give a simulation.").parse_args()
    few = 3
    plugins = Plugins.discover()
    rows = [
        *simulations((DIGITS, *FASHION) if not options.quick else (DIGITS,), few),
        *jobs(SIZES if not options.quick else SIZES[:2], 3 * few),
        machine(DIGITS if options.quick else FASHION[1], few),
        *jobs((LARGE,) if not options.quick else (), few),
        paired(
            "start-up, until the first result",
            "s",
            1.0,
            lambda: first_result(DIGITS, plugins),
            numpy_process,
            few,
            baseline="a process that imports NumPy",
        ),
    ]
    report(f"{WORKERS} worker processes", rows, options.json)


if __name__ == "__main__":
    main()
