"""A simulation in one process beside a bare Python loop over the same clients, and beside pfl-research.

- *copies*: 1,000 clients a round, whose learner returns a copy of its 10,000 float32: how many tasks per second come
  out when a task is next to nothing, so that all of the time is the simulator's. With devices that are all alike, what
  they do falls on the same virtual moments; with unlike ones nothing does.
- *digits*: 100 clients a round train a 64-32-10 perceptron on their share of the digits, in plain NumPy, with
  minibatches of 5, 2 epochs, a learning rate of 0.2: how much longer the whole run takes than the training alone.

Everything runs: the production coordinator with log, deadlines and receipts, and each device's own machine. Counted is
the whole run, from enrolment to the closing evaluation. The baseline is one loop over the clients that calls the same
functions and averages what comes back, in the same repetition. It is the limit, too: nothing simulates a client in
less.

``--pfl PYTHON SCRIPT`` adds pfl-research: an interpreter that has it, and a script that runs the same two workloads
(``--workload trivial --clients 1000 --rounds 20``, ``--workload digits --clients 100 --rounds 20``) and prints a line
of JSON with ``clients``, ``rounds`` and ``total_s``.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported; the products are too small for threads

import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from crowd import VALUES, Copying, PlainSgd, alike, copied, drawn, part_of, plugins, run, trained, unlike
from report import Row, arguments, compared, report

from tierwise.core.ids import DeviceId
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.seeds import derive_seed
from tierwise.core.weights import Weights
from tierwise.plugins import Plugins
from tierwise.runtime.simulation.fleet import DeviceSpec

TRAINING = 1500
"""Samples of the digits that are dealt out."""
WITHIN = 1e-3
"""How much a weight may differ between two runs that do the same arithmetic in another order."""

Samples = dict[str, list[float]]


def digits() -> Dataset:
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    data = Dataset((found.data / 16).astype(np.float32)[order], found.target.astype(np.int64)[order])
    return data.take(np.arange(TRAINING))


def devices(count: int, data: Dataset, hardware: Callable) -> dict[DeviceId, DeviceSpec]:
    return {
        DeviceId(f"device-{number:06}"): DeviceSpec(hardware(number), part_of(data, number, count))
        for number in range(count)
    }


def bare_copies(clients: int, rounds: int) -> None:
    random, model = np.random.default_rng(0), Weights.zeros(Copying.layout)
    for _ in range(rounds):
        total, samples = None, 0
        for client in random.permutation(clients):
            after = copied(model, int(client)).buffer
            samples += 1
            if total is None:
                total = after * np.float32(1)
            else:
                total += np.float32(1) * after
        model = Weights(model.layout, total / np.float32(samples))


def bare_digits(parts: list[LocalData], rounds: int) -> list:
    random, model = np.random.default_rng(0), drawn(derive_seed(0, "initial", "g1"))
    for _ in range(rounds):
        total, samples = None, 0
        for client in random.permutation(len(parts)):
            own = parts[client].train
            after = trained([array.copy() for array in model], own.features, own.labels)
            samples += len(own)
            if total is None:
                total = [array * np.float32(len(own)) for array in after]
            else:
                for one, other in zip(total, after, strict=True):
                    one += np.float32(len(own)) * other
        model = [array / np.float32(samples) for array in total]
    return model


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def by_pfl(pfl: list[str], workload: str, clients: int, rounds: int) -> float:
    given = ["--workload", workload, "--clients", str(clients), "--rounds", str(rounds)]
    ran = subprocess.run([*pfl, *given], stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(ran.stdout.splitlines()[-1])
    if (told["clients"], told["rounds"]) != (clients, rounds):
        sys.exit(f"{pfl[-1]} was asked for {clients} clients in {rounds} rounds and ran something else: {told}")
    return told["total_s"]


def measure(known: Plugins, copies: tuple[int, int], own: tuple[int, int], pfl: list[str] | None) -> dict[str, float]:
    """Run everything once, and return seconds."""
    data = digits()
    (copiers, copy_rounds), (learners, rounds) = copies, own
    parts = [part_of(data, number, learners) for number in range(learners)]
    found, models = {}, {}
    for name, hardware in (("alike", alike), ("unlike", unlike)):
        fleet = devices(copiers, data, hardware)
        found[f"copies, {name}"] = seconds(lambda fleet=fleet: run(Copying, fleet, copy_rounds, known=known))
    found["copies, bare"] = seconds(lambda: bare_copies(copiers, copy_rounds))
    for name, hardware in (("alike", alike), ("unlike", unlike)):
        fleet = devices(learners, data, hardware)
        found[f"digits, {name}"] = seconds(
            lambda fleet=fleet, name=name: models.update({name: run(PlainSgd, fleet, rounds, known=known)})
        )
    found["digits, bare"] = seconds(lambda: models.update(bare=bare_digits(parts, rounds)))
    _require_equal(models)
    if pfl is not None:
        found["copies, pfl"] = by_pfl(pfl, "trivial", copiers, copy_rounds)
        found["digits, pfl"] = by_pfl(pfl, "digits", learners, rounds)
    return found


def _require_equal(models: dict) -> None:
    bare = models.pop("bare")
    for name, simulation in models.items():
        weights = simulation.result.groups[0].model
        apart = max(float(np.abs(weights[tensor] - array).max()) for tensor, array in zip("abcd", bare, strict=True))
        if apart > WITHIN:
            sys.exit(f"devices {name}: the simulation's model is up to {apart:.3g} away from the loop's")


def rows(found: Samples, copies: tuple[int, int], pfl: list[str] | None) -> Iterator[Row]:
    tasks = copies[0] * copies[1]

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(found[one], found[other], strict=True))

    def rate(name: str) -> float:
        return tasks / statistics.median(found[name])

    for kind in ("alike", "unlike"):
        ours = f"copies, {kind}"
        metric = f"{copies[0]:,} copies of {VALUES:,} values a round, devices {kind}"
        yield compared(
            metric, rate(ours), "tasks/s",
            baseline="a bare loop", baseline_value=rate("copies, bare"), ratio=ratio("copies, bare", ours),
        )  # fmt: skip
        if pfl is not None:
            yield compared(
                metric, rate(ours), "tasks/s",
                baseline="pfl-research", baseline_value=rate("copies, pfl"), ratio=ratio("copies, pfl", ours),
                at_least=3 if kind == "alike" else 1,
            )  # fmt: skip
    for kind in ("alike", "unlike"):
        ours = f"digits, {kind}"
        for other, name, goal in (("bare", "a bare loop", 1.5), ("pfl", "pfl-research", None)):
            if other == "pfl" and pfl is None:
                continue
            yield compared(
                f"digits, whole run, devices {kind}", statistics.median(found[ours]), "s",
                baseline=name, baseline_value=statistics.median(found[f"digits, {other}"]),
                ratio=ratio(ours, f"digits, {other}"), at_most=goal,
            )  # fmt: skip
    yield Row("load of the machine at the end", os.getloadavg()[0], "processes")


def main() -> None:
    parser = arguments("Measure what a simulation in one process takes beyond the training itself.")
    parser.add_argument("--pfl", nargs=2, type=Path, metavar=("PYTHON", "SCRIPT"), help="also run pfl-research")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N", help="5 by default")
    options = parser.parse_args()
    copies, own = ((100, 2), (20, 2)) if options.quick else ((1000, 20), (100, 20))
    pfl = None if options.pfl is None else [str(path) for path in options.pfl]
    known, found = plugins(), defaultdict(list)
    run(Copying, devices(3, digits(), alike), 1, known=known)  # imports
    for _ in range(1 if options.quick else options.repetitions):
        for name, taken_s in measure(known, copies, own, pfl).items():
            found[name].append(taken_s)
    report("Simulation in one process", rows(found, copies, pfl), options.json)


if __name__ == "__main__":
    main()
