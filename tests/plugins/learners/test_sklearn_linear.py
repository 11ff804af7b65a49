"""scikit-learn's linear models, beside the same descent in a few lines of float64."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugins.learners.sklearn_helpers import (
    NUMBERS,
    TASKS,
    THREE,
    TWO,
    CountingToken,
    fit,
    one_hot,
    peak_of_a_fit,
    samples_of,
)
from tierwise.core.errors import LayoutError
from tierwise.core.framing import to_bytes
from tierwise.core.learning import Dataset
from tierwise.core.metrics import read_metrics
from tierwise.core.task import Task
from tierwise.core.weights import Weights
from tierwise.plugins.data.digits import DigitsOptions, DigitsSource
from tierwise.plugins.learners.sklearn_linear import SklearnLinearLearner, SklearnLinearOptions
from tierwise.plugins.testing import REGRESSION_TASK, check_learner
from tierwise.plugins.testing import TASK as CONFORMANCE_TASK

BINARY = msgspec.structs.replace(CONFORMANCE_TASK, classes=("a", "b"))


def learner_of(task: Task, **options: object) -> SklearnLinearLearner:
    return SklearnLinearLearner(msgspec.convert(options, SklearnLinearOptions), task)


@pytest.mark.parametrize("task", [CONFORMANCE_TASK, BINARY, REGRESSION_TASK], ids=["three", "two", "numbers"])
def test_conformance(task: Task) -> None:
    check_learner(learner_of(task), task)


def descended(task: Task, data: Dataset, rate: float, epochs: int) -> np.ndarray:
    """Return coefficients with the intercept in the last column: a step for each sample, in the order of the seed."""
    x = np.hstack([data.features, np.ones((len(data), 1))]).astype(np.float64)
    if task is NUMBERS:
        y = data.labels[:, None].astype(np.float64)
    else:
        soft = one_hot(data, task).labels if data.labels.ndim == 1 else data.labels
        y = soft[:, 1:] if task is TWO else soft
    weights, random = np.zeros((y.shape[1], x.shape[1])), np.random.default_rng(5)
    for _ in range(epochs):
        for row in random.permutation(len(data)):
            z = weights @ x[row]
            answer = z if task is NUMBERS else 1 / (1 + np.exp(-z))
            weights -= rate * np.outer(answer - y[row], x[row])
    return weights


@pytest.mark.parametrize("task", TASKS, ids=["two", "three", "numbers"])
def test_a_fit_is_a_descent_of_a_step_for_each_sample(task: Task) -> None:
    learner, data = learner_of(task, l2=0), samples_of(task, 300)  # more than one call
    found = fit(learner, learner.initial(0), data, epochs=2)
    expected = descended(task, data, 0.01, 2)
    np.testing.assert_allclose(found["coef"], expected[:, :-1], atol=1e-5)
    np.testing.assert_allclose(found["intercept"], expected[:, -1], atol=1e-5)


@pytest.mark.parametrize("task", [TWO, THREE], ids=["two", "three"])
def test_soft_labels_are_learned_as_targets(task: Task) -> None:
    learner, data = learner_of(task, l2=0, learning_rate=0.001), samples_of(task, 200, soft=True)
    found = fit(learner, learner.initial(0), data, epochs=2)
    # A sample's step is taken in parts, one for each class: the same to the first order of the step size.
    np.testing.assert_allclose(found["coef"], descended(task, data, 0.001, 2)[:, :-1], atol=3e-4)


@settings(max_examples=15, deadline=None)
@given(task=st.sampled_from([TWO, THREE]), count=st.integers(min_value=1, max_value=300))
def test_hard_labels_are_soft_ones_with_all_on_one_class(task: Task, count: int) -> None:
    learner, data = learner_of(task), samples_of(task, count)
    start = learner.initial(0)
    assert fit(learner, start, data) == fit(learner, start, one_hot(data, task))


@pytest.mark.parametrize(("most", "checks"), [(1, 1), (128, 1), (129, 2), (300, 3), (301, 4), (10**6, 6)])
def test_the_budget_is_kept_over_all_epochs(most: int, checks: int) -> None:
    learner, data, token = learner_of(NUMBERS), samples_of(NUMBERS, 300), CountingToken()
    found = fit(learner, learner.initial(0), data, epochs=2, max_samples=most, stop=token)
    assert token.checks == checks  # in calls of 128 samples at the most
    if most <= 300:
        order = np.random.default_rng(5).permutation(300)[:most]
        rows = learner.estimator(learner.initial(0))
        rows.partial_fit(data.features[order], data.labels[order])
        np.testing.assert_allclose(found["coef"][0], rows.coef_, atol=1e-6)


@pytest.mark.parametrize("task", [TWO, THREE], ids=["two", "three"])
def test_predictions_are_those_of_the_estimator(task: Task) -> None:
    learner, data = learner_of(task), samples_of(task, 300)
    weights = fit(learner, learner.initial(0), data, epochs=3)
    found = learner.estimator(weights).predict_proba(data.features)
    np.testing.assert_allclose(learner.predict(weights, data.features), found, rtol=1e-4, atol=1e-6)


def test_numbers_are_learned_in_their_own_unit() -> None:
    plain = samples_of(NUMBERS, 600)
    data = Dataset(plain.features, (plain.features[:, 1] * 2 - 1) * 60_000 + 200_000)
    learner = learner_of(NUMBERS, target_centre=200_000, target_scale=60_000)
    trained = fit(learner, learner.initial(0), data, epochs=5)
    assert read_metrics(learner.evaluate(trained, data))["rmse"].value < 0.05 * data.labels.std()


def test_a_model_that_diverges_says_so() -> None:
    learner = learner_of(NUMBERS, learning_rate=1e30)
    with pytest.raises(ValueError, match="overflow"):
        fit(learner, learner.initial(0), samples_of(NUMBERS, 50), epochs=5)


def test_digits_are_learned() -> None:
    source = DigitsSource(DigitsOptions())
    data = source.load(0, 1, seed=0).divided(source.task.scale)
    learner = learner_of(source.task, learning_rate=0.05)
    trained = fit(learner, learner.initial(0), data.train, epochs=8)
    assert learner.evaluate(trained, data.holdout)["accuracy"].mean > 0.9


def test_cost() -> None:
    task = msgspec.structs.replace(THREE, features=3000)
    learner = learner_of(task, learning_rate=1e-4)
    cost = learner.cost
    assert cost.parameters == 9003
    assert cost.bytes == len(to_bytes(learner.initial(0)))
    assert (cost.evaluate_flops_per_sample, cost.fit_flops_per_sample) == (18_000, 36_000)
    assert 0.8 < cost.memory_bytes / peak_of_a_fit(learner, task) < 1.3


@pytest.mark.parametrize("task", TASKS, ids=["two", "three", "numbers"])
def test_the_layout(task: Task) -> None:
    outputs = 3 if task is THREE else 1  # of two classes the odds of the second are enough
    assert {t.name: t.shape for t in learner_of(task).layout.tensors} == {
        "coef": (outputs, 5),
        "intercept": (outputs,),
    }
    other = Weights.of({"coef": np.zeros((4, 5), np.float32), "intercept": np.zeros(4, np.float32)})
    for use in (lambda w: fit(learner_of(task), w, samples_of(task, 3)), lambda w: learner_of(task).predict(w, None)):
        with pytest.raises(LayoutError, match=r"tensor 'coef' has shape \(4, 5\)"):
            use(other)
