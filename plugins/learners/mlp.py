"""A compact multi-layer perceptron in NumPy, for boards that carry neither scikit-learn nor PyTorch."""

from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.framing import frame
from tierwise.core.learning import Dataset, Fit, FitBudget, StopToken
from tierwise.core.metrics import Metrics
from tierwise.core.task import Task
from tierwise.core.tiers import Cost
from tierwise.core.weights import Buffer, Layout, Weights
from tierwise.plugins.learners._head import Head
from tierwise.plugins.learners._network import (
    Scratch,
    affine_matrices,
    compute_step,
    identity,
    initial_weights,
    inputs_for,
    network_layout,
    outputs_of,
    softmax,
)


class MlpOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `MlpLearner`.

    Attributes
    ----------
    hidden
        Units of each hidden layer, from the features to the outputs; none makes a softmax or a linear regression.
    learning_rate
        Step size of the gradient descent, the same for all steps.
    batch_size
        Samples in a minibatch; the last one of an epoch, and of a budget, may have fewer.
    proximal
        FedProx's mu: each step also pulls towards the model that the device received, with this strength (the gradient
        gets ``proximal`` times the distance), so that devices with unlike data drift less far apart. 0 for none; less
        than ``1 / learning_rate``, or the pull alone makes training diverge. Li et al. 2020, "Federated Optimization
        in Heterogeneous Networks", https://arxiv.org/abs/1812.06127, equation 2.
    target_centre, target_scale
        Of a regression: what is learned is ``(target - target_centre) / target_scale``. Training needs numbers of
        about -3 to 3, so for targets of other sizes give about their mean and their standard deviation, in the target's
        unit: round numbers that you know without seeing a device's data. Predictions and metrics stay in that unit.
    """

    hidden: tuple[Annotated[int, msgspec.Meta(ge=1)], ...] = (32,)
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 10
    proximal: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    target_centre: float = 0.0
    target_scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class MlpLearner:
    """Rectified linear units, plain minibatch gradient descent.

    A classification has softmax outputs and cross-entropy; its labels are hard or soft, and hard ones are the soft ones
    that put everything on one class, to the last bit. A regression has one linear output and half the squared error.
    A model that diverges is returned as it is, with values that are not finite: who receives it refuses it.

    Raises
    ------
    ConfigurationError
        If the task wants a metric that this learner cannot measure, or a target's unit is given for a classification.
    """

    def __init__(self, options: MlpOptions, task: Task) -> None:
        self._head = Head("mlp", task, centre=options.target_centre, scale=options.target_scale)
        self._options = options
        self._sizes = (task.features, *options.hidden, task.outputs)
        self._layout = network_layout(self._sizes)
        self._cost = self._price()

    @property
    def layout(self) -> Layout:
        """One tensor ``<layer>.weight`` of shape ``(inputs, outputs)`` and one ``<layer>.bias`` for each layer."""
        return self._layout

    @property
    def cost(self) -> Cost:
        """What the model asks of a device.

        A forward pass takes a multiplication and an addition for each weight, a backward pass twice that; the proximal
        term takes four operations for each parameter in a minibatch. Memory is that of the model as it came, the model
        in training, its step, and of the proximal term; and of a minibatch with all activations. The device's data,
        and the interpreter, are not in it.
        """
        return self._cost

    def _price(self) -> Cost:
        inputs, *hidden, outputs = self._sizes
        products = sum(a * b for a, b in pairwise(self._sizes))
        per_sample = (inputs + 1) + 2 * sum(size + 1 for size in hidden) + 2 * outputs + 1
        pull = 4 * self._layout.size if self._options.proximal else 0
        return Cost(
            parameters=self._layout.size,
            fit_flops_per_sample=6.0 * products + pull / self._options.batch_size,
            evaluate_flops_per_sample=2.0 * products,
            bytes=sum(len(part) for part in frame(Weights.zeros(self._layout))),
            memory_bytes=4 * (3 * self._layout.size + self._options.batch_size * per_sample) + pull,
        )

    def initial(self, seed: int) -> Weights:
        """Draw weights from a normal distribution of variance ``2 / inputs``; biases are zero.

        He et al. 2015, "Delving Deep into Rectifiers", https://arxiv.org/abs/1502.01852, equation 10.
        """
        return initial_weights(self._sizes, seed)

    def fit(self, weights: Weights, data: Dataset, *, seed: int, budget: FitBudget, stop: StopToken) -> Fit:
        """Train from ``weights``; samples are shuffled anew, from ``seed``, in each epoch.

        Raises
        ------
        FitStopped
            Before the next minibatch after ``stop`` was told to.
        LayoutError
            If ``weights`` have another layout.
        ValueError
            If there are no samples, or they do not have the task's features and labels.
        """
        self._layout.require(weights.layout, "the model to train")
        self._head.require(data)
        if not len(data):
            raise ValueError("the training set is empty: a device needs at least one sample to train on")
        trained = weights.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            self._descend(trained.buffer, weights.buffer, data, np.random.default_rng(seed), budget, stop)
        return Fit(trained, len(data))

    def _descend(
        self,
        buffer: Buffer,
        received: Buffer,
        data: Dataset,
        random: np.random.Generator,
        budget: FitBudget,
        stop: StopToken,
    ) -> None:
        """Train in ``buffer``. This is the hot path: what can be made before the loops is."""
        available, left = len(data), budget.samples(len(data))
        rate = self._options.learning_rate
        batch = min(budget.batch_size or self._options.batch_size, available)
        step = np.empty_like(buffer)
        matrices, steps = affine_matrices(self._sizes, buffer), affine_matrices(self._sizes, step)
        inputs = inputs_for(min(left, available), self._sizes[0])
        targets = np.empty((len(inputs), self._sizes[-1]), np.float32)
        full, answer = Scratch.of(self._sizes, batch), identity if self._head.numbers else softmax
        pull, strength = np.empty_like(buffer) if self._options.proximal else None, rate * self._options.proximal
        while left > 0:
            end = min(left, available)
            # An epoch's samples are gathered in their order at once, so that a minibatch is a slice.
            order = random.permutation(available)[:end]
            inputs[:end, 1:] = data.features[order]
            self._head.spread(data.labels[order], targets[:end])
            for first in range(0, end, batch):
                stop.check()
                last = min(first + batch, end)
                scratch = full if last - first == batch else full.cut(last - first)
                compute_step(matrices, inputs[first:last], targets[first:last], rate, answer, scratch, steps)
                if pull is not None:
                    np.subtract(buffer, received, pull)
                    np.multiply(pull, strength, pull)
                    np.add(step, pull, step)
                np.subtract(buffer, step, buffer)
            left -= end

    def evaluate(self, weights: Weights, data: Dataset) -> Metrics:
        """Measure the task's metrics, as `tierwise.core.measuring` does."""
        self._layout.require(weights.layout, "the model to evaluate")
        self._head.require(data)
        return self._head.measure(outputs_of(self._sizes, weights, data.features), data.labels)

    def predict(self, weights: Weights, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities, shape ``(n_samples, n_classes)``; of a regression numbers, shape ``(n_samples,)``."""
        self._layout.require(weights.layout, "the model to predict with")
        return self._head.predict(outputs_of(self._sizes, weights, features))
