"""Metrics of answers: against scikit-learn's, and added up over devices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, roc_auc_score, root_mean_squared_error

from tierwise.core.errors import ConfigurationError
from tierwise.core.measuring import check_metrics, measure_classes, measure_numbers
from tierwise.core.metrics import AUC_BINS, Metric, add_metrics, higher_is_better, read_metric, read_metrics, sums_of
from tierwise.core.task import Loss, Task

ALL = ("accuracy", "log_loss", "auc")


def answers(seed: int, samples: int, classes: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Make logits that know something of the labels, each class at least once."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, samples - classes)]).astype(np.int64)
    logits = random.normal(size=(samples, classes)) * spread
    logits[np.arange(samples), labels] += 1
    return logits.astype(np.float32), labels


def probabilities(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(np.float64(logits) - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


@given(st.integers(0, 10**6), st.integers(30, 300), st.integers(2, 5))
def test_classes_are_measured_as_scikit_learn_does(seed: int, samples: int, classes: int) -> None:
    logits, labels = answers(seed, samples, classes)
    figures = read_metrics(measure_classes(ALL, logits, labels))
    known = probabilities(logits)
    assert figures["accuracy"].value == pytest.approx(accuracy_score(labels, known.argmax(1)))
    assert figures["log_loss"].value == pytest.approx(log_loss(labels, known, labels=range(classes)), abs=1e-5)
    assert [figure.count for figure in figures.values()] == [samples] * 3


@given(st.integers(0, 10**6), st.integers(50, 500))
def test_the_area_under_the_curve_is_near_the_exact_one(seed: int, samples: int) -> None:
    logits, labels = answers(seed, samples, 2)
    figure = read_metric(measure_classes(("auc",), logits, labels), "auc")
    assert figure is not None
    # Decisions of one bin are ties; bins are 24 / 62 wide, and the odds here spread over about 12.
    assert figure.value == pytest.approx(roc_auc_score(labels, probabilities(logits)[:, 1]), abs=0.02)


def test_with_more_classes_all_decisions_are_pooled() -> None:
    logits, labels = answers(1, 400, 4)
    figure = read_metric(measure_classes(("auc",), logits, labels), "auc")
    pooled = roc_auc_score(np.eye(4)[labels], probabilities(logits), average="micro")
    assert figure is not None
    assert figure.value == pytest.approx(pooled, abs=0.01)


def test_a_perfect_order_is_1_and_a_reversed_one_0() -> None:
    labels = np.repeat(np.array([0, 1], np.int64), 50)
    logits = np.stack([np.zeros(100), np.where(labels == 1, 5.0, -5.0)], axis=1)
    for sign, value in ((1, 1.0), (-1, 0.0)):
        figure = read_metric(measure_classes(("auc",), sign * logits, labels), "auc")
        assert figure is not None
        assert figure.value == value


def test_of_one_class_there_is_no_area() -> None:
    logits, _ = answers(1, 20, 2)
    figure = read_metric(measure_classes(("auc",), logits, np.zeros(20, np.int64)), "auc")
    assert figure is not None
    assert (figure.value, figure.count) == (None, 20)


@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([1.0, 1e3, 1e-3]))
def test_numbers_are_measured_as_scikit_learn_does(seed: int, samples: int, unit: float) -> None:
    random = np.random.default_rng(seed)
    targets = (random.normal(size=samples) * unit).astype(np.float32)
    predicted = (targets + random.normal(size=samples) * unit).astype(np.float32)
    figures = read_metrics(measure_numbers(("rmse", "mae"), predicted, targets))
    assert figures["rmse"].value == pytest.approx(root_mean_squared_error(targets, predicted), rel=1e-4)
    assert figures["mae"].value == pytest.approx(mean_absolute_error(targets, predicted), rel=1e-4)


@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 4))
def test_what_devices_measure_adds_up_to_the_whole(seed: int, classes: int, devices: int) -> None:
    logits, labels = answers(seed, 80, classes)
    whole = read_metrics(measure_classes(ALL, logits, labels))
    pieces = np.array_split(np.arange(80), devices)
    added = read_metrics(add_metrics(measure_classes(ALL, logits[rows], labels[rows]) for rows in pieces))
    for name in ALL:
        assert added[name].value == pytest.approx(whole[name].value)
        assert added[name].count == 80


def test_soft_labels_on_one_class_are_hard_ones() -> None:
    logits, labels = answers(3, 50, 3)
    soft = np.eye(3, dtype=np.float32)[labels]
    assert measure_classes(ALL, logits, labels) == measure_classes(ALL, logits, soft)


def test_over_no_samples_there_is_no_figure() -> None:
    none = measure_classes(ALL, np.empty((0, 3), np.float32), np.empty(0, np.int64))
    assert {name: figure.value for name, figure in read_metrics(none).items()} == dict.fromkeys(ALL)
    assert all(metric == Metric(sum=0.0, count=0) for metric in none.values())


def test_a_task_tells_the_sums_that_its_metrics_need() -> None:
    task = Task(name="t", features=2, classes=("a", "b"), metrics=("auc", "accuracy"))
    assert task.sums == (*sums_of("auc"), "accuracy")
    assert len(task.sums) == 2 * AUC_BINS + 1
    assert Task(name="t", features=2, loss=Loss.SQUARED_ERROR).metrics == ("rmse", "mae")


def test_the_direction_of_a_metric_is_known() -> None:
    assert [higher_is_better(name) for name in ("accuracy", "auc", "log_loss", "rmse", "mae", "my_error")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


def test_a_metric_of_the_other_kind_of_task_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"cannot measure 'rmse'.*of classes it measures accuracy, log_loss, auc"
    ):
        check_metrics(Task(name="t", features=2, classes=("a", "b"), metrics=("rmse",)), "mlp")
    with pytest.raises(ConfigurationError, match=r"'acuracy' \(did you mean 'accuracy'\?\)"):
        check_metrics(Task(name="t", features=2, classes=("a", "b"), metrics=("acuracy",)), "mlp")


def test_what_the_task_says_of_the_data_is_the_schema_and_nothing_else() -> None:
    task = Task(name="t", features=2, classes=("a", "b"))
    assert (
        task.schema_hash
        == Task(name="t", features=2, classes=("a", "b"), metrics=("auc",), standardise=True).schema_hash
    )
    others = (
        Task(name="t", features=2, classes=("b", "a")),
        Task(name="t", features=2, classes=("a", "b"), feature_names=("x", "y")),
        Task(name="t", features=2, classes=("a", "b"), target="y"),
        Task(name="t", features=2, classes=("a", "b"), scale=2.0),
        Task(name="t", features=2, loss=Loss.SQUARED_ERROR),
    )
    assert len({task.schema_hash, *(other.schema_hash for other in others)}) == 6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classes": ("a",)}, "two classes or more"),
        ({"classes": ("a", "b"), "loss": Loss.SQUARED_ERROR}, "a regression has no classes"),
        ({"classes": ("a", "b"), "feature_names": ("x",)}, "2 features and 1 names"),
    ],
)
def test_a_task_whose_fields_do_not_go_together_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Task(name="t", features=2, **fields)  # type: ignore[arg-type]
