"""Reducing updates and stepping the model, block by block."""

import mmap
import sys

import numpy as np
import pytest

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.errors import PluginFailedError
from tierwise.core.framing import to_bytes
from tierwise.core.weights import Layout, Role, TensorSpec, Weights
from tierwise.plugins.aggregation.mean import MeanReducer
from tierwise.plugins.aggregation.momentum import MomentumOptimizer, MomentumOptions
from tierwise.plugins.aggregation.plain import PlainOptimizer, PlainOptions
from tierwise.plugins.codecs.plain import Float32Codec
from tierwise.runtime import blocks
from tierwise.runtime.aggregating import aggregate
from tierwise.runtime.blocks import UpdateBlocks
from tierwise.runtime.pages import can_bring

from .helpers import resident_bytes

PLAIN = PlainOptimizer(PlainOptions())
LAYOUT = Layout(
    (
        TensorSpec(name="a", shape=(5,)),
        TensorSpec(name="l", shape=(2,), role=Role.LOCAL),
        TensorSpec(name="z", shape=(6,)),
    )
)


UNCODED = CodedUpdates(Float32Codec(), "float32", LAYOUT.aggregated)


def weights(layout=LAYOUT, seed=0):
    return Weights(layout, np.random.default_rng(seed).normal(size=layout.size).astype(np.float32))


def updates(count, size=11):
    return [np.random.default_rng(100 + seed).normal(size=size).astype(np.float32) for seed in range(count)]


def framed(updates):
    return [to_bytes(Weights(LAYOUT.aggregated, update)) for update in updates]


def sent(updates):
    return UpdateBlocks(UNCODED, framed(updates))


def mapped_file(path, frame):
    path.write_bytes(frame)
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def test_a_mean_is_added_to_what_is_aggregated_and_the_rest_stays():
    model, given, samples = weights(), updates(3), [1, 2, 5]
    after, state = aggregate(MeanReducer(), PLAIN, model, {}, sent(given), samples)
    mean = np.average(np.stack(given).astype(np.float64), axis=0, weights=samples)
    np.testing.assert_allclose(
        after.part(Role.AGGREGATE).buffer, model.part(Role.AGGREGATE).buffer + mean, rtol=1e-5, atol=1e-6
    )
    assert after["l"].tolist() == model["l"].tolist()
    assert after.layout == LAYOUT
    assert state == {}


def test_nothing_that_was_given_is_changed():
    model, given = weights(), updates(3)
    before = [model.buffer.copy(), *(one.copy() for one in given)]
    aggregate(MeanReducer(), PLAIN, model, {}, sent(given), [1, 1, 1])
    for now, then in zip([model.buffer, *given], before, strict=True):
        assert now.tobytes() == then.tobytes()


def test_plugins_cannot_write_to_what_is_not_theirs():
    class Greedy:
        def reduce(self, updates, samples, out):
            updates[0][:] = 0

    with pytest.raises(ValueError, match="read-only"):
        aggregate(Greedy(), PLAIN, weights(), {}, sent(updates(3)), [1, 1, 1])

    class Rewriting:
        def step(self, state, model, reduced):
            model += reduced
            return model, state

    with pytest.raises(ValueError, match="read-only"):
        aggregate(MeanReducer(), Rewriting(), weights(), {}, sent(updates(3)), [1, 1, 1])


@pytest.mark.parametrize("block", [1, 3, 4, 11, 100])
def test_the_size_of_a_block_does_not_matter(monkeypatch, block):
    whole, _ = aggregate(MeanReducer(), PLAIN, weights(), {}, sent(updates(9)), range(1, 10))
    monkeypatch.setattr(blocks, "BLOCK", block)
    parts, _ = aggregate(MeanReducer(), PLAIN, weights(), {}, sent(updates(9)), range(1, 10))
    assert parts == whole


def test_every_element_is_in_one_block(monkeypatch):
    sizes = []

    class Counting:
        def reduce(self, updates, samples, out):
            assert {len(update) for update in updates} == {len(out)}
            sizes.append(len(out))
            out[:] = 1

    monkeypatch.setattr(blocks, "BLOCK", 4)
    after, _ = aggregate(Counting(), PLAIN, Weights.zeros(LAYOUT), {}, sent(updates(2)), [1, 1])
    assert sizes == [4, 4, 3]
    assert after["a"].tolist() == [1] * 5
    assert after["z"].tolist() == [1] * 6


@pytest.mark.parametrize(("count", "length"), [(2, 4), (3, 4), (4, 2), (6, 2), (50, 2)])
def test_many_updates_are_reduced_in_smaller_blocks(monkeypatch, count, length):
    monkeypatch.setattr(blocks, "BLOCK", 4)
    monkeypatch.setattr(blocks, "BLOCKS", 12)
    monkeypatch.setattr(blocks, "SMALLEST", 2)
    seen = []

    class Counting(MeanReducer):
        def reduce(self, updates, samples, out):
            seen.append(len(out))
            super().reduce(updates, samples, out)

    given, samples = updates(count), list(range(1, count + 1))
    after, _ = aggregate(Counting(), PLAIN, weights(), {}, sent(given), samples)
    assert seen[0] == max(seen) == length
    assert sum(seen) == 11
    assert after == aggregate(MeanReducer(), PLAIN, weights(), {}, sent(given), samples)[0]


@pytest.mark.parametrize("brings", [True, False])
def test_mapped_updates_give_the_same_whether_they_are_copied_or_not(monkeypatch, tmp_path, brings):
    monkeypatch.setattr(blocks, "can_bring", lambda: brings and can_bring())
    monkeypatch.setattr(blocks, "BLOCK", 4)
    given, samples = updates(9), range(1, 10)
    frames = [mapped_file(tmp_path / str(number), frame) for number, frame in enumerate(framed(given))]
    after, _ = aggregate(MeanReducer(), PLAIN, weights(), {}, UpdateBlocks(UNCODED, frames), samples)
    assert after == aggregate(MeanReducer(), PLAIN, weights(), {}, sent(given), samples)[0]


def test_some_updates_may_be_mapped_and_others_not(tmp_path):
    given, samples = updates(4), range(1, 5)
    frames = framed(given)
    mixed = [mapped_file(tmp_path / "0", frames[0]), frames[1], mapped_file(tmp_path / "2", frames[2]), frames[3]]
    after, _ = aggregate(MeanReducer(), PLAIN, weights(), {}, UpdateBlocks(UNCODED, mixed), samples)
    assert after == aggregate(MeanReducer(), PLAIN, weights(), {}, sent(given), samples)[0]


def test_an_update_that_stands_askew_in_its_file_is_read_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(blocks, "BLOCK", 4)
    given, samples = updates(2), [1, 2]
    frames = [mapped_file(tmp_path / str(number), b"odd" + frame)[3:] for number, frame in enumerate(framed(given))]
    after, _ = aggregate(MeanReducer(), PLAIN, weights(), {}, UpdateBlocks(UNCODED, frames), samples)
    assert after == aggregate(MeanReducer(), PLAIN, weights(), {}, sent(given), samples)[0]


@pytest.mark.skipif(not can_bring(), reason="this system cannot keep to a block of a mapped file")
def test_mapped_updates_are_read_where_they_are_however_many(tmp_path):
    frames = [mapped_file(tmp_path / str(number), frame) for number, frame in enumerate(framed(updates(40)))]
    read = UpdateBlocks(UNCODED, frames)
    for block in read.slices():
        for given, frame in zip(read.read(block), frames, strict=True):
            assert np.shares_memory(given, np.frombuffer(frame, np.uint8))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is in memory of a map")
@pytest.mark.parametrize("brings", [True, False])
def test_no_more_than_a_block_of_a_mapped_update_stays_in_memory(monkeypatch, tmp_path, brings):
    monkeypatch.setattr(blocks, "can_bring", lambda: brings and can_bring())
    monkeypatch.setattr(blocks, "SHOWN", 100 * blocks.SMALLEST)
    layout = Layout.of({"w": (1_000_000,)})
    frame = to_bytes(Weights(layout, np.ones(layout.size, np.float32)))
    folders = [tmp_path / str(number) for number in range(10)]
    for folder in folders:
        folder.mkdir()
    frames = [mapped_file(folder / "one-of-ten", frame) for folder in folders]
    resident = []

    class Watching(MeanReducer):
        def reduce(self, updates, samples, out):
            super().reduce(updates, samples, out)
            resident.append(resident_bytes("one-of-ten"))

    class WatchingStep(PlainOptimizer):
        def step(self, state, model, reduced):
            left.append(resident_bytes("one-of-ten"))
            return super().step(state, model, reduced)

    given, left = UpdateBlocks(CodedUpdates(Float32Codec(), "float32", layout), frames), []
    aggregate(Watching(), WatchingStep(PlainOptions()), Weights.zeros(layout), {}, given, [1] * 10)
    assert left == [0]
    blocks_of_all, pages_at_their_ends = 4 * blocks.SHOWN, 10 * 2 * mmap.PAGESIZE
    assert max(resident) <= (blocks_of_all + pages_at_their_ends if brings and can_bring() else 0)


def test_the_optimizers_state_goes_in_and_out():
    model = weights()
    momentum = MomentumOptimizer(MomentumOptions(momentum=0.5))
    first, state = aggregate(MeanReducer(), momentum, model, {}, sent(updates(3)), [1, 1, 1])
    _, again = aggregate(MeanReducer(), momentum, first, state, sent(updates(3)), [1, 1, 1])
    np.testing.assert_allclose(again["velocity"], 1.5 * state["velocity"], rtol=1e-6)


class Answer:
    def __init__(self, model, state=None):
        self._answer = model, state or {}

    def step(self, state, model, reduced):
        return self._answer


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            Answer(np.zeros(3, np.float32)),
            r"the model with shape \(3,\) and dtype float32, expected \(11,\) and float32",
        ),
        (Answer(np.zeros(11)), r"the model with shape \(11,\) and dtype float64"),
        (Answer(np.full(11, np.nan, np.float32)), "the model with values that are not finite"),
        (
            Answer(np.zeros(11, np.float32), {"m": np.zeros(2, np.float32)}),
            r"its state 'm' with shape \(2,\) and dtype float32",
        ),
        (
            Answer(np.zeros(11, np.float32), {"m": np.full(11, np.inf, np.float32)}),
            "its state 'm' with values that are not finite",
        ),
    ],
)
def test_an_optimizer_that_breaks_its_contract(answer, text):
    with pytest.raises(PluginFailedError, match=f"^the server optimizer returned {text}"):
        aggregate(MeanReducer(), answer, weights(), {}, sent(updates(3)), [1, 1, 1])
