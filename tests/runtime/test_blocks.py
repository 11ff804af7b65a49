"""Reading a cohort's coded updates block by block, and summing them as they were sent."""

import mmap
import sys

import numpy as np
import pytest

from tierwise.core.aggregation import Need
from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.coding import GRAIN
from tierwise.core.weights import Layout, Weights
from tierwise.plugins.aggregation.mean import MeanReducer
from tierwise.plugins.aggregation.plain import PlainOptimizer, PlainOptions
from tierwise.plugins.codecs.halves import Float16Codec, HalfOptions
from tierwise.plugins.codecs.int8 import Int8Codec, Int8Options
from tierwise.plugins.codecs.top_k import TopKCodec, TopKOptions
from tierwise.runtime import blocks
from tierwise.runtime.aggregating import aggregate
from tierwise.runtime.blocks import UpdateBlocks

from .helpers import resident_bytes

PLAIN = PlainOptimizer(PlainOptions())
LAYOUT = Layout.of({"w": (5 * GRAIN + 9,)})
CODECS = {
    "float16": Float16Codec(HalfOptions()),
    "int8": Int8Codec(Int8Options()),
    "top-k": TopKCodec(TopKOptions(fraction=0.1)),
}


class NotSumming(Int8Codec):
    weighted_sum = None


class Individual(MeanReducer):
    """A mean that wants to see each update."""

    @property
    def need(self):
        return Need.INDIVIDUAL


class Unweighed(MeanReducer):
    """A mean that does not tell its weights."""

    weights = None

    def reduce(self, updates, samples, out):
        out[:] = np.average(np.stack(updates), axis=0, weights=samples)


def coding(name, layout=LAYOUT):
    return CodedUpdates(CODECS[name], name, layout)


def sent(name, count, layout=LAYOUT):
    one = coding(name, layout)
    random = np.random.default_rng(0)
    updates = (random.normal(size=layout.size).astype(np.float32) for _ in range(count))
    return [one.frame(one.codec.encode(update, seed)) for seed, update in enumerate(updates)]


def decoded(name, frame):
    one = coding(name)
    return np.concatenate([block.copy() for _, block in one.blocks(one.read(frame, "it"), GRAIN)]).astype(np.float64)


def reduced(reducer, name, frames):
    samples = range(1, len(frames) + 1)
    model = Weights.zeros(LAYOUT)
    return aggregate(reducer, PLAIN, model, {}, UpdateBlocks(coding(name), frames), samples)[0].buffer


@pytest.mark.parametrize("count", [3, blocks.TOGETHER, 5 * blocks.TOGETHER + 2])
@pytest.mark.parametrize("name", CODECS)
def test_a_sum_of_what_was_sent_is_the_mean_of_what_it_stands_for(name, count):
    frames = sent(name, count)
    mean = np.average([decoded(name, frame) for frame in frames], axis=0, weights=range(1, count + 1))
    np.testing.assert_allclose(reduced(MeanReducer(), name, frames), mean, rtol=0, atol=2e-6)
    np.testing.assert_allclose(reduced(Individual(), name, frames), mean, rtol=0, atol=2e-6)


def test_only_who_needs_the_sum_and_tells_its_weights_gets_it(monkeypatch):
    frames, summed = sent("int8", 3), []
    monkeypatch.setattr(UpdateBlocks, "weighted_sum", lambda *_, divisor: summed.append(divisor))
    for reducer in (Individual(), Unweighed()):
        reduced(reducer, "int8", frames)
    monkeypatch.setitem(CODECS, "int8", NotSumming(Int8Options()))
    reduced(MeanReducer(), "int8", frames)
    assert summed == []
    monkeypatch.setitem(CODECS, "int8", Int8Codec(Int8Options()))
    reduced(MeanReducer(), "int8", frames)
    assert summed == [6]


@pytest.mark.parametrize("reducer", [MeanReducer(), Individual()])
@pytest.mark.parametrize("name", CODECS)
def test_the_size_of_a_block_does_not_matter(monkeypatch, name, reducer):
    frames = sent(name, 5)
    whole = reduced(reducer, name, frames)
    monkeypatch.setattr(blocks, "BLOCK", 2 * GRAIN)
    assert reduced(reducer, name, frames).tobytes() == whole.tobytes()


def test_blocks_begin_where_a_codec_can(monkeypatch):
    monkeypatch.setattr(blocks, "SMALLEST", GRAIN)
    monkeypatch.setattr(blocks, "BLOCKS", 8 * GRAIN)
    for count in (1, 3, 5, 9):
        read = UpdateBlocks(coding("int8"), sent("int8", count))
        slices = read.slices()
        assert [block.start % GRAIN for block in slices] == [0] * len(slices)
        assert [block.stop for block in slices[:-1]] == [block.start for block in slices[1:]]
        assert slices[-1].stop == LAYOUT.size
        assert count * (slices[0].stop - slices[0].start) <= max(8 * GRAIN, count * GRAIN)


def test_what_is_read_cannot_be_written_to():
    read = UpdateBlocks(coding("int8"), sent("int8", 2))
    assert not any(block.flags.writeable for block in read.read(read.slices()[0]))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is in memory of a map")
@pytest.mark.parametrize("reducer", [MeanReducer, Individual])
def test_no_more_than_some_mapped_updates_stay_in_memory(monkeypatch, tmp_path, reducer):
    monkeypatch.setattr(blocks, "TOGETHER", 2)
    layout = Layout.of({"w": (3_000_000,)})
    frames = []
    for number, frame in enumerate(sent("int8", 2, layout) * 3):
        path = tmp_path / f"update-{number}"
        path.write_bytes(frame)
        with path.open("rb") as file:
            frames.append(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    resident = []

    class Watching(Int8Codec):
        def decode(self, arrays, block, out):
            super().decode(arrays, block, out)
            resident.append(sum(resident_bytes(f"update-{number}") for number in range(6)))

        def weighted_sum(self, updates, *arguments, **more):
            super().weighted_sum(updates, *arguments, **more)
            resident.append(sum(resident_bytes(f"update-{number}") for number in range(6)))

    given = UpdateBlocks(CodedUpdates(Watching(Int8Options()), "int8", layout), frames)
    aggregate(reducer(), PLAIN, Weights.zeros(layout), {}, given, [1] * 6)
    assert max(resident) <= 2 * 3.1e6  # of 18 MB
