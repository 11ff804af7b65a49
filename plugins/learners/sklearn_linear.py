"""Linear models of scikit-learn, trained by stochastic gradient descent."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.framing import frame
from tierwise.core.learning import Dataset, Fit, FitBudget, StopToken
from tierwise.core.metrics import Metrics
from tierwise.core.task import Task
from tierwise.core.tiers import Cost
from tierwise.core.weights import Buffer, Layout, Weights
from tierwise.plugins.learners._head import Head, of_the_second_class, one_against_the_rest
from tierwise.plugins.learners._partial_fit import train

_AT_ONCE: Final = 128
"""Samples of one call: the estimator takes a step for each sample, so this only bounds memory and the wait to stop."""


class SklearnLinearOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `SklearnLinearLearner`.

    Attributes
    ----------
    learning_rate
        Step size, the same for all steps (``eta0``); a step is taken for each sample.
    l2
        Strength of the penalty on the squares of the coefficients (``alpha``).
    target_centre, target_scale
        Of a regression: what is learned is ``(target - target_centre) / target_scale``. Training needs numbers of
        about -3 to 3, so for targets of other sizes give about their mean and their standard deviation, in the target's
        unit: round numbers that you know without seeing a device's data. Predictions and metrics stay in that unit.
    """

    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 0.01
    l2: Annotated[float, msgspec.Meta(ge=0)] = 0.0001
    target_centre: float = 0.0
    target_scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class SklearnLinearLearner:
    """A logistic regression (``SGDClassifier``, log loss) or a linear one (``SGDRegressor``, squared error).

    With three classes or more it is one logistic regression for each, against all others. Labels are hard or soft.

    Raises
    ------
    ConfigurationError
        If the task wants a metric that this learner cannot measure, or a target's unit is given for a classification.
    """

    def __init__(self, options: SklearnLinearOptions, task: Task) -> None:
        self._options = options
        self._classes = len(task.classes)
        self._head = Head(
            "sklearn-linear",
            task,
            centre=options.target_centre,
            scale=options.target_scale,
            logits=of_the_second_class if self._classes == 2 else one_against_the_rest,
        )
        outputs = self._classes if self._classes > 2 else 1
        self._layout = Layout.of({"coef": (outputs, task.features), "intercept": (outputs,)})

    @property
    def layout(self) -> Layout:
        """``coef`` of shape ``(outputs, features)`` and ``intercept``; one output for a number, or for two classes."""
        return self._layout

    @property
    def cost(self) -> Cost:
        """What the model asks of a device.

        A sample takes a multiplication and an addition for each coefficient, and as many again for its step. Memory is
        that of the model as it came, in training, and as a result, and of the samples of two calls (soft labels take as
        many times of those as a label has classes); the device's data, and scikit-learn itself (about 100 MB), are not
        in it.
        """
        outputs, features = self._layout.tensors[0].shape
        return Cost(
            parameters=self._layout.size,
            fit_flops_per_sample=4.0 * outputs * features,
            evaluate_flops_per_sample=2.0 * outputs * features,
            bytes=sum(len(part) for part in frame(Weights.zeros(self._layout))),
            memory_bytes=4 * (3 * self._layout.size + 2 * _AT_ONCE * (features + 4)),
        )

    def initial(self, seed: int) -> Weights:  # noqa: ARG002  (nothing is drawn)
        """Return zeros, from which the best linear model can be reached as well as from anywhere."""
        return Weights.zeros(self._layout)

    def estimator(self, weights: Weights) -> Any:
        """Return the scikit-learn estimator with these weights; a regression's is in the scaled unit."""
        from sklearn.linear_model import SGDClassifier, SGDRegressor

        self._layout.require(weights.layout, "the model to train")
        options = self._options
        given = {"alpha": options.l2, "eta0": options.learning_rate, "learning_rate": "constant", "shuffle": False}
        if self._head.numbers:
            made = SGDRegressor(loss="squared_error", random_state=0, **given)
        else:
            made = SGDClassifier(loss="log_loss", random_state=0, **given)
            made.classes_ = np.arange(self._classes)
        coef, intercept = weights["coef"].copy(), weights["intercept"].copy()
        made.coef_, made.intercept_ = coef[0] if self._head.numbers else coef, intercept
        made.t_ = 1.0
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
        train(estimator, self._head, data, _AT_ONCE, seed=seed, budget=budget, stop=stop)
        trained = Weights.zeros(self._layout)
        trained["coef"][...] = estimator.coef_
        trained["intercept"][...] = estimator.intercept_
        return Fit(trained, len(data))

    def evaluate(self, weights: Weights, data: Dataset) -> Metrics:
        """Measure the task's metrics, as `tierwise.core.measuring` does."""
        self._head.require(data)
        return self._head.measure(self._outputs(weights, data.features), data.labels)

    def predict(self, weights: Weights, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities, shape ``(n_samples, n_classes)``; of a regression numbers, shape ``(n_samples,)``."""
        return self._head.predict(self._outputs(weights, features))

    def _outputs(self, weights: Weights, features: NDArray[np.float32]) -> Iterator[Buffer]:
        self._layout.require(weights.layout, "the model to predict with")
        for first in range(0, max(len(features), 1), _AT_ONCE):
            yield features[first : first + _AT_ONCE] @ weights["coef"].T + weights["intercept"]
