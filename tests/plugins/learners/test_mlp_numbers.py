"""The multi-layer perceptron: regressions, and the proximal term."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import Dataset, FitBudget, StopToken
from tierwise.core.metrics import read_metrics
from tierwise.core.task import Loss, Task
from tierwise.core.weights import Weights
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.plugins.testing import REGRESSION_TASK, check_learner

TASK = Task(name="toy", features=5, loss=Loss.SQUARED_ERROR)
CLASSES = Task(name="toy", features=5, classes=("a", "b", "c"))
HIDDEN = [(), (4,), (6, 3)]


def samples_of(count: int, *, centre: float = 0.0, scale: float = 1.0) -> Dataset:
    """Make numbers that follow from the features, not linearly."""
    random = np.random.default_rng(0)
    features = random.normal(size=(count, 5)).astype(np.float32)
    numbers = np.abs(features[:, 0]) + features[:, 1] - 1
    return Dataset(features, (centre + scale * numbers).astype(np.float32))


def fit(learner: MlpLearner, start: Weights, data: Dataset, epochs: int = 1) -> Weights:
    budget = FitBudget(epochs=epochs, max_samples=10**6)
    return learner.fit(start, data, seed=0, budget=budget, stop=StopToken()).weights


@pytest.mark.parametrize("hidden", HIDDEN)
def test_conformance(hidden: tuple[int, ...]) -> None:
    check_learner(MlpLearner(MlpOptions(hidden=hidden), REGRESSION_TASK), REGRESSION_TASK)


@pytest.mark.parametrize("options", [{"proximal": 0.1}, {"target_centre": 0.2, "target_scale": 2.0}])
def test_conformance_of_options(options: dict[str, float]) -> None:
    check_learner(MlpLearner(MlpOptions(**options), REGRESSION_TASK), REGRESSION_TASK)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_step_follows_the_gradient_of_half_the_squared_error(hidden: tuple[int, ...]) -> None:
    learner = MlpLearner(MlpOptions(hidden=hidden, learning_rate=1.0, batch_size=100), TASK)
    data, start = samples_of(9), learner.initial(3)
    step = fit(learner, start, data).buffer.astype(np.float64) - start.buffer
    layers = len(start.layout.tensors) // 2

    def loss(buffer: np.ndarray) -> float:
        x = data.features.astype(np.float64)
        for layer in range(layers):
            bias, weight = (start.layout.slices[f"{layer}.{part}"] for part in ("bias", "weight"))
            x = x @ buffer[weight].reshape(start[f"{layer}.weight"].shape) + buffer[bias]
            x = np.maximum(x, 0) if layer < layers - 1 else x
        return float(((x[:, 0] - data.labels) ** 2).mean() / 2)

    at, h = start.buffer.astype(np.float64), 1e-6
    gradient = [(loss(at + h * e) - loss(at - h * e)) / (2 * h) for e in np.eye(len(at))]
    np.testing.assert_allclose(-step, gradient, atol=2e-6)


def test_numbers_are_learned_in_their_own_unit() -> None:
    data = samples_of(800, centre=200_000, scale=60_000)
    learner = MlpLearner(MlpOptions(target_centre=200_000, target_scale=60_000, learning_rate=0.05), TASK)
    trained = fit(learner, learner.initial(0), data, epochs=15)
    figures = read_metrics(learner.evaluate(trained, data))
    spread = float(data.labels.std())
    assert figures["rmse"].value < 0.25 * spread
    assert figures["mae"].value < figures["rmse"].value
    errors = learner.predict(trained, data.features).astype(np.float64) - data.labels
    assert figures["rmse"].value == pytest.approx(np.sqrt((errors**2).mean()))
    assert figures["mae"].value == pytest.approx(abs(errors).mean())


def test_without_its_unit_a_large_target_makes_training_diverge() -> None:
    data, learner = samples_of(800, centre=200_000, scale=60_000), MlpLearner(MlpOptions(), TASK)
    assert not np.isfinite(fit(learner, learner.initial(0), data, epochs=3).buffer).all()


@settings(max_examples=20, deadline=None)
@given(
    centre=st.integers(min_value=-8, max_value=8),
    scale=st.sampled_from([0.25, 0.5, 2.0, 4.0]),  # exact in binary
    seed=st.integers(min_value=0, max_value=99),
)
def test_another_unit_of_the_target_gives_the_same_model(centre: int, scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    plain = Dataset(random.normal(size=(20, 5)).astype(np.float32), random.integers(-9, 9, 20).astype(np.float32))
    other = Dataset(plain.features, plain.labels * np.float32(scale) + np.float32(centre))
    one = MlpLearner(MlpOptions(learning_rate=0.01), TASK)
    two = MlpLearner(MlpOptions(learning_rate=0.01, target_centre=centre, target_scale=scale), TASK)
    assert fit(one, one.initial(seed), plain) == fit(two, two.initial(seed), other)


def test_a_unit_of_classes_is_refused() -> None:
    for options in ({"target_scale": 2.0}, {"target_centre": 1.0}):
        with pytest.raises(ConfigurationError, match=r"target_.*but task 'toy' is a classification: leave them out"):
            MlpLearner(MlpOptions(**options), CLASSES)


@pytest.mark.parametrize(
    "labels", [np.zeros(2, np.int64), np.zeros((2, 1), np.float32), np.zeros(2, np.float64), np.zeros(3, np.float32)]
)
def test_labels_that_are_not_numbers_are_refused(labels: np.ndarray) -> None:
    learner = MlpLearner(MlpOptions(), TASK)
    with pytest.raises(ValueError, match=r"labels have shape .*, task 'toy' expects \(2,\) float32"):
        fit(learner, learner.initial(0), Dataset(np.zeros((2, 5), np.float32), labels))


def test_metrics_of_classes_are_refused_for_numbers() -> None:
    with pytest.raises(ConfigurationError, match="of numbers it measures mae, rmse"):
        MlpLearner(MlpOptions(), msgspec.structs.replace(TASK, metrics=("accuracy",)))


def classes_of(count: int) -> Dataset:
    random = np.random.default_rng(1)
    return Dataset(random.normal(size=(count, 5)).astype(np.float32), random.integers(0, 3, count))


@pytest.mark.parametrize("task", [TASK, CLASSES])
def test_a_proximal_step_is_the_plain_one_and_a_pull_to_the_received_model(task: Task) -> None:
    mu, rate, data = 0.5, 0.1, samples_of(9) if task is TASK else classes_of(9)
    plain, pulled = (MlpLearner(MlpOptions(batch_size=9, proximal=p, learning_rate=rate), task) for p in (0, mu))
    start = plain.initial(0)
    first = fit(plain, start, data)
    assert fit(pulled, start, data) == first  # where nothing has been learned yet, there is nothing to pull back
    second = fit(pulled, start, data, epochs=2).buffer
    # The order within a batch of all samples only matters to the last bits.
    expected = fit(plain, first, data).buffer - rate * mu * (first.buffer - start.buffer)
    np.testing.assert_allclose(second, expected, atol=1e-6)


def test_the_stronger_the_pull_the_nearer_the_result() -> None:
    data = classes_of(200)
    distances = []
    for proximal in (0.0, 0.1, 1.0, 5.0):
        learner = MlpLearner(MlpOptions(proximal=proximal), CLASSES)
        start = learner.initial(0)
        distances.append(float(np.linalg.norm(fit(learner, start, data, epochs=5).buffer - start.buffer)))
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < distances[0] / 2


def test_a_proximal_term_is_in_the_cost() -> None:
    plain, pulled = (MlpLearner(MlpOptions(proximal=p, batch_size=8), TASK).cost for p in (0, 0.1))
    assert pulled.memory_bytes == plain.memory_bytes + 4 * plain.parameters
    assert pulled.fit_flops_per_sample == plain.fit_flops_per_sample + plain.parameters / 2


@pytest.mark.parametrize("options", [{"proximal": -0.1}, {"target_scale": 0}])
def test_options_out_of_bounds_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, MlpOptions)
