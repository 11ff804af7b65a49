"""What the tests of both learners of scikit-learn share."""

import tracemalloc
from typing import Any

import numpy as np

from tierwise.core.learning import Dataset, FitBudget, StopToken
from tierwise.core.task import Loss, Task
from tierwise.core.weights import Weights

TWO = Task(name="toy", features=5, classes=("a", "b"))
THREE = Task(name="toy", features=5, classes=("a", "b", "c"))
NUMBERS = Task(name="toy", features=5, loss=Loss.SQUARED_ERROR)
TASKS = [TWO, THREE, NUMBERS]


def samples_of(task: Task, count: int, *, soft: bool = False, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, task.features)).astype(np.float32)
    if not task.classes:
        return Dataset(features, (np.abs(features[:, 0]) + features[:, 1]).astype(np.float32))
    if soft:
        return Dataset(features, random.dirichlet(np.ones(len(task.classes)), count).astype(np.float32))
    return Dataset(features, random.integers(0, len(task.classes), count))


def one_hot(data: Dataset, task: Task) -> Dataset:
    return Dataset(data.features, np.eye(len(task.classes), dtype=np.float32)[data.labels])


def fit(
    learner: Any, start: Weights, data: Dataset, *, epochs: int = 1, max_samples: int = 10**6, stop: Any = None
) -> Weights:
    budget = FitBudget(epochs=epochs, max_samples=max_samples)
    return learner.fit(start, data, seed=5, budget=budget, stop=stop or StopToken()).weights


class CountingToken(StopToken):
    """Counts the checks."""

    checks = 0

    def check(self) -> None:
        self.checks += 1
        super().check()


def peak_of_a_fit(learner: Any, task: Task) -> int:
    """Return the bytes that a fit has at the most, the received model with it."""
    start, data = learner.initial(0), samples_of(task, 300)
    fit(learner, start, data)  # what is imported and cached stays
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        fit(learner, start, data)
        return tracemalloc.get_traced_memory()[1] - before + start.buffer.nbytes
    finally:
        tracemalloc.stop()
