"""Standardisation without seeing the data: features with a mean of 0 and a variance of 1, group by group.

In an opening round each device tells, of each feature, the sum and the sum of squares over its training samples, as
(sum, count) pairs; the group's mean and deviation become two static tensors of its model. So every model carries its
own, a target model needs nothing beside it, and learners know nothing of all this: `Standardised` stands before them.

Sums are of 64 bits. The variance is the mean of squares less the square of the mean, which loses digits as the mean
grows beyond the deviation: of 16 digits, all but 4 where it is a million times as large.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.learning import Dataset, Fit, FitBudget, Learner, Predictor, StopToken
from tierwise.core.metrics import Metric, Metrics
from tierwise.core.task import Task
from tierwise.core.tiers import Cost
from tierwise.core.weights import Layout, Role, TensorSpec, Weights

MEAN: Final = "standardisation.mean"
DEVIATION: Final = "standardisation.deviation"
"""The static tensors of a model, each of shape ``(n_features,)``."""
_CONSTANT: Final = 1e-12
"""A variance below this part of the mean square is that of a constant feature, and a rounding error."""

_LARGE: Final = 100.0
"""Of features whose root mean square is above, gradient descent with usual steps diverges."""

Features = NDArray[np.float32]


def names_of_sums(features: int) -> tuple[str, ...]:
    """Return the names of what a device tells in the opening round."""
    return tuple(f"{kind}.{number}" for kind in ("sum", "square") for number in range(features))


def describe(data: Dataset) -> Metrics:
    """Sum up each feature, and its square, over all samples."""
    features = data.features.astype(np.float64)
    sums = np.concatenate([features.sum(axis=0), np.square(features).sum(axis=0)])
    return {
        name: Metric(sum=float(value), count=len(features))
        for name, value in zip(names_of_sums(features.shape[1]), sums, strict=True)
    }


def warning_of_large_features(task: Task, data: Dataset) -> str:
    """Return what a device's owner should know before training begins; empty if there is nothing.

    Parameters
    ----------
    task
        With its scale, by which ``data`` is divided already.
    data
        The device's training samples.
    """
    if task.standardise or not len(data):
        return ""
    sizes = np.sqrt(np.square(data.features, dtype=np.float64).mean(axis=0))
    large = int((sizes > _LARGE).sum())
    if not large:
        return ""
    name = task.feature_names[int(sizes.argmax())] if task.feature_names else f"number {int(sizes.argmax())}"
    return (
        f"{large} of {len(sizes)} features have values far above 1, the largest is {name}: training may diverge; "
        "standardise = true in [task] prevents it"
    )


def standardised(model: Weights, sums: Metrics) -> Weights:
    """Return a model whose static tensors are the mean and deviation that the sums give.

    A feature that is the same everywhere, or of no samples at all, is only centred.
    """
    size = model[MEAN].size
    read = [sums[name] for name in names_of_sums(size)]
    mean = np.array([one.mean if one.count else 0.0 for one in read[:size]])
    square = np.array([one.mean if one.count else 0.0 for one in read[size:]])
    variance = square - np.square(mean)
    deviation = np.sqrt(np.where(variance > _CONSTANT * square, variance, 1.0))
    result = model.copy()
    result[MEAN][...] = mean
    result[DEVIATION][...] = deviation
    return result


def with_statics(weights: Weights, features: int) -> Weights:
    """Return a learner's model with the two tensors, which change nothing yet."""
    model = Weights.zeros(extended(weights.layout, features)).replaced(weights)
    model[DEVIATION][...] = 1
    return model


def extended(layout: Layout, features: int) -> Layout:
    """Return a learner's layout with the two tensors."""
    statics = (TensorSpec(name=name, shape=(features,), role=Role.STATIC) for name in (MEAN, DEVIATION))
    return Layout(tuple(sorted((*layout.tensors, *statics), key=lambda tensor: tensor.name)))


def unextended(layout: Layout) -> Layout:
    """Return a layout without the two tensors: the learner's own."""
    return Layout(tuple(tensor for tensor in layout.tensors if tensor.name not in (MEAN, DEVIATION)))


class Standardised:
    """A learner whose features are standardised first, by the static tensors of the model that it is given."""

    def __init__(self, learner: Learner, features: int) -> None:
        self._learner = learner
        self._features = features
        self._layout = extended(learner.layout, features)

    @property
    def layout(self) -> Layout:
        """The learner's tensors, and the two static ones."""
        return self._layout

    @property
    def cost(self) -> Cost:
        """As the learner's: a subtraction and a division for each feature are little beside it."""
        return self._learner.cost

    def initial(self, seed: int) -> Weights:
        """Return untrained weights that change no feature yet."""
        return with_statics(self._learner.initial(seed), self._features)

    def fit(self, weights: Weights, data: Dataset, *, seed: int, budget: FitBudget, stop: StopToken) -> Fit:
        """Train on standardised features; the static tensors stay as they are."""
        fit = self._learner.fit(self._inner(weights), _scaled(weights, data), seed=seed, budget=budget, stop=stop)
        return Fit(weights.replaced(fit.weights), fit.samples)

    def evaluate(self, weights: Weights, data: Dataset) -> Metrics:
        """Measure on standardised features."""
        return self._learner.evaluate(self._inner(weights), _scaled(weights, data))

    def _inner(self, weights: Weights) -> Weights:
        """Return the learner's own tensors, which are not always one piece of the buffer."""
        self._layout.require(weights.layout, "the model")
        inner = Weights.zeros(self._learner.layout)
        for name, view in inner.items():
            view[...] = weights[name]
        return inner


class StandardisedPredictor(Standardised):
    """The same for a learner that predicts."""

    def __init__(self, learner: Learner, predictor: Predictor, features: int) -> None:
        super().__init__(learner, features)
        self._predictor = predictor

    def predict(self, weights: Weights, features: Features) -> Features:
        """Answer for standardised features."""
        return self._predictor.predict(self._inner(weights), _scale(weights, features))


def standardising(learner: Learner, features: int) -> Learner:
    """Put standardisation before a learner; it predicts if the learner does."""
    if isinstance(learner, Predictor):
        return StandardisedPredictor(learner, learner, features)
    return Standardised(learner, features)


def _scaled(weights: Weights, data: Dataset) -> Dataset:
    return Dataset(_scale(weights, data.features), data.labels)


def _scale(weights: Weights, features: Features) -> Features:
    return (features - weights[MEAN]) / weights[DEVIATION]
