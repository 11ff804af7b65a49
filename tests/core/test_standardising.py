"""Standardisation: what devices tell, what the group's model makes of it, and the opening round of a group."""

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.events import Purpose, Refusal
from tierwise.core.learning import Dataset, FitBudget, Predictor, StopToken
from tierwise.core.metrics import add_metrics
from tierwise.core.standardising import (
    DEVIATION,
    MEAN,
    describe,
    standardised,
    standardising,
    warning_of_large_features,
    with_statics,
)
from tierwise.core.state import Phase
from tierwise.core.task import Task
from tierwise.core.tiers import Tier
from tierwise.core.weights import Role, Weights
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.plugins.testing import check_learner
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider

from .drive import HITS, blob, kinds, learning

TASK = Task(name="wide", features=3, classes=("a", "b"))


def data(seed: int, samples: int, offset: float = 0.0, unit: float = 1.0) -> Dataset:
    random = np.random.default_rng(seed)
    features = (offset + unit * random.normal(size=(samples, 3))).astype(np.float32)
    labels = (features[:, 0] + features[:, 1] > 2 * offset).astype(np.int64)
    return Dataset(features, labels)


def tier() -> Tier:
    return MlpTierProvider(MlpLadderOptions(hidden=((4,),))).offers(TASK)[0]


def prepared() -> Weights:
    return with_statics(MlpLearner(MlpOptions(hidden=(4,)), TASK).initial(1), TASK.features)


@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([0.0, 3.0, -1e3]), st.sampled_from([1.0, 1e-2, 1e3]))
def test_what_devices_tell_gives_the_mean_and_deviation_of_all_their_samples(
    seed: int, devices: int, offset: float, unit: float
) -> None:
    sizes = np.random.default_rng(seed).integers(1, 40, devices)
    parts = [data(seed + number, size + 1, offset, unit) for number, size in enumerate(sizes)]
    model = standardised(prepared(), add_metrics(describe(part) for part in parts))
    together = np.concatenate([part.features for part in parts]).astype(np.float64)
    np.testing.assert_allclose(model[MEAN], together.mean(axis=0), rtol=1e-6, atol=unit * 1e-6)
    np.testing.assert_allclose(model[DEVIATION], together.std(axis=0), rtol=1e-4)


def test_large_features_are_warned_of_before_training_and_not_where_they_are_standardised() -> None:
    large = data(1, 20, offset=3e4, unit=900.0)
    named = Task(name="wide", features=3, feature_names=("a", "b", "c"), classes=("a", "b"))
    assert warning_of_large_features(named, large).startswith(
        "3 of 3 features have values far above 1, the largest is "
    )
    assert warning_of_large_features(TASK, data(1, 20)) == ""
    assert warning_of_large_features(msgspec.structs.replace(TASK, standardise=True), large) == ""
    assert warning_of_large_features(TASK, Dataset(large.features[:0], large.labels[:0])) == ""


def test_a_constant_feature_is_only_centred() -> None:
    samples = data(1, 50)
    samples.features[:, 1] = 1e5 + 1 / 3
    model = standardised(prepared(), describe(samples))
    assert model[DEVIATION][1] == 1
    assert model[MEAN][1] == np.float32(samples.features[0, 1])


def test_without_a_sample_nothing_changes() -> None:
    empty = Dataset(np.empty((0, 3), np.float32), np.empty(0, np.int64))
    model = standardised(prepared(), describe(empty))
    assert model == prepared()


def test_a_learner_with_standardisation_before_it_does_what_it_does_on_standardised_data() -> None:
    plain = MlpLearner(MlpOptions(hidden=(4,)), TASK)
    before = standardising(plain, 3)
    samples = data(2, 60, offset=50.0, unit=7.0)
    model = standardised(before.initial(1), describe(samples))
    wide = samples.features.astype(np.float64)
    scaled = Dataset(((wide - wide.mean(axis=0)) / wide.std(axis=0)).astype(np.float32), samples.labels)
    budget = FitBudget(epochs=2, max_samples=1000)
    one = before.fit(model, samples, seed=3, budget=budget, stop=StopToken())
    other = plain.fit(plain.initial(1), scaled, seed=3, budget=budget, stop=StopToken())
    assert one.samples == other.samples
    np.testing.assert_allclose(one.weights.part(Role.AGGREGATE).buffer, other.weights.buffer, rtol=1e-3, atol=1e-4)
    assert one.weights.part(Role.STATIC) == model.part(Role.STATIC)
    assert before.evaluate(one.weights, samples)["accuracy"] == plain.evaluate(other.weights, scaled)["accuracy"]
    assert isinstance(before, Predictor)
    np.testing.assert_allclose(
        before.predict(one.weights, samples.features), plain.predict(other.weights, scaled.features), atol=1e-3
    )


def test_it_is_a_learner_like_any_other() -> None:
    task = Task(name="conformance", features=6, classes=("a", "b", "c"))
    check_learner(_PricedAsItIs(task), task)


class _PricedAsItIs:
    """Standardisation before a learner, with a cost that counts the static tensors, as the check of learners wants."""

    def __init__(self, task: Task) -> None:
        self._learner = standardising(MlpLearner(MlpOptions(hidden=(4,)), task), task.features)
        self.layout = self._learner.layout
        plain = self._learner.cost
        more = 2 * task.features
        self.cost = msgspec.structs.replace(plain, parameters=plain.parameters + more, bytes=plain.bytes + 4 * more)

    def __getattr__(self, name: str) -> object:
        return getattr(self._learner, name)


def test_a_learner_that_does_not_predict_does_not_with_standardisation_either() -> None:
    class Mute:
        layout = MlpLearner(MlpOptions(hidden=(4,)), TASK).layout

    assert not isinstance(standardising(Mute(), 3), Predictor)  # type: ignore[arg-type]


# -- the opening round


def test_a_group_opens_with_a_round_in_which_all_its_devices_describe_their_features() -> None:
    drive = learning("abcd", standardise=True)
    opened = drive.cohort().opened
    assert (opened.purpose, opened.participants) == (Purpose.DESCRIBE, ("a", "b", "c", "d"))
    drive.describe("a", "b", "c")
    assert drive.phase() is Phase.COLLECTING
    assert kinds(drive.describe("d")) == [e.EvaluationAccepted, e.CohortClosed]
    order = drive.order(c.StandardiseModel)
    assert order.model == blob("g1-0")
    assert {(one.sum, one.count) for one in order.sums.values()} == {(20.0, 40)}
    (done,) = drive.give(i.ModelAdjusted(order=order.key, model=blob("adjusted")))
    assert isinstance(done, e.ModelStandardised)
    assert drive.phase() is Phase.SELECTING
    (first,) = drive.select()
    assert isinstance(first, e.RoundOpened)
    assert (first.round, first.version, first.model) == (2, 0, blob("adjusted"))


def test_three_descriptions_are_enough_at_the_deadline_and_two_are_not() -> None:
    drive = learning("abcd", standardise=True)
    drive.describe("a", "b", "c")
    assert kinds(drive.wait(100.0)) == [e.CohortClosed]
    drive = learning("abcd", standardise=True)
    drive.describe("a", "b")
    happened = drive.wait(100.0)
    assert kinds(happened) == [e.RoundAbandoned, e.RoundOpened]
    assert isinstance(happened[0], e.RoundAbandoned)
    assert "2 of 4 descriptions came in time" in happened[0].reason
    assert drive.cohort().opened.purpose is Purpose.DESCRIBE


def test_metrics_of_a_model_are_no_description() -> None:
    drive = learning("abc", standardise=True)
    given = i.SubmitEvaluation(device="a", cohort="g1.r1", base=blob("g1-0"), metrics=HITS)  # type: ignore[arg-type]
    rejected = drive.refusal(given)
    assert rejected.refusal is Refusal.MALFORMED
    assert "and 118 more" in rejected.reason
    assert len(rejected.reason) < 500


def test_a_group_that_falls_short_waits_for_its_devices_before_it_opens() -> None:
    drive = learning("abc", "def", standardise=True)
    drive.lose("a")
    drive.describe("b", "c")
    happened = drive.wait(100.0)
    assert e.RoundAbandoned in kinds(happened)
    assert Phase.OPENING in {drive.phase("g1"), drive.phase("g2")} or e.GroupMerged in kinds(happened)


def test_a_failing_standardisation_ends_its_group() -> None:
    drive = learning("abc", standardise=True)
    drive.describe("a", "b", "c")
    happened = drive.fail(drive.order(c.StandardiseModel))
    assert kinds(happened)[:2] == [e.RoundAbandoned, e.GroupFinished]
