"""A compact multi-layer perceptron in NumPy, for boards that carry neither scikit-learn nor PyTorch."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.framing import frame
from tierwise.core.learning import Dataset, Fit, FitBudget, StopToken
from tierwise.core.measuring import check_metrics, measure_classes
from tierwise.core.metrics import Metrics, add_metrics
from tierwise.core.task import Task
from tierwise.core.tiers import Cost
from tierwise.core.weights import Buffer, Layout, Weights
from tierwise.plugins.learners._network import (
    Scratch,
    affine_matrices,
    compute_step,
    forward,
    network_layout,
    shift_logits,
    spread_labels,
)

_AT_ONCE: Final = 512
"""Samples of one forward pass: bounds the memory of an evaluation whatever the size of the hold-out."""


class MlpOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `MlpLearner`.

    Attributes
    ----------
    hidden
        Units of each hidden layer, from the features to the classes; none makes a softmax regression.
    learning_rate
        Step size of the gradient descent, the same for all steps.
    batch_size
        Samples in a minibatch; the last one of an epoch, and of a budget, may have fewer.
    """

    hidden: tuple[Annotated[int, msgspec.Meta(ge=1)], ...] = (32,)
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 10


class MlpLearner:
    """Rectified linear units, softmax, cross-entropy, plain minibatch gradient descent.

    Labels are hard or soft; hard ones are the soft ones that put everything on one class, to the last bit. A model
    that diverges is returned as it is, with values that are not finite: who receives it refuses it.

    Raises
    ------
    ConfigurationError
        If the task wants a metric that this learner cannot measure.
    """

    def __init__(self, options: MlpOptions, task: Task) -> None:
        check_metrics(task, "mlp")
        self._options = options
        self._task = task
        self._sizes = (task.features, *options.hidden, len(task.classes))
        self._layout = network_layout(self._sizes)
        self._cost = self._price()

    @property
    def layout(self) -> Layout:
        """One tensor ``<layer>.weight`` of shape ``(inputs, outputs)`` and one ``<layer>.bias`` for each layer."""
        return self._layout

    @property
    def cost(self) -> Cost:
        """What the model asks of a device.

        A forward pass takes a multiplication and an addition for each weight, a backward pass twice that. Memory
        is that of the model as it came, the model in training and its step, and of a minibatch with all
        activations; the device's data, and the interpreter, are not in it.
        """
        return self._cost

    def _price(self) -> Cost:
        inputs, *hidden, classes = self._sizes
        products = sum(a * b for a, b in pairwise(self._sizes))
        per_sample = (inputs + 1) + 2 * sum(size + 1 for size in hidden) + 2 * classes + 1
        return Cost(
            parameters=self._layout.size,
            fit_flops_per_sample=6.0 * products,
            evaluate_flops_per_sample=2.0 * products,
            bytes=sum(len(part) for part in frame(Weights.zeros(self._layout))),
            memory_bytes=4 * (3 * self._layout.size + self._options.batch_size * per_sample),
        )

    def initial(self, seed: int) -> Weights:
        """Draw weights from a normal distribution of variance ``2 / inputs``; biases are zero.

        He et al. 2015, "Delving Deep into Rectifiers", https://arxiv.org/abs/1502.01852, equation 10.
        """
        random = np.random.default_rng(seed)
        weights = Weights.zeros(self._layout)
        for matrix in affine_matrices(self._sizes, weights.buffer):
            inputs = len(matrix) - 1
            matrix[1:] = random.standard_normal((inputs, matrix.shape[1]), np.float32)
            matrix[1:] *= np.float32(np.sqrt(2 / inputs))
        return weights

    def fit(self, weights: Weights, data: Dataset, *, seed: int, budget: FitBudget, stop: StopToken) -> Fit:
        """Train from ``weights``; samples are shuffled anew, from ``seed``, in each epoch.

        Raises
        ------
        FitStopped
            Before the next minibatch after ``stop`` was told to.
        LayoutError
            If ``weights`` have another layout.
        ValueError
            If there are no samples, or they do not have the task's features and classes.
        """
        self._require(weights, data, "the model to train")
        if not len(data):
            raise ValueError("the training set is empty: a device needs at least one sample to train on")
        trained = weights.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            self._descend(trained.buffer, data, np.random.default_rng(seed), budget, stop)
        return Fit(trained, len(data))

    def _descend(
        self, buffer: Buffer, data: Dataset, random: np.random.Generator, budget: FitBudget, stop: StopToken
    ) -> None:
        """Train in ``buffer``. This is the hot path: what can be made before the loops is."""
        available, left = len(data), budget.samples(len(data))
        rate, batch = self._options.learning_rate, min(self._options.batch_size, available)
        step = np.empty_like(buffer)
        matrices, steps = affine_matrices(self._sizes, buffer), affine_matrices(self._sizes, step)
        inputs, targets = self._arrays(min(left, available))
        full = Scratch.of(self._sizes, batch)
        while left > 0:
            end = min(left, available)
            # An epoch's samples are gathered in their order at once, so that a minibatch is a slice.
            order = random.permutation(available)[:end]
            inputs[:end, 1:] = data.features[order]
            spread_labels(data.labels[order], targets[:end])
            for first in range(0, end, batch):
                stop.check()
                last = min(first + batch, end)
                scratch = full if last - first == batch else full.cut(last - first)
                compute_step(matrices, inputs[first:last], targets[first:last], rate, scratch, steps)
                np.subtract(buffer, step, buffer)
            left -= end

    def evaluate(self, weights: Weights, data: Dataset) -> Metrics:
        """Measure the task's metrics, as `tierwise.core.measuring.measure_classes` does."""
        self._require(weights, data, "the model to evaluate")
        blocks = range(0, max(len(data), 1), _AT_ONCE)
        parts = (slice(first, first + _AT_ONCE) for first in blocks)
        logits = self._logits(weights, data.features)
        with np.errstate(over="ignore", invalid="ignore"):
            return add_metrics(measure_classes(self._task.metrics, next(logits), data.labels[part]) for part in parts)

    def predict(self, weights: Weights, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities, shape ``(n_samples, n_classes)``."""
        self._layout.require(weights.layout, "the model to predict with")
        answers = [np.exp(logits) for logits in self._logits(weights, features)]
        return np.concatenate([answer / answer.sum(1, keepdims=True) for answer in answers])

    def _logits(self, weights: Weights, features: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Yield the logits of a block of samples after the other, at least one block; each is valid until the next."""
        matrices = affine_matrices(self._sizes, weights.buffer)
        at_once = min(len(features), _AT_ONCE)
        scratch, (inputs, _) = Scratch.of(self._sizes, at_once), self._arrays(at_once)
        for first in range(0, max(len(features), 1), _AT_ONCE):
            block = features[first : first + _AT_ONCE]
            part = scratch.cut(len(block))
            inputs[: len(block), 1:] = block
            with np.errstate(over="ignore", invalid="ignore"):
                forward(matrices, inputs[: len(block)], part)
                shift_logits(part)
            yield part.logits

    def _arrays(self, samples: int) -> tuple[Buffer, Buffer]:
        """Return arrays for inputs, with their leading ones, and for targets."""
        inputs = np.empty((samples, self._sizes[0] + 1), np.float32)
        inputs[:, 0] = 1
        return inputs, np.empty((samples, self._sizes[-1]), np.float32)

    def _require(self, weights: Weights, data: Dataset, subject: str) -> None:
        """Raise an error that names the difference if the model or the data are not those of the task."""
        self._layout.require(weights.layout, subject)
        task, samples, classes = self._task.name, len(data), self._sizes[-1]
        if data.features.shape != (samples, self._sizes[0]):
            raise ValueError(
                f"features have shape {data.features.shape}, task {task!r} expects (n_samples, {self._sizes[0]})"
            )
        hard = data.labels.dtype == np.int64 and data.labels.shape == (samples,)
        if not hard and not (data.labels.dtype == np.float32 and data.labels.shape == (samples, classes)):
            raise ValueError(
                f"labels have shape {data.labels.shape} and dtype {data.labels.dtype}, "
                f"task {task!r} expects ({samples},) int64 or ({samples}, {classes}) float32"
            )
        # One pass for both bounds: a negative number is huge when its sign is read as a part of it.
        if hard and samples and data.labels.view(np.uint64).max() >= classes:
            wrong = data.labels[(data.labels < 0) | (data.labels >= classes)][0]
            raise ValueError(f"a label is {wrong}, task {task!r} has classes 0 to {classes - 1}")
