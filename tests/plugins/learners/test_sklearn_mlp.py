"""scikit-learn's multi-layer perceptrons; the NumPy one computes the same, and is what they are compared with."""

import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugins.learners.sklearn_helpers import (
    NUMBERS,
    THREE,
    TWO,
    CountingToken,
    fit,
    one_hot,
    peak_of_a_fit,
    samples_of,
)
from tierwise.core.errors import ConfigurationError, LayoutError
from tierwise.core.framing import to_bytes
from tierwise.core.learning import Dataset
from tierwise.core.metrics import read_metrics
from tierwise.core.task import Task
from tierwise.core.weights import Weights
from tierwise.plugins.data.digits import DigitsOptions, DigitsSource
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.plugins.learners.sklearn_mlp import SklearnMlpLearner, SklearnMlpOptions
from tierwise.plugins.testing import REGRESSION_TASK, check_learner
from tierwise.plugins.testing import TASK as CONFORMANCE_TASK

BINARY = msgspec.structs.replace(CONFORMANCE_TASK, classes=("a", "b"))


def learner_of(task: Task, **options: object) -> SklearnMlpLearner:
    return SklearnMlpLearner(msgspec.convert(options, SklearnMlpOptions), task)


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (CONFORMANCE_TASK, {"hidden": [], "batch_size": 40}),
        (BINARY, {"hidden": [4], "batch_size": 40}),
        (REGRESSION_TASK, {"hidden": [6, 3], "batch_size": 40, "solver": "adam", "learning_rate": 0.01}),
    ],
)
def test_conformance(task: Task, options: dict[str, object]) -> None:
    check_learner(learner_of(task, **options), task)


@pytest.mark.parametrize(("task", "soft"), [(THREE, False), (THREE, True), (NUMBERS, False)])
@pytest.mark.parametrize("hidden", [(), (4,), (6, 3)])
def test_it_computes_what_the_numpy_learner_does(hidden: tuple[int, ...], task: Task, soft: bool) -> None:
    data = samples_of(task, 37, soft=soft)
    ours, theirs = MlpLearner(MlpOptions(hidden=hidden), task), learner_of(task, hidden=hidden, l2=0)
    start = theirs.initial(3)
    found, expected = (fit(learner, start, data, epochs=3, max_samples=100) for learner in (theirs, ours))
    assert found.layout == expected.layout
    np.testing.assert_allclose(found.buffer, expected.buffer, atol=2e-5)
    assert theirs.evaluate(found, data) == ours.evaluate(found, data)
    assert theirs.predict(found, data.features).tobytes() == ours.predict(found, data.features).tobytes()


@pytest.mark.parametrize("soft", [False, True])
def test_of_two_classes_it_has_one_output_for_two(soft: bool) -> None:
    data = samples_of(TWO, 37, soft=soft)
    # Two logits of opposite signs part twice as quickly as one does.
    ours = MlpLearner(MlpOptions(hidden=(), learning_rate=0.05), TWO)
    theirs = learner_of(TWO, hidden=[], l2=0)
    start = theirs.initial(3)
    both = Weights.of({name: np.stack([-view[..., 0] / 2, view[..., 0] / 2], -1) for name, view in start.items()})
    found, expected = (fit(one, of, data, epochs=3, max_samples=100) for one, of in ((theirs, start), (ours, both)))
    np.testing.assert_allclose(
        theirs.predict(found, data.features), ours.predict(expected, data.features), rtol=1e-4, atol=1e-6
    )


@settings(max_examples=15, deadline=None)
@given(
    task=st.sampled_from([TWO, THREE]),
    solver=st.sampled_from(["sgd", "adam"]),
    count=st.integers(min_value=1, max_value=12),
    batch=st.integers(min_value=1, max_value=15),
)
def test_hard_labels_are_soft_ones_with_all_on_one_class(task: Task, solver: str, count: int, batch: int) -> None:
    learner, data = learner_of(task, hidden=[3], solver=solver, batch_size=batch), samples_of(task, count)
    start = learner.initial(0)
    assert fit(learner, start, data, epochs=2) == fit(learner, start, one_hot(data, task), epochs=2)


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(min_value=1, max_value=12),
    batch=st.integers(min_value=1, max_value=15),
    epochs=st.integers(min_value=1, max_value=3),
    most=st.integers(min_value=1, max_value=40),
)
def test_the_budget_is_kept_and_every_minibatch_checks(count: int, batch: int, epochs: int, most: int) -> None:
    learner, token = learner_of(THREE, hidden=[2], batch_size=batch), CountingToken()
    fit(learner, learner.initial(0), samples_of(THREE, count), epochs=epochs, max_samples=most, stop=token)
    expected, left = 0, min(epochs * count, most)
    while left > 0:
        expected += -(-min(left, count) // batch)
        left -= count
    assert token.checks == expected


def test_adam_begins_anew_in_each_fit() -> None:
    learner, data = (
        learner_of(THREE, hidden=[4], solver="adam", learning_rate=0.01, batch_size=20),
        samples_of(THREE, 20),
    )
    start = learner.initial(0)
    first = fit(learner, start, data)
    for trained, before in ((first, start), (fit(learner, first, data), first)):
        steps = np.abs(trained.buffer - before.buffer)
        # From moments of zero the first step is the step size, whatever the gradient, where there is one.
        assert np.isclose(steps, 0.01, atol=1e-4).sum() > 0.8 * len(steps)
        assert np.all(np.isclose(steps, 0.01, atol=1e-4) | (steps < 1e-6))


@pytest.mark.parametrize("task", [TWO, THREE])
def test_predictions_are_those_of_the_estimator(task: Task) -> None:
    learner, data = learner_of(task, hidden=[6, 3]), samples_of(task, 700)
    weights = fit(learner, learner.initial(0), data)
    found = learner.estimator(weights).predict_proba(data.features)
    np.testing.assert_allclose(learner.predict(weights, data.features), found, rtol=1e-4, atol=1e-6)


def test_numbers_are_learned_in_their_own_unit() -> None:
    plain = samples_of(NUMBERS, 600)
    data = Dataset(plain.features, plain.labels * 60_000 + 200_000)
    options = {"target_centre": 200_000, "target_scale": 60_000, "solver": "adam", "learning_rate": 0.01}
    learner = learner_of(NUMBERS, **options)
    trained = fit(learner, learner.initial(0), data, epochs=10)
    assert read_metrics(learner.evaluate(trained, data))["rmse"].value < 0.3 * data.labels.std()
    scaled = learner.estimator(trained).predict(data.features)
    np.testing.assert_allclose(learner.predict(trained, data.features), scaled * 60_000 + 200_000, rtol=1e-4)


def test_the_penalty_makes_weights_smaller() -> None:
    data = samples_of(THREE, 100)
    sizes = []
    for l2 in (0.0, 1.0):
        learner = learner_of(THREE, l2=l2)
        sizes.append(float(np.linalg.norm(fit(learner, learner.initial(0), data, epochs=5).buffer)))
    assert sizes[1] < 0.9 * sizes[0]


def test_a_model_that_diverges_says_so() -> None:
    learner = learner_of(THREE, learning_rate=1e30)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        fit(learner, learner.initial(0), samples_of(THREE, 50), epochs=5)


def test_digits_are_learned() -> None:
    source = DigitsSource(DigitsOptions())
    data = source.load(0, 1, seed=0).divided(source.task.scale)
    learner = learner_of(source.task, solver="adam", learning_rate=0.01, batch_size=32)
    trained = fit(learner, learner.initial(0), data.train, epochs=8)
    assert learner.evaluate(trained, data.holdout)["accuracy"].mean > 0.93


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("task", [THREE, NUMBERS], ids=["classes", "numbers"])
def test_cost(task: Task, solver: str) -> None:
    learner = learner_of(task, hidden=[300, 200], solver=solver, learning_rate=0.001)
    weights, cost = learner.initial(0), learner.cost
    products = sum(view.size for name, view in weights.items() if name.endswith("weight"))
    assert cost.parameters == weights.buffer.size
    assert cost.bytes == len(to_bytes(weights))
    assert cost.evaluate_flops_per_sample == 2 * products
    assert cost.fit_flops_per_sample > 6 * products
    assert 0.8 < cost.memory_bytes / peak_of_a_fit(learner, task) < 1.3


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="learner 'sklearn-mlp' cannot measure 'rmse'"):
        learner_of(msgspec.structs.replace(THREE, metrics=("rmse",)))
    learner = learner_of(THREE)
    with pytest.raises(LayoutError, match="the model to train"):
        fit(learner, learner_of(THREE, hidden=[3]).initial(0), samples_of(THREE, 3))
    with pytest.raises(ValueError, match="the training set is empty"):
        fit(learner, learner.initial(0), samples_of(THREE, 0))
    with pytest.raises(ValueError, match="a label is 2, task 'toy' has classes 0 to 1"):
        fit(learner_of(TWO), learner_of(TWO).initial(0), Dataset(np.zeros((1, 5), np.float32), np.array([2])))


@pytest.mark.parametrize("options", [{"solver": "lbfgs"}, {"hidden": [0]}, {"l2": -1}, {"momentum": 0.9}])
def test_options_out_of_bounds_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, SklearnMlpOptions)


def test_whoever_only_sizes_and_measures_models_needs_no_scikit_learn() -> None:
    program = """
import sys
import numpy as np
from tierwise.core.learning import Dataset
from tierwise.core.task import Task
from tierwise.plugins.learners.sklearn_linear import SklearnLinearLearner, SklearnLinearOptions
from tierwise.plugins.learners.sklearn_mlp import SklearnMlpLearner, SklearnMlpOptions
task = Task(name="t", features=2, classes=("a", "b"))
for learner in (SklearnMlpLearner(SklearnMlpOptions(), task), SklearnLinearLearner(SklearnLinearOptions(), task)):
    learner.cost
    learner.evaluate(learner.initial(0), Dataset(np.zeros((4, 2), np.float32), np.zeros(4, np.int64)))
print(sorted({"polars", "sklearn", "scipy"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
