"""The time of a training step, as a probe measures it."""

import time
from collections.abc import Callable
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

INPUTS: Final = 64
HIDDEN: Final = 64
CLASSES: Final = 10
BATCH: Final = 32
_WARM_UP: Final = 3
"""Steps that do not count: they wake up threads, and bring memory and code into the caches."""
_Array = NDArray[np.float32]


def measure_sgd_step(seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """Measure the time of one step of stochastic gradient descent, in seconds: the median of many.

    The model is fixed, so that the times of two devices compare: a perceptron with 64 inputs, 64 hidden units (ReLU)
    and 10 classes (softmax, cross entropy), which is 4,810 parameters, and a batch of 32 samples, in float32 with
    NumPy alone: forward, backward, and the change of the weights. So small a model spends most of its time between
    the products, which is what ``cpu_flops`` does not tell.

    Parameters
    ----------
    seconds
        When to stop. One step is made at least, after three that do not count.
    clock
        Tells the time in seconds.
    """
    model = _Model()
    for _ in range(_WARM_UP):
        model.step()
    times: list[float] = []
    now = clock()
    end = now + seconds
    while not times or now < end:
        start = clock()
        model.step()
        now = clock()
        times.append(now - start)
    return median(times)


class _Model:
    """Two layers and a batch; what they hold does not change how long they take."""

    def __init__(self) -> None:
        self.features = _mixed(BATCH, INPUTS)
        self.labels = np.eye(CLASSES, dtype=np.float32)[np.arange(BATCH) % CLASSES]
        self.first = _mixed(INPUTS, HIDDEN) / np.float32(INPUTS**0.5)
        self.second = _mixed(HIDDEN, CLASSES) / np.float32(HIDDEN**0.5)
        self.first_bias = np.zeros(HIDDEN, np.float32)
        self.second_bias = np.zeros(CLASSES, np.float32)

    def loss(self) -> float:
        """Return the cross entropy of the batch."""
        chances = self._forward()[1]
        return float(-np.log(chances[self.labels > 0]).mean())

    def step(self, rate: float = 0.01) -> None:
        """Make one step downhill."""
        hidden, chances = self._forward()
        error = (chances - self.labels) / np.float32(BATCH)
        back = (error @ self.second.T) * (hidden > 0)
        for weights, gradient in (
            (self.second, hidden.T @ error),
            (self.second_bias, error.sum(axis=0)),
            (self.first, self.features.T @ back),
            (self.first_bias, back.sum(axis=0)),
        ):
            weights -= np.float32(rate) * gradient

    def _forward(self) -> tuple[_Array, _Array]:
        hidden = np.maximum(self.features @ self.first + self.first_bias, 0)
        scores = hidden @ self.second + self.second_bias
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return hidden, powers / powers.sum(axis=1, keepdims=True)


def _mixed(rows: int, columns: int) -> _Array:
    """Return numbers of both signs, without numpy.random, which takes 3 MB and which an idle agent does not need."""
    return (2 * np.sin(np.arange(rows * columns, dtype=np.float64) ** 1.5)).reshape(rows, columns).astype(np.float32)
