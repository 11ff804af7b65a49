"""The multi-layer perceptrons of scikit-learn."""

from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.framing import frame
from tierwise.core.learning import Dataset, Fit, FitBudget, StopToken
from tierwise.core.metrics import Metrics
from tierwise.core.task import Task
from tierwise.core.tiers import Cost
from tierwise.core.weights import Layout, Weights
from tierwise.plugins.learners._head import Head, of_each_class, of_the_second_class
from tierwise.plugins.learners._network import initial_weights, network_layout, outputs_of
from tierwise.plugins.learners._partial_fit import train

_STEP_FLOPS: Final = {"sgd": 9, "adam": 17}
"""Operations for each parameter in a minibatch: 5 for the penalty and the mean, 4 or 12 for the step."""
_COPIES: Final = {"sgd": 7, "adam": 10}
"""How many times the model is in memory: as it came, in training, its gradient, and what the solver makes."""


class SklearnMlpOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `SklearnMlpLearner`.

    Attributes
    ----------
    hidden
        Units of each hidden layer, from the features to the outputs; none makes a softmax or a linear regression.
    solver
        ``sgd``: plain gradient descent, without momentum. ``adam``: Kingma and Ba 2015, "Adam: A Method for Stochastic
        Optimization", https://arxiv.org/abs/1412.6980; its moments start from zero in each fit, since a device keeps
        nothing between two rounds.
    learning_rate
        Step size, the same for all steps (``learning_rate_init``); for ``adam`` 0.001 to 0.01 is usual.
    batch_size
        Samples in a minibatch; the last one of an epoch, and of a budget, may have fewer.
    l2
        Strength of the penalty on the squares of the weights (``alpha``, which scikit-learn divides by the samples of
        the minibatch).
    target_centre, target_scale
        Of a regression: what is learned is ``(target - target_centre) / target_scale``. Training needs numbers of
        about -3 to 3, so for targets of other sizes give about their mean and their standard deviation, in the target's
        unit: round numbers that you know without seeing a device's data. Predictions and metrics stay in that unit.
    """

    hidden: tuple[Annotated[int, msgspec.Meta(ge=1)], ...] = (32,)
    solver: Literal["sgd", "adam"] = "sgd"
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 10
    l2: Annotated[float, msgspec.Meta(ge=0)] = 0.0001
    target_centre: float = 0.0
    target_scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class SklearnMlpLearner:
    """``MLPClassifier`` or ``MLPRegressor`` with rectified linear units. Labels are hard or soft.

    Its tensors are those of the learner ``mlp``, so that either goes on from a model of the other; only for two classes
    scikit-learn has one output, and ``mlp`` two.

    Raises
    ------
    ConfigurationError
        If the task wants a metric that this learner cannot measure, or a target's unit is given for a classification.
    """

    def __init__(self, options: SklearnMlpOptions, task: Task) -> None:
        self._options = options
        self._classes = len(task.classes)
        self._head = Head(
            "sklearn-mlp",
            task,
            centre=options.target_centre,
            scale=options.target_scale,
            logits=of_the_second_class if self._classes == 2 else of_each_class,
        )
        self._sizes = (task.features, *options.hidden, self._classes if self._classes > 2 else 1)
        self._layout = network_layout(self._sizes)

    @property
    def layout(self) -> Layout:
        """One tensor ``<layer>.weight`` of shape ``(inputs, outputs)`` and one ``<layer>.bias`` for each layer."""
        return self._layout

    @property
    def cost(self) -> Cost:
        """What the model asks of a device.

        A forward pass takes a multiplication and an addition for each weight, a backward pass twice that; and each
        minibatch takes a step. Memory is that of the model, of the gradient and what the solver makes of it, and of a
        minibatch with all activations (soft labels take as many times of those as a label has classes). Not in it are
        the device's data, scikit-learn itself (about 100 MB), and what it checks at each minibatch: with small models
        and small minibatches that is most of the time, see ``benchmarks/learners.py``.
        """
        products = sum(a * b for a, b in pairwise(self._sizes))
        size, options = self._layout.size, self._options
        return Cost(
            parameters=size,
            fit_flops_per_sample=6.0 * products + _STEP_FLOPS[options.solver] * size / options.batch_size,
            evaluate_flops_per_sample=2.0 * products,
            bytes=sum(len(part) for part in frame(Weights.zeros(self._layout))),
            memory_bytes=4 * (_COPIES[options.solver] * size + options.batch_size * 3 * sum(self._sizes)),
        )

    def initial(self, seed: int) -> Weights:
        """Draw weights from a normal distribution of variance ``2 / inputs``; biases are zero.

        He et al. 2015, "Delving Deep into Rectifiers", https://arxiv.org/abs/1502.01852, equation 10.
        """
        return initial_weights(self._sizes, seed)

    def estimator(self, weights: Weights) -> Any:
        """Return the scikit-learn estimator with these weights; a regression's is in the scaled unit."""
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        self._layout.require(weights.layout, "the model to train")
        options, nothing = self._options, np.zeros((1, self._sizes[0]), np.float32)
        made = (MLPRegressor if self._head.numbers else MLPClassifier)(
            hidden_layer_sizes=options.hidden,
            solver=options.solver,
            alpha=options.l2,
            batch_size=1,
            learning_rate_init=options.learning_rate,
            shuffle=False,
            random_state=0,
            momentum=0.0,
            nesterovs_momentum=False,
        )
        # The first call makes all that an estimator has; what it learned is replaced.
        if self._head.numbers:
            made.partial_fit(nothing, np.zeros(1, np.float32))
        else:
            made.partial_fit(nothing, np.zeros(1, np.int64), classes=np.arange(self._classes))
        layers = range(len(self._sizes) - 1)
        tensors = [view.copy() for _, view in weights.items()]  # a bias, its weight, and so on from layer to layer
        made.coefs_ = [tensors[2 * layer + 1] for layer in layers]
        made.intercepts_ = [tensors[2 * layer] for layer in layers]
        made.t_, made.n_iter_, made.loss_curve_, made.best_loss_ = 0, 0, [], np.inf
        del made._optimizer  # noqa: SLF001  (the next call makes a new one, for these weights; there is no public way)
        return made

    def fit(self, weights: Weights, data: Dataset, *, seed: int, budget: FitBudget, stop: StopToken) -> Fit:
        """Train from ``weights``; samples are shuffled anew, from ``seed``, in each epoch.

        Raises
        ------
        FitStopped
            Before the next minibatch after ``stop`` was told to.
        LayoutError
            If ``weights`` have another layout.
        ValueError
            If there are no samples, or they do not have the task's features and labels; or if the model diverges.
        """
        self._head.require(data)
        estimator = self.estimator(weights)
        train(estimator, self._head, data, self._options.batch_size, seed=seed, budget=budget, stop=stop)
        parts = [part.ravel() for layer in zip(estimator.intercepts_, estimator.coefs_, strict=True) for part in layer]
        return Fit(Weights(self._layout, np.concatenate(parts).astype(np.float32, copy=False)), len(data))

    def evaluate(self, weights: Weights, data: Dataset) -> Metrics:
        """Measure the task's metrics, as `tierwise.core.measuring` does."""
        self._layout.require(weights.layout, "the model to evaluate")
        self._head.require(data)
        return self._head.measure(outputs_of(self._sizes, weights, data.features), data.labels)

    def predict(self, weights: Weights, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities, shape ``(n_samples, n_classes)``; of a regression numbers, shape ``(n_samples,)``."""
        self._layout.require(weights.layout, "the model to predict with")
        return self._head.predict(outputs_of(self._sizes, weights, features))
