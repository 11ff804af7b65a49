"""Distillation: what a group's model learns from the others."""

from collections.abc import Sequence

import numpy as np
import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.core.exchange import GroupModel
from tierwise.core.ids import GroupId, ModelVersion, TierName
from tierwise.core.learning import Dataset, FitBudget, Learner, Predictor, StopToken
from tierwise.core.task import Task
from tierwise.core.tiers import Tier
from tierwise.core.weights import Weights
from tierwise.plugins.exchange.distill import DistillExchange, DistillOptions
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.plugins.testing import check_exchange

TASK = Task(name="blobs", features=4, classes=("a", "b", "c"))
CENTRES = np.array([[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0]], np.float32)
SMALL, LARGE = GroupId("small"), GroupId("large")


def samples(count: int, seed: int, classes: Sequence[int] = (0, 1, 2)) -> Dataset:
    random = np.random.default_rng(seed)
    labels = random.choice(classes, count).astype(np.int64)
    return Dataset((CENTRES[labels] + random.normal(size=(count, 4))).astype(np.float32), labels)


def trained(hidden: tuple[int, ...], data: Dataset, epochs: int = 20) -> GroupModel:
    learner = MlpLearner(MlpOptions(hidden=hidden, learning_rate=0.05), TASK)
    budget = FitBudget(epochs=epochs, max_samples=10**6)
    weights = learner.fit(learner.initial(1), data, seed=1, budget=budget, stop=StopToken()).weights
    tier = Tier(name=TierName("t"), learner="mlp", options={}, layout=learner.layout, cost=learner.cost)
    return GroupModel(version=ModelVersion(1), tier=tier, learner=learner, weights=weights)


def accuracy(model: GroupModel, weights: Weights, data: Dataset) -> float:
    return model.learner.evaluate(weights, data)["accuracy"].mean


def test_conformance() -> None:
    check_exchange(DistillExchange(DistillOptions()))
    check_exchange(DistillExchange(DistillOptions(epochs=1, weighting="equal")))


def test_a_model_learns_classes_that_its_own_group_never_saw() -> None:
    models = {SMALL: trained((4,), samples(300, 1, (0, 1))), LARGE: trained((16,), samples(300, 2))}
    public, test = samples(200, 3).features, samples(500, 4)
    before = accuracy(models[SMALL], models[SMALL].weights, test)
    after = DistillExchange(DistillOptions(epochs=20)).exchange(SMALL, models, public, seed=1)
    assert before < 0.7  # two of three classes
    assert accuracy(models[SMALL], after, test) > before + 0.15
    assert after.layout == models[SMALL].weights.layout


def test_a_teacher_that_knows_nothing_does_no_harm() -> None:
    alone, other = trained((4,), samples(300, 1)), trained((16,), samples(9, 2), epochs=1)
    blank = GroupModel(
        version=other.version, tier=other.tier, learner=other.learner, weights=Weights.zeros(other.weights.layout)
    )
    test = samples(500, 4)
    after = DistillExchange(DistillOptions()).exchange(
        SMALL, {SMALL: alone, LARGE: blank}, samples(200, 3).features, seed=1
    )
    assert accuracy(alone, after, test) > accuracy(alone, alone.weights, test) - 0.05


class _Says:
    """A learner that answers what it was made with, and keeps what it is taught."""

    def __init__(self, answers: np.ndarray) -> None:
        self.answers = np.asarray(answers, np.float32)
        self.taught: Dataset | None = None
        self.budget: FitBudget | None = None

    def predict(self, weights: Weights, features: np.ndarray) -> np.ndarray:
        return self.answers

    def fit(self, weights, data, *, seed, budget, stop):  # type: ignore[no-untyped-def]
        self.taught, self.budget = data, budget
        return MlpLearner(MlpOptions(hidden=(2,)), TASK).fit(
            weights, samples(3, 1), seed=seed, budget=FitBudget(), stop=stop
        )


def saying(answers: object) -> GroupModel:
    model = trained((2,), samples(3, 1), epochs=1)
    learner: Learner = _Says(np.asarray(answers))  # type: ignore[assignment]
    return GroupModel(version=model.version, tier=model.tier, learner=learner, weights=model.weights)


def taught(options: DistillOptions, *answers: object) -> Dataset:
    models = {GroupId(f"g{number}"): saying(one) for number, one in enumerate(answers)}
    public = np.zeros((len(np.asarray(answers[0])), 4), np.float32)
    DistillExchange(options).exchange(GroupId("g0"), models, public, seed=1)
    learner = models[GroupId("g0")].learner
    assert isinstance(learner, _Says)
    assert learner.taught is not None
    assert learner.budget == FitBudget(
        epochs=options.epochs, max_samples=options.epochs * len(public), batch_size=options.batch_size or 1
    )
    return learner.taught


def test_who_is_sure_outweighs_who_is_not() -> None:
    third = 1 / 3
    sure, guess = [[1.0, 0.0, 0.0]], [[third, third, third]]
    np.testing.assert_allclose(taught(DistillOptions(), guess, sure).labels, sure, atol=1e-6)
    mean = [[2 * third, third / 2, third / 2]]
    np.testing.assert_allclose(taught(DistillOptions(weighting="equal"), guess, sure).labels, mean, atol=1e-6)


def test_where_nobody_knows_all_weigh_the_same() -> None:
    third = np.full((1, 3), 1 / 3)
    np.testing.assert_allclose(taught(DistillOptions(), third, third).labels, third, atol=1e-6)


def test_the_weights_are_those_of_the_entropy() -> None:
    first, second = np.array([[0.8, 0.1, 0.1]]), np.array([[0.2, 0.5, 0.3]])
    confidence = [1 + float((answer * np.log(answer)).sum()) / np.log(3) for answer in (first, second)]
    expected = (confidence[0] * first + confidence[1] * second) / sum(confidence)
    found = taught(DistillOptions(), first, second)
    np.testing.assert_allclose(found.labels, expected, rtol=1e-5)
    assert found.labels.dtype == np.float32


def test_numbers_are_averaged() -> None:
    np.testing.assert_allclose(taught(DistillOptions(), [1.0, 2.0], [3.0, 6.0]).labels, [2.0, 4.0])


def test_without_a_public_set_it_says_so() -> None:
    models = {SMALL: trained((2,), samples(9, 1)), LARGE: trained((4,), samples(9, 1))}
    for public in (None, np.empty((0, 4), np.float32)):
        with pytest.raises(ConfigurationError, match="needs a public set"):
            DistillExchange(DistillOptions()).exchange(SMALL, models, public, seed=1)


def test_a_learner_that_cannot_predict_is_named() -> None:
    class Mute:
        layout = trained((2,), samples(9, 1)).learner.layout

    good = trained((2,), samples(9, 1))
    assert not isinstance(Mute(), Predictor)
    mute = GroupModel(version=good.version, tier=good.tier, learner=Mute(), weights=good.weights)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="'mlp' of tier 't' has no method predict"):
        DistillExchange(DistillOptions()).exchange(SMALL, {SMALL: good, LARGE: mute}, samples(5, 1).features, seed=1)
