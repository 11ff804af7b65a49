"""scikit-learn's learners beside the built-in one in NumPy, on one thread: the same fit, the same evaluation.

Each trains one epoch of 500 samples with 64 features and 10 classes, in minibatches of 10 and of 50. `sklearn-mlp`
does the arithmetic that `mlp` does (a test compares the weights), so what it takes longer is what ``partial_fit`` does
around it for each minibatch. `sklearn-linear` takes a step for each sample, and stands beside a softmax regression.

Every repetition runs them all, one after the other, and ratios are medians over repetitions, so that a machine whose
speed wanders does not decide the result.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from report import Row, arguments, compared, report

from tierwise.core.learning import Dataset, FitBudget, Learner, StopToken
from tierwise.core.task import Task
from tierwise.plugins import Plugins

TASK = Task(name="made-up", features=64, classes=tuple("0123456789"))
SAMPLES = 500
Options = dict[str, object]
NETWORKS = (("32", [32]), ("512", [512]), ("256 x 256", [256, 256]))
CASES: tuple[tuple[str, str, Options, Options], ...] = (
    *(
        ("sklearn-mlp", f"{label}, minibatches of {batch}", {"hidden": hidden, "batch_size": batch}, {})
        for label, hidden in NETWORKS
        for batch in (10, 50)
    ),
    ("sklearn-linear", "a step for each sample", {}, {"hidden": [], "batch_size": 10}),
)


def made_up() -> Dataset:
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, SAMPLES)
    centres = random.normal(size=(10, TASK.features))
    return Dataset((centres[labels] + random.normal(size=(SAMPLES, TASK.features))).astype(np.float32), labels)


def fit(learner: Learner, data: Dataset) -> Callable[[], object]:
    start, budget = learner.initial(0), FitBudget(epochs=1, max_samples=SAMPLES)
    return lambda: learner.fit(start, data, seed=0, budget=budget, stop=StopToken())


def evaluate(learner: Learner, data: Dataset) -> Callable[[], object]:
    weights = learner.initial(0)
    return lambda: learner.evaluate(weights, data)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(name: str, case: str, options: Options, other: Options, repetitions: int) -> Iterator[Row]:
    plugins, data = Plugins.discover(), made_up()
    ours = plugins.learner(name, options, TASK)
    numpy = plugins.learner("mlp", other or options, TASK)
    for what, work in (("fit", fit), ("evaluation", evaluate)):
        one, two = work(ours, data), work(numpy, data)
        one(), two()  # imports, and touches every page, before anything is timed
        pairs = [(seconds(one), seconds(two)) for _ in range(repetitions)]
        yield compared(
            f"{what} of {name}, {case}",
            1e3 * statistics.median(a for a, _ in pairs),
            "ms",
            baseline="mlp",
            baseline_value=1e3 * statistics.median(b for _, b in pairs),
            ratio=statistics.median(a / b for a, b in pairs),
        )


def main() -> None:
    options = arguments("Measure scikit-learn's learners beside the built-in one.").parse_args()
    cases = CASES[::3] if options.quick else CASES
    rows = [row for case in cases for row in measure(*case, repetitions=3 if options.quick else 15)]
    report(f"Learners, {SAMPLES} samples", rows, options.json)


if __name__ == "__main__":
    main()
