"""The multi-layer perceptron."""

import subprocess
import sys
import threading
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError, LayoutError
from tierwise.core.framing import to_bytes, unframe
from tierwise.core.learning import Dataset, FitBudget, FitStopped, StopToken
from tierwise.core.task import Task
from tierwise.core.weights import Weights
from tierwise.plugins.data.digits import DigitsOptions, DigitsSource
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.plugins.testing import TASK as CONFORMANCE_TASK
from tierwise.plugins.testing import check_learner

TASK = Task(name="toy", features=5, classes=("a", "b", "c"))
HIDDEN = [(), (4,), (6, 3), (4, 5, 6)]


def learner_of(**options: object) -> MlpLearner:
    return MlpLearner(msgspec.convert(options, MlpOptions), TASK)


def samples_of(count: int, *, soft: bool = False, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, TASK.features)).astype(np.float32)
    if soft:
        return Dataset(features, random.dirichlet(np.ones(3), count).astype(np.float32))
    return Dataset(features, random.integers(0, 3, count))


def fit(learner: MlpLearner, weights: Weights, data: Dataset, **given: object) -> Weights:
    budget = FitBudget(epochs=given.get("epochs", 1), max_samples=given.get("max_samples", 10**6))  # type: ignore[arg-type]
    stop = given.get("stop", StopToken())
    return learner.fit(weights, data, seed=given.get("seed", 0), budget=budget, stop=stop).weights  # type: ignore[arg-type]


class CountingToken(StopToken):
    """Counts the checks, and stops at one of them."""

    def __init__(self, stop_at: int = 10**9) -> None:
        super().__init__()
        self.checks = 0
        self._stop_at = stop_at

    def check(self) -> None:
        self.checks += 1
        if self.checks >= self._stop_at:
            self.stop()
        super().check()


def reference_loss(weights: Weights, data: Dataset) -> Callable[[NDArray[np.float64]], float]:
    """Return the mean cross-entropy as a function of the buffer: float64, one obvious line for each operation."""
    targets = np.eye(3)[data.labels] if data.labels.ndim == 1 else data.labels.astype(np.float64)
    places = weights.layout.slices
    layers = len(weights.layout.tensors) // 2

    def loss(buffer: NDArray[np.float64]) -> float:
        x = data.features.astype(np.float64)
        for layer in range(layers):
            shape = weights[f"{layer}.weight"].shape
            x = x @ buffer[places[f"{layer}.weight"]].reshape(shape) + buffer[places[f"{layer}.bias"]]
            if layer < layers - 1:
                x = np.maximum(x, 0)
        log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
        return float(-(targets * log_p).sum(1).mean())

    return loss


@pytest.mark.parametrize("hidden", HIDDEN)
def test_conformance(hidden: tuple[int, ...]) -> None:
    check_learner(MlpLearner(MlpOptions(hidden=hidden), CONFORMANCE_TASK))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_step_follows_the_gradient(hidden: tuple[int, ...], soft: bool) -> None:
    learner = learner_of(hidden=hidden, learning_rate=1.0, batch_size=100)
    data = samples_of(9, soft=soft)
    start = learner.initial(3)
    start.buffer += np.random.default_rng(1).normal(scale=0.1, size=start.buffer.shape).astype(np.float32)
    step = fit(learner, start, data).buffer.astype(np.float64) - start.buffer
    loss, at, h = reference_loss(start, data), start.buffer.astype(np.float64), 1e-6
    gradient = [(loss(at + h * e) - loss(at - h * e)) / (2 * h) for e in np.eye(len(at))]
    np.testing.assert_allclose(-step, gradient, atol=2e-6)


def test_a_step_of_a_wide_network_follows_the_gradient() -> None:
    learner = learner_of(hidden=(60, 300), learning_rate=1.0, batch_size=100)
    data, start, random = samples_of(9), learner.initial(3), np.random.default_rng(2)
    step = fit(learner, start, data).buffer.astype(np.float64) - start.buffer
    loss, at, h = reference_loss(start, data), start.buffer.astype(np.float64), 1e-6
    for tensor, place in start.layout.slices.items():
        along = np.zeros_like(at)
        along[place] = random.normal(size=place.stop - place.start)
        slope = (loss(at + h * along) - loss(at - h * along)) / (2 * h)
        assert -step @ along == pytest.approx(slope, abs=2e-5), tensor


@settings(max_examples=25, deadline=None)
@given(
    hidden=st.sampled_from(HIDDEN),
    count=st.integers(min_value=1, max_value=23),
    batch=st.integers(min_value=1, max_value=30),
    epochs=st.integers(min_value=1, max_value=3),
    most=st.integers(min_value=1, max_value=80),
)
def test_hard_labels_are_soft_ones_with_all_on_one_class(
    hidden: tuple[int, ...], count: int, batch: int, epochs: int, most: int
) -> None:
    learner = learner_of(hidden=hidden, batch_size=batch)
    hard = samples_of(count)
    soft = Dataset(hard.features, np.eye(3, dtype=np.float32)[hard.labels])
    start = learner.initial(0)
    given_ = {"epochs": epochs, "max_samples": most}
    assert fit(learner, start, hard, **given_) == fit(learner, start, soft, **given_)
    assert learner.evaluate(start, hard) == learner.evaluate(start, soft)


@given(
    count=st.integers(min_value=1, max_value=30),
    batch=st.integers(min_value=1, max_value=12),
    epochs=st.integers(min_value=0, max_value=4),
    most=st.integers(min_value=0, max_value=130),
)
def test_the_budget_is_kept_and_every_minibatch_checks(count: int, batch: int, epochs: int, most: int) -> None:
    learner, data = learner_of(hidden=[2], batch_size=1), samples_of(count)
    token = CountingToken()
    fit(learner, learner.initial(0), data, epochs=epochs, max_samples=most, stop=token)
    assert token.checks == min(epochs * count, most)

    token, expected, left = CountingToken(), 0, min(epochs * count, most)
    fit(learner_of(hidden=[2], batch_size=batch), learner.initial(0), data, epochs=epochs, max_samples=most, stop=token)
    while left > 0:
        expected += -(-min(left, count) // batch)
        left -= count
    assert token.checks == expected


def test_a_cut_minibatch_takes_the_mean_over_its_own_samples() -> None:
    one = samples_of(1)
    same = one.take(np.zeros(10, np.intp))  # all alike: every minibatch has the same mean, whatever its size
    learner = learner_of(batch_size=5)
    cut = fit(learner, learner.initial(0), same, max_samples=7)
    whole = fit(learner, learner.initial(0), same)
    np.testing.assert_allclose(cut.buffer, whole.buffer, rtol=1e-5, atol=1e-7)


def test_fit_is_pure() -> None:
    learner, data = learner_of(hidden=[6, 3], batch_size=4), samples_of(11)
    start = learner.initial(0)
    before = start.copy()
    first = fit(learner, start, data, epochs=3, seed=5)
    fit(learner, learner.initial(9), samples_of(17, soft=True), seed=6)
    learner.evaluate(first, data)
    assert fit(learner, start, data, epochs=3, seed=5) == first
    assert fit(learner_of(hidden=[6, 3], batch_size=4), start, data, epochs=3, seed=5) == first
    assert start == before
    assert fit(learner, start, data, epochs=3, seed=6) != first


def test_fits_at_the_same_time_do_not_meet() -> None:
    learner, datas = learner_of(hidden=[6, 3]), [samples_of(40, seed=seed) for seed in range(4)]
    start = learner.initial(0)
    alone = [fit(learner, start, data, epochs=20) for data in datas]
    together: dict[int, Weights] = {}

    def work(number: int) -> None:
        together[number] = fit(learner, start, datas[number], epochs=20)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(4)] == alone


def test_a_model_as_it_came_over_the_wire_trains_to_the_same() -> None:
    learner, data = learner_of(), samples_of(11)
    start = learner.initial(0)
    for offset in range(4):  # a frame may begin anywhere in a message
        arrived = unframe(memoryview(b"x" * offset + to_bytes(start))[offset:])
        assert not arrived.buffer.flags.writeable
        assert fit(learner, arrived, data) == fit(learner, start, data)
        assert learner.evaluate(arrived, data) == learner.evaluate(start, data)


def test_the_result_has_a_buffer_of_its_own() -> None:
    learner = learner_of()
    start = learner.initial(0)
    result = fit(learner, start, samples_of(3), epochs=0)
    assert result == start
    assert not np.shares_memory(result.buffer, start.buffer)


def test_the_weight_of_an_update_is_the_devices_samples() -> None:
    learner = learner_of()
    budget = FitBudget(epochs=3, max_samples=5)
    result = learner.fit(learner.initial(0), samples_of(8), seed=0, budget=budget, stop=StopToken())
    assert result.samples == 8


def test_a_fit_stops_before_the_next_minibatch() -> None:
    token = CountingToken(stop_at=3)
    learner = learner_of(batch_size=1)
    with pytest.raises(FitStopped):
        fit(learner, learner.initial(0), samples_of(50), stop=token)
    assert token.checks == 3


def test_a_model_that_diverges_does_so_in_silence() -> None:
    learner = learner_of(learning_rate=1e30)
    result = fit(learner, learner.initial(0), samples_of(50), epochs=5)
    assert not np.isfinite(result.buffer).all()
    learner.evaluate(result, samples_of(50))


def test_metrics_are_sums_and_counts() -> None:
    learner, data = learner_of(hidden=[6, 3]), samples_of(1500)  # more than one pass
    weights = fit(learner, learner.initial(0), data, epochs=2)
    found = learner.evaluate(weights, data)
    assert found["accuracy"].count == found["log_loss"].count == 1500
    loss = reference_loss(weights, data)(weights.buffer.astype(np.float64))
    assert found["log_loss"].mean == pytest.approx(loss, rel=1e-5)
    halves = [learner.evaluate(weights, data.take(np.arange(*ends))) for ends in ((0, 700), (700, 1500))]
    for name, whole in found.items():
        added = halves[0][name] + halves[1][name]
        assert (added.sum, added.count) == pytest.approx((whole.sum, whole.count), rel=1e-5)


def test_a_log_loss_stays_finite_where_a_probability_is_rounded_to_nothing() -> None:
    learner = MlpLearner(MlpOptions(hidden=()), TASK)
    weights = Weights.zeros(learner.layout)
    weights["0.bias"][:] = (0, 500, 0)
    data = Dataset(np.zeros((2, 5), np.float32), np.array([1, 2]))
    found = learner.evaluate(weights, data)
    assert found["log_loss"].sum == pytest.approx(500)
    assert found["accuracy"].sum == 1


def test_accuracy_of_soft_labels_is_against_the_greatest() -> None:
    learner = MlpLearner(MlpOptions(hidden=()), TASK)
    weights = Weights.zeros(learner.layout)
    weights["0.bias"][:] = (0, 1, 0)
    soft = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]], np.float32)
    assert learner.evaluate(weights, Dataset(np.zeros((2, 5), np.float32), soft))["accuracy"].sum == 1


def test_no_samples_no_count() -> None:
    learner = learner_of()
    found = learner.evaluate(learner.initial(0), samples_of(0))
    assert {name: (metric.sum, metric.count) for name, metric in found.items()} == {
        "accuracy": (0, 0),
        "log_loss": (0, 0),
    }


def test_only_the_tasks_metrics_are_measured() -> None:
    learner = MlpLearner(MlpOptions(), msgspec.structs.replace(TASK, metrics=("log_loss",)))
    assert list(learner.evaluate(learner.initial(0), samples_of(3))) == ["log_loss"]


def test_digits_are_learned() -> None:
    source = DigitsSource(DigitsOptions())
    data = source.load(0, 1, seed=0).divided(source.task.scale)
    learner = MlpLearner(MlpOptions(), source.task)
    budget = FitBudget(epochs=15, max_samples=10**6)
    result = learner.fit(learner.initial(0), data.train, seed=0, budget=budget, stop=StopToken())
    before, after = (learner.evaluate(weights, data.holdout) for weights in (learner.initial(0), result.weights))
    assert after["accuracy"].mean > 0.93
    assert after["log_loss"].mean < before["log_loss"].mean / 5


def test_the_layers_stand_in_their_order_however_many_they_are() -> None:
    learner = learner_of(hidden=[2] * 11)
    names = [tensor.name for tensor in learner.layout.tensors]
    assert names[:4] == ["00.bias", "00.weight", "01.bias", "01.weight"]
    assert names[-2:] == ["11.bias", "11.weight"]
    assert [learner_of(hidden=[7]).layout.tensors[place].shape for place in (0, 1)] == [(7,), (5, 7)]


def test_initial_weights_have_the_deviation_of_he() -> None:
    learner = MlpLearner(MlpOptions(hidden=(400,)), msgspec.structs.replace(TASK, features=200))
    weights = learner.initial(0)
    assert weights["0.weight"].std() == pytest.approx(np.sqrt(2 / 200), rel=0.02)
    assert weights["0.weight"].mean() == pytest.approx(0, abs=1e-3)
    assert weights["1.weight"].std() == pytest.approx(np.sqrt(2 / 400), rel=0.05)
    assert not weights["0.bias"].any()
    assert not weights["1.bias"].any()
    assert learner.initial(0) == weights
    assert learner.initial(1) != weights


@pytest.mark.parametrize("hidden", HIDDEN)
def test_cost(hidden: tuple[int, ...]) -> None:
    learner = learner_of(hidden=hidden, batch_size=7)
    weights, cost = learner.initial(0), learner.cost
    matrices = sum(view.size for name, view in weights.items() if name.endswith("weight"))
    assert cost.parameters == weights.buffer.size
    assert cost.bytes == len(to_bytes(weights))
    assert cost.fit_flops_per_sample == 6 * matrices
    assert cost.evaluate_flops_per_sample == 2 * matrices
    assert cost.memory_bytes > 12 * cost.parameters
    assert learner_of(hidden=hidden, batch_size=8).cost.memory_bytes > cost.memory_bytes


def test_an_empty_training_set_is_refused() -> None:
    learner = learner_of()
    with pytest.raises(ValueError, match="the training set is empty"):
        fit(learner, learner.initial(0), samples_of(0))


def labelled(labels: object, dtype: type, features: int = 5) -> Dataset:
    return Dataset(np.zeros((2, features), np.float32), np.array(labels, dtype))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (labelled([0, 0], np.int64, features=4), r"features have shape \(2, 4\).*expects \(n_samples, 5\)"),
        (labelled([0, 3], np.int64), "a label is 3, task 'toy' has classes 0 to 2"),
        (labelled([0, -1], np.int64), "a label is -1"),
        (labelled([0, 0, 0], np.int64), r"labels have shape \(3,\) and dtype int64"),
        (labelled([[1, 0], [0, 1]], np.float32), r"expects \(2,\) int64 or \(2, 3\) float32"),
        (labelled([[1, 0, 0], [0, 1, 0]], np.float64), "dtype float64"),
    ],
)
def test_data_of_another_form_is_refused(data: Dataset, text: str) -> None:
    learner = learner_of()
    with pytest.raises(ValueError, match=text):
        fit(learner, learner.initial(0), data)
    with pytest.raises(ValueError, match=text):
        learner.evaluate(learner.initial(0), data)


def test_weights_of_another_layout_are_refused() -> None:
    other = learner_of(hidden=[3]).initial(0)
    with pytest.raises(LayoutError, match=r"the model to train: tensor '0.bias' has shape \(3,\)"):
        fit(learner_of(), other, samples_of(3))
    with pytest.raises(LayoutError, match="the model to evaluate"):
        learner_of().evaluate(other, samples_of(3))


def test_a_metric_that_it_cannot_measure_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot measure 'acuracy' \(did you mean 'accuracy'\?\)"):
        MlpLearner(MlpOptions(), msgspec.structs.replace(TASK, metrics=("acuracy",)))


@pytest.mark.parametrize("options", [{"hidden": [0]}, {"learning_rate": 0}, {"batch_size": 0}, {"momentum": 0.9}])
def test_options_out_of_bounds_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(options, MlpOptions)


def test_a_board_needs_neither_polars_nor_scikit_learn() -> None:
    program = """
import sys
import numpy as np
from tierwise.core.learning import Dataset, FitBudget, StopToken
from tierwise.core.task import Task
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.plugins.probes.cpu import CpuProbe
from tierwise.plugins.probes.memory import MemoryProbe
learner = MlpLearner(MlpOptions(), Task(name="t", features=2, classes=("a", "b")))
data = Dataset(np.zeros((4, 2), np.float32), np.zeros(4, np.int64))
learner.fit(learner.initial(0), data, seed=0, budget=FitBudget(), stop=StopToken())
print(sorted({"polars", "sklearn", "scipy"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
