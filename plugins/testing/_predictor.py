"""The laws of learners that predict, and so can teach and be taught. Who does not predict keeps them all."""

# A law's docstring states the law or its reason; it takes all that the check was given.
# ruff: noqa: ARG001, D401

from collections.abc import Iterator
from functools import wraps
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.learning import Dataset, FitBudget, Learner, Predictor, StopToken
from tierwise.core.measuring import measure_classes, measure_numbers
from tierwise.core.task import Loss, Task
from tierwise.core.weights import Weights
from tierwise.plugins.testing._laws import Law, frozen, same

_TOLERANCE: Final = 1e-4
"""Of the sum of a distribution that was computed in float32."""


def _of_predictors(law: Law) -> Law:
    @wraps(law)
    def only_where_it_predicts(learner: Learner, task: Task, data: Dataset) -> str | None:
        return law(learner, task, data) if isinstance(learner, Predictor) else None

    return only_where_it_predicts


def _received(learner: Learner, seed: int = 1) -> Weights:
    weights = learner.initial(seed)
    return Weights(weights.layout, frozen(weights.buffer))


def _trained(learner: Learner, data: Dataset) -> Weights:
    """Train for a while, so that answers differ from each other."""
    budget = FitBudget(epochs=8, max_samples=8 * len(data))
    trained = learner.fit(_received(learner), data, seed=5, budget=budget, stop=StopToken()).weights
    return Weights(trained.layout, frozen(trained.buffer))


def _answers(learner: Predictor, weights: Weights, features: NDArray[np.float32]) -> NDArray[np.float32]:
    return learner.predict(weights, features)


@_of_predictors
def predictions_have_the_form_of_the_task(learner: Learner, task: Task, data: Dataset) -> str | None:
    """Finite float32 numbers: a distribution over the classes for each sample, or one number for each."""
    assert isinstance(learner, Predictor)
    weights = _trained(learner, data)
    for count in (len(data), 7, 1, 0):
        found = _answers(learner, weights, data.features[:count])
        shape = (count,) if task.loss is Loss.SQUARED_ERROR else (count, len(task.classes))
        if found.shape != shape or found.dtype != np.float32:
            return (
                f"the predictions for {count} samples have shape {found.shape} and dtype {found.dtype}, "
                f"expected {shape} and float32"
            )
        if not np.isfinite(found).all():
            return "predictions have values that are not finite"
        if task.loss is not Loss.SQUARED_ERROR and not _distributions(found):
            return f"a row of the predictions is no distribution: {found[~_sound(found)][0]}"
    return None


def _sound(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray((rows >= 0).all(axis=1) & (abs(rows.sum(axis=1) - 1) < _TOLERANCE))


def _distributions(rows: NDArray[np.float32]) -> bool:
    return bool(_sound(rows).all())


@_of_predictors
def predict_is_pure(learner: Learner, task: Task, data: Dataset) -> str | None:
    """It changes nothing, and the same weights and features give the same bytes, whatever was done before."""
    assert isinstance(learner, Predictor)
    weights, features = learner.initial(1).copy(), data.features.copy()
    first = _answers(learner, weights, features).copy()
    if weights != learner.initial(1) or not same(features, data.features):
        return "the weights or the features that were given have changed"
    _answers(learner, _trained(learner, data), data.features[:5])
    again = _answers(learner, _received(learner), data.features)
    return None if same(first, again) else "the same weights and features give other predictions the second time"


@_of_predictors
def predictions_agree_with_evaluate(learner: Learner, task: Task, data: Dataset) -> str | None:
    """The metrics of the predictions are those that the learner reports: both are of one model."""
    assert isinstance(learner, Predictor)
    for weights in (_received(learner), _trained(learner, data)):
        found = _answers(learner, weights, data.features)
        reported = learner.evaluate(weights, data)
        for name, expected in _measured(task, found, data):
            if not np.isclose(reported[name].sum, expected, rtol=1e-3, atol=1e-3):
                return f"{name!r} of the predictions sums up to {expected:g}, evaluate() says {reported[name].sum:g}"
    return None


def _measured(task: Task, found: NDArray[np.float32], data: Dataset) -> Iterator[tuple[str, float]]:
    """Measure what does not depend on how a probability near 0 is rounded."""
    if task.loss is Loss.SQUARED_ERROR:
        names = [name for name in task.metrics if name in ("mae", "rmse")]
        measured = measure_numbers(names, found, np.asarray(data.labels, np.float32))
    else:
        names = [name for name in task.metrics if name == "accuracy"]
        measured = measure_classes(names, found, data.labels)
    yield from ((name, metric.sum) for name, metric in measured.items())


@_of_predictors
def soft_labels_are_learned_from(learner: Learner, task: Task, data: Dataset) -> str | None:
    """From all of their parts: what one label gives to its second class the model expects there, too."""
    assert isinstance(learner, Predictor)
    if len(task.classes) < 2:
        return None
    chances = []
    for share in (0.05, 0.45):
        labels = np.zeros((len(data), len(task.classes)), np.float32)
        labels[:, 0], labels[:, 1] = 1 - share, share
        trained = _trained(learner, Dataset(data.features, frozen(labels)))
        chances.append(float(_answers(learner, trained, data.features)[:, 1].mean(dtype=np.float64)))
    if chances[0] < chances[1]:
        return None
    return (
        f"trained on labels that give 0.05 to {task.classes[1]!r}, the rest to {task.classes[0]!r}, it expects "
        f"{task.classes[1]!r} with {chances[0]:.3f} on average; trained on labels that give it 0.45, with "
        f"{chances[1]:.3f}"
    )


PREDICTOR_LAWS: Final = (
    predictions_have_the_form_of_the_task,
    predict_is_pure,
    predictions_agree_with_evaluate,
    soft_labels_are_learned_from,
)
