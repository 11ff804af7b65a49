"""A device's job: evaluate, train, make the update."""

import hashlib

import msgspec
import numpy as np
import pytest

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.errors import DeviceError, LayoutError
from tierwise.core.events import Purpose
from tierwise.core.framing import to_bytes, unframe
from tierwise.core.ids import BlobHash, CohortId, TierName
from tierwise.core.learning import Dataset, Fit, FitBudget, FitStopped, LocalData, StopToken
from tierwise.core.metrics import Metric
from tierwise.core.standardising import MEAN
from tierwise.core.tiers import CodecChoice, Cost, Tier
from tierwise.core.weights import Layout, Role, TensorSpec, Weights
from tierwise.core.work import MODELS, Job, ModelReader, origin_name, perform, read_model
from tierwise.plugins.codecs.halves import Float16Codec, HalfOptions
from tierwise.plugins.codecs.plain import Float32Codec

LAYOUT = Layout(
    (
        TensorSpec(name="a", shape=(3,)),
        TensorSpec(name="l", shape=(2,), role=Role.LOCAL),
        TensorSpec(name="s", shape=(1,), role=Role.STATIC),
    )
)
COST = Cost(parameters=6, fit_flops_per_sample=1, evaluate_flops_per_sample=1, bytes=24, memory_bytes=24)
TIER = Tier(name=TierName("t"), learner="adder", options={}, layout=LAYOUT, cost=COST)
PLAIN = CodedUpdates(Float32Codec(), "float32", LAYOUT.aggregated)
MODEL = Weights(LAYOUT, np.array([1, 2, 3, 10, 20, 7], np.float32))
DATA = LocalData(
    Dataset(np.ones((4, 1), np.float32), np.zeros(4, np.int64)),
    Dataset(np.ones((2, 1), np.float32), np.zeros(2, np.int64)),
)


class Adder:
    """Adds a number to everything but what is static; its metric is the sum of what it was given."""

    layout, cost = LAYOUT, COST

    def __init__(self, step=1.0):
        self.step = step

    def fit(self, weights, data, *, seed, budget, stop):
        stop.check()
        after = weights.copy()
        after.buffer[:5] += np.float32(self.step)
        return Fit(after, len(data))

    def evaluate(self, weights, data):
        return {"sum": Metric(sum=float(weights.buffer.sum()), count=len(data))}


def job(purpose=Purpose.FIT, local=None, model=MODEL):
    frame = to_bytes(model)
    return Job(
        cohort=CohortId("g1.r1"),
        purpose=purpose,
        tier=TIER,
        base=BlobHash(hashlib.sha256(frame).hexdigest()),
        model=memoryview(frame),
        budget=FitBudget(),
        seed=1,
        local=local,
    )


def test_an_update_is_what_training_changed_of_what_is_aggregated():
    done = perform(job(), Adder(), PLAIN, DATA, StopToken())
    delta = unframe(done.trained.body)
    assert delta.layout == LAYOUT.aggregated
    assert delta.buffer.tolist() == [1, 1, 1]
    assert done.trained.blob == hashlib.sha256(done.trained.body).hexdigest() == delta.identity
    assert done.trained.samples == 4


def test_a_model_is_read_where_it_came_and_an_update_is_made_where_it_is_sent():
    seen = []

    class Seeing(Float32Codec):
        def encode(self, update, seed):
            seen.append(update)
            return super().encode(update, seed)

    given = job()
    assert np.shares_memory(read_model(given).buffer, np.frombuffer(given.model, np.uint8))
    done = perform(given, Adder(), CodedUpdates(Seeing(), "seeing", LAYOUT.aggregated), DATA, StopToken())
    assert np.shares_memory(seen[0], np.frombuffer(done.trained.body, np.uint8))


def test_an_update_can_be_named_for_what_it_was_made_from():
    def name_of(given):
        return perform(given, Adder(), PLAIN, DATA, StopToken(), name=origin_name).trained.blob

    one = job()
    others = [
        msgspec.structs.replace(one, seed=2),
        msgspec.structs.replace(one, cohort=CohortId("g1.r2")),
        job(model=Weights(LAYOUT, MODEL.buffer + 1)),
    ]
    assert name_of(one) == name_of(job())
    assert len({name_of(one), *map(name_of, others)}) == 4
    assert len(name_of(one)) == 64


def test_a_reader_reads_a_model_once_and_other_memory_anew():
    read, one = ModelReader(), job()
    assert read(one) is read(msgspec.structs.replace(one, seed=2)) == MODEL
    again = job()
    assert read(again) is not read(one)
    damaged = memoryview(bytes([*again.model[:-1], 1]))
    with pytest.raises(DeviceError, match="does not have the hash"):
        read(msgspec.structs.replace(again, model=damaged))


def test_a_reader_keeps_few_models():
    read = ModelReader()
    jobs = [job(model=Weights(LAYOUT, MODEL.buffer + number)) for number in range(MODELS + 1)]
    models = [read(one) for one in jobs]
    assert read(jobs[-1]) is models[-1]
    assert read(jobs[0]) is not models[0]


def test_the_metrics_are_of_the_model_that_came():
    done = perform(job(), Adder(step=100), PLAIN, DATA, StopToken())
    assert done.metrics == {"sum": Metric(sum=43.0, count=2)}


def test_local_tensors_are_returned_apart_and_go_on_from_where_they_were():
    first = perform(job(), Adder(), PLAIN, DATA, StopToken()).trained
    assert first.local.layout == LAYOUT.part(Role.LOCAL)
    assert first.local.buffer.tolist() == [11, 21]
    assert b"'l'" not in first.body
    assert list(unframe(first.body).layout.slices) == ["a"]
    second = perform(job(local=first.local), Adder(), PLAIN, DATA, StopToken())
    assert second.trained.local.buffer.tolist() == [12, 22]
    assert second.trained.body == first.body  # the base of the delta is the model that came
    assert second.metrics["sum"].sum == 45


def test_a_tier_without_local_tensors_has_none():
    layout = Layout.of({"a": (5,)})
    plain = msgspec.structs.replace(job(model=Weights.zeros(layout)), tier=Tier(**{**fields(TIER), "layout": layout}))
    assert perform(plain, Adder(), PLAIN, DATA, StopToken()).trained.local is None


def fields(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def test_an_evaluation_trains_nothing():
    done = perform(job(Purpose.EVALUATE), Adder(step=float("nan")), PLAIN, DATA, StopToken())
    assert done.metrics["sum"].count == 2
    assert done.trained is None


def test_the_model_stays_as_it_came():
    given = job()
    perform(given, Adder(), PLAIN, DATA, StopToken())
    assert bytes(given.model) == to_bytes(MODEL)


def test_told_to_stop_it_stops():
    stop = StopToken()
    stop.stop()
    with pytest.raises(FitStopped):
        perform(job(), Adder(), PLAIN, DATA, stop)


def test_a_damaged_model_is_not_trained():
    given = job()
    damaged = msgspec.structs.replace(given, model=memoryview(bytes(given.model)[:-1] + b"\xff"))
    with pytest.raises(DeviceError, match=r"^the model that came for cohort g1.r1 does not have the hash '"):
        perform(damaged, Adder(), PLAIN, DATA, StopToken())


def test_a_model_of_another_layout_is_not_trained():
    with pytest.raises(LayoutError, match=r"^the model that came lacks tensor 'a'"):
        perform(job(model=Weights.zeros(Layout.of({"z": (1,)}))), Adder(), PLAIN, DATA, StopToken())


@pytest.mark.parametrize("step", [float("nan"), float("inf"), 1e300])
def test_training_that_diverges_gives_no_update(step):
    with (
        np.errstate(over="ignore"),
        pytest.raises(DeviceError, match=r"^training gave values that are not finite: what helps is "),
    ):
        perform(job(), Adder(step), PLAIN, DATA, StopToken())


NUMBERS = LocalData(*(Dataset(part.features, part.labels.astype(np.float32)) for part in (DATA.train, DATA.holdout)))


@pytest.mark.parametrize("data", [DATA, NUMBERS])
@pytest.mark.parametrize("statics", [(), (TensorSpec(name=MEAN, shape=(1,), role=Role.STATIC),)])
def test_the_remedies_are_those_that_the_federation_does_not_have_yet(data, statics):
    layout = Layout((*LAYOUT.tensors, *statics))
    tier = Tier(**{**fields(TIER), "layout": layout})
    diverging = Adder(float("nan"))
    given = msgspec.structs.replace(job(model=Weights.zeros(layout)), tier=tier)
    with pytest.raises(DeviceError) as caught:
        perform(given, diverging, PLAIN, data, StopToken())
    assert ("standardise = true in [task]" in str(caught.value)) == (not statics)
    assert ("target_centre and target_scale" in str(caught.value)) == (data is NUMBERS)
    assert str(caught.value).endswith("a smaller learning_rate")


def test_a_change_too_great_for_a_float_gives_no_update():
    most = float(np.finfo(np.float32).max)
    low = Weights(LAYOUT, np.full(6, -most, np.float32))

    class Jumper(Adder):
        def fit(self, weights, data, *, seed, budget, stop):
            return Fit(Weights(LAYOUT, np.full(6, most, np.float32)), len(data))

        def evaluate(self, weights, data):
            return {}

    with pytest.raises(DeviceError, match="not finite"):
        perform(job(model=low), Jumper(), PLAIN, DATA, StopToken())


def test_a_learner_that_returns_another_layout_gives_no_update():
    class Stranger(Adder):
        def fit(self, weights, data, *, seed, budget, stop):
            return Fit(Weights.zeros(Layout.of({"a": (1,)})), len(data))

    with pytest.raises(LayoutError, match=r"^the trained model"):
        perform(job(), Stranger(), PLAIN, DATA, StopToken())


class Halves(Float16Codec):
    """Halves, of which the first value is 0 each time."""

    def encode(self, update, seed):
        halves = super().encode(update, seed)["values"]
        halves[0] = 0
        return {"values": halves}


def coded(given, codec):
    tier = msgspec.structs.replace(TIER, codec=CodecChoice(name="halves"))
    coding = CodedUpdates(codec, "halves", LAYOUT.aggregated)
    done = perform(msgspec.structs.replace(given, tier=tier), Adder(), coding, DATA, StopToken()).trained
    (values,) = coding.read(done.body, "it").values()
    return done, values.tolist()


def test_an_update_is_coded_and_what_that_lost_comes_back_with_the_next_one():
    codec = Halves(HalfOptions())
    first, values = coded(job(), codec)
    assert values == [0, 1, 1]
    assert first.blob == hashlib.sha256(first.body).hexdigest()
    assert first.lost.tolist() == [1, 0, 0]
    given = msgspec.structs.replace(job(), lost=np.array([1, 2, -1], np.float32))
    second, values = coded(given, codec)
    assert values == [0, 3, 0]
    assert second.lost.tolist() == [2, 0, 0]
    assert given.lost.tolist() == [1, 2, -1]


def test_without_feedback_nothing_is_kept():
    done, values = coded(job(), Halves(HalfOptions(error_feedback=False)))
    assert values == [0, 1, 1]
    assert done.lost is None


def test_what_is_drawn_goes_by_the_jobs_seed():
    class Drawing(Float16Codec):
        def encode(self, update, seed):
            return {"values": np.random.default_rng(seed).random(update.size).astype(np.float16)}

    first, again, other = (
        coded(msgspec.structs.replace(job(), seed=seed), Drawing(HalfOptions()))[0].body for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_codec_that_does_not_keep_to_its_form_is_told():
    class Short(Float16Codec):
        def encode(self, update, seed):
            return {"values": np.zeros(2, np.float16)}

    with pytest.raises(LayoutError, match="codec 'halves' gave an array 'values' of shape"):
        coded(job(), Short(HalfOptions()))
