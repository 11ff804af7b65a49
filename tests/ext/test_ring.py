"""Sums in an integer ring: one set of cases for the compiled kernels, at each level, and their twin."""

import contextlib
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tierwise.ext import RingGrid, _choice, decode_ring, encode_ring, ring_sum, ring_sums

from .levels import WAYS, all_same, implementation, needs_compiled

COUNTS = [*range(1, 10), 15, 16, 17, 40]
SIZES = [0, 1, 15, 2049, 4096, 9000]
"""Around the kernel's blocks of 4,096 and 2,048 items."""
DTYPES = [np.uint32, np.uint64]
LARGEST = {32: 2**31 - 1, 64: 2**63 - 1}


@pytest.fixture(autouse=True, scope="module", params=WAYS)
def _every_way(request):
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.contextmanager(implementation)("ring", request.param) as module,
    ):
        patch.setattr(_choice, "_not_loaded", None)
        patch.setattr(ring_sums, "_ring", module)
        yield


def drawn(dtype, count, size, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, np.iinfo(dtype).max, size, dtype, endpoint=True) for _ in range(count)]


def summed(buffers):
    out = np.full_like(buffers[0], 77)
    ring_sum(buffers, out)
    return out


def decoded(sums, grid, divisor=1):
    out = np.full(sums.size, np.nan, np.float32)
    decode_ring(sums, grid, out, divisor=divisor)
    return out


def grids():
    """Grids of any kind."""
    clips = st.floats(2.0**-126, float(np.finfo(np.float32).max)) | st.floats(0.01, 100.0)
    return st.sampled_from([32, 64]).flatmap(
        lambda bits: st.builds(
            RingGrid, clips, st.integers(1, 2000) | st.integers(1, LARGEST[bits] // 256), bits=st.just(bits)
        )
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", COUNTS)
def test_a_sum_is_that_of_integers_modulo(dtype, count):
    modulus = int(np.iinfo(dtype).max) + 1
    for size in SIZES:
        buffers = drawn(dtype, count, size)
        at = range(0, size, max(1, size // 50))
        got = summed(buffers)
        assert [int(got[i]) for i in at] == [sum(int(x[i]) for x in buffers) % modulus for i in at]
        assert np.array_equal(got, np.sum(buffers, axis=0, dtype=dtype))


@given(st.data())
@settings(max_examples=20)
def test_a_sum_of_any_integers_is_exact_in_any_order(data):
    bits = data.draw(st.sampled_from([32, 64]))
    items = st.integers(0, 2**bits - 1) | st.sampled_from([0, 1, 2 ** (bits - 1), 2**bits - 1])
    size = data.draw(st.integers(1, 20))
    rows = data.draw(st.lists(st.lists(items, min_size=size, max_size=size), min_size=1, max_size=20))
    buffers = [np.array(row, f"uint{bits}") for row in rows]
    expected = [sum(column) % 2**bits for column in zip(*rows, strict=True)]
    assert summed(buffers).tolist() == expected
    assert summed(data.draw(st.permutations(buffers))).tolist() == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_that_cancel_leave_the_sum(dtype):
    updates = drawn(dtype, 12, 3000)
    masked = [update.copy() for update in updates]
    for i in range(12):
        for j in range(i):
            (mask,) = drawn(dtype, 1, 3000, seed=100 * i + j)
            masked[i] += mask
            masked[j] -= mask
    assert not any(np.array_equal(a, b) for a, b in zip(updates, masked, strict=True))
    assert np.array_equal(summed(masked), summed(updates))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_of_the_same_buffer_many_times_and_of_one_that_is_read_only(dtype):
    (buffer,) = drawn(dtype, 1, 100)
    buffer.flags.writeable = False
    assert np.array_equal(summed([buffer] * 30), buffer * dtype(30))


@given(grids())
@settings(max_examples=25)
@example(RingGrid(1.0, 2**23, 32))
@example(RingGrid(2.0**-126, LARGEST[64] // 256, 64))
@example(RingGrid(float(np.finfo(np.float32).max), 1, 64))
def test_a_step_is_the_finest_that_cannot_overflow(grid):
    clip = Fraction(grid.clip)
    assert Fraction(grid.step) == Fraction(2) ** grid.exponent
    steps = round(clip / Fraction(grid.step))
    assert steps >= 127
    assert grid.weight_limit * steps <= LARGEST[grid.bits]
    assert grid.weight_limit * round(2 * clip / Fraction(grid.step)) > LARGEST[grid.bits]


@given(grids(), st.sampled_from([1, -1]), st.integers(1, 9))
@settings(max_examples=25)
@example(RingGrid(np.nextafter(2.0, 0), 1, 64), 1, 1)
@example(RingGrid(1.0, 127, 32), -1, 9)
def test_no_sum_overflows_at_the_bounds(grid, sign, count):
    count = min(count, grid.weight_limit)
    weights = [grid.weight_limit // count] * count
    weights[0] += grid.weight_limit - sum(weights)
    # Clipping makes any larger magnitude the bound itself.
    values = np.array([sign * np.finfo(np.float32).max, sign * np.nextafter(np.float32(grid.clip), 0)], np.float32)
    out = summed([encode_ring(values, grid, weight) for weight in weights])
    steps = round(Fraction(grid.clip) / Fraction(grid.step))
    total = int(out.view(f"int{grid.bits}")[0])
    assert total == sign * grid.weight_limit * steps
    assert int(np.sign(out.view(f"int{grid.bits}")[1])) == sign
    with np.errstate(over="ignore"):
        expected = np.float32(float(total) * grid.step / float(grid.weight_limit))
    assert decoded(out, grid, grid.weight_limit)[0] == expected


@given(grids(), st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=12), st.data())
@settings(max_examples=25)
def test_encoding_rounds_half_to_even_clips_and_multiplies(grid, parts, data):
    weight = data.draw(st.integers(1, grid.weight_limit))
    with np.errstate(over="ignore"):
        values = np.clip(np.array(parts) * grid.clip, -3e38, 3e38).astype(np.float32)
    step, clip = Fraction(grid.step), Fraction(grid.clip)
    integers = [round(min(max(Fraction(float(x)), -clip), clip) / step) for x in values]
    got = encode_ring(values, grid, weight)
    assert got.dtype == np.dtype(f"uint{grid.bits}")
    assert got.tolist() == [weight * i % 2**grid.bits for i in integers]


@pytest.mark.parametrize("bits", [32, 64])
def test_ties_go_to_the_even_step(bits):
    grid = RingGrid(1000.0, LARGEST[bits] // 1023, bits)
    assert grid.step == 1.0
    ties = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 999.5, -0.0], np.float32)
    assert encode_ring(ties, grid).view(f"int{bits}").tolist() == [0, 2, 2, 0, -2, -2, 1000, 0]


@given(grids(), st.lists(st.floats(-1, 1), min_size=1, max_size=12))
@settings(max_examples=25)
def test_decoding_gives_back_a_value_within_half_a_step(grid, parts):
    values = np.array(parts) * grid.clip
    values = values.astype(np.float32)
    got = decoded(encode_ring(values, grid), grid)
    for value, back in zip(values.tolist(), got.tolist(), strict=True):
        clipped = min(max(Fraction(value), -Fraction(grid.clip)), Fraction(grid.clip))
        if math.isinf(back):  # where half a step beyond the clip bound is beyond float32
            assert grid.clip > 3e38
            continue
        # and once the rounding to float32
        rounding = max(Fraction(abs(back)) / 2**24, Fraction(1, 2**150))
        assert abs(Fraction(back) - clipped) <= Fraction(grid.step) / 2 + rounding


@pytest.mark.parametrize("bits", [32, 64])
def test_a_weighted_mean_is_within_half_a_step_of_the_exact_one(bits):
    rng = np.random.default_rng(5)
    weights = rng.integers(1, 500, 20).tolist()
    updates = [rng.uniform(-0.25, 0.25, 5000).astype(np.float32) for _ in weights]
    grid = RingGrid(0.25, sum(weights), bits)
    out = summed([encode_ring(x, grid, w) for x, w in zip(updates, weights, strict=True)])
    exact = np.average(np.asarray(updates, np.float64), axis=0, weights=weights)
    got = decoded(out, grid, sum(weights))
    assert np.all(np.abs(got - exact) <= grid.step / 2 + 2.0**-24 * np.abs(exact) + 1e-15)


@pytest.mark.parametrize("bits", [32, 64])
def test_decoding_reads_twos_complement(bits):
    grid = RingGrid(1.0, 1, bits)
    sums = np.array([0, 1, -1, LARGEST[bits], -LARGEST[bits] - 1], f"int{bits}").view(f"uint{bits}")
    expected = [float(np.float32(int(x) * grid.step / 3)) for x in sums.view(f"int{bits}")]
    assert decoded(sums, grid, 3).tolist() == expected


@needs_compiled
@pytest.mark.parametrize("bits", [32, 64])
def test_encoding_and_decoding_have_the_bits_of_the_twin(bits):
    grid = RingGrid(3.7, 1001, bits)
    rng = np.random.default_rng(1)
    values = (rng.standard_normal(20_001) * 2).astype(np.float32)
    (sums,) = drawn(f"uint{bits}", 1, 20_001)

    def coded(module):
        out = np.zeros(values.size, grid.dtype)
        assert module.encode(values, grid.clip, 1 / grid.step, 1001, out)
        return out

    def values_of(module):
        out = np.zeros(sums.size, np.float32)
        module.decode(sums, grid.step, 7.0, out)
        return out

    assert all_same("ring", coded)
    assert all_same("ring", values_of)


def test_encoding_writes_to_what_is_given():
    grid = RingGrid(1.0, 10)
    out = np.zeros(3, np.uint32)
    assert encode_ring(np.ones(3, np.float32), grid, out=out) is out
    assert out.tolist() == [round(1 / grid.step)] * 3
    assert encode_ring(np.empty(0, np.float32), grid).size == 0
    assert decoded(np.empty(0, np.uint32), grid).size == 0


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 16_384, 20_000])
def test_a_value_that_is_not_finite_is_named_and_nothing_written(wrong, at):
    values = np.zeros(20_001, np.float32)
    values[at] = values[-1] = wrong
    out = np.full(values.size, 77, np.uint32)
    with pytest.raises(ValueError, match=rf"values\[{at}\] is {wrong}, expected finite values"):
        encode_ring(values, RingGrid(1.0, 10), out=out)
    assert np.all(out == 77)


@pytest.mark.parametrize(
    ("clip", "weight_limit", "bits", "text"),
    [
        (0.0, 1, 32, r"clip is 0\.0, expected a number from 2\*\*-126"),
        (-1.0, 1, 32, "clip is -1.0"),
        (2.0**-127, 1, 32, "clip is 5.8"),
        (np.inf, 1, 32, "clip is inf"),
        (np.nan, 1, 32, "clip is nan"),
        (1e39, 1, 64, "clip is 1e\\+39"),
        (1.0, 0, 32, "weight_limit is 0, expected a positive integer"),
        (1.0, 1, 16, "bits is 16, expected 32 or 64"),
        (1.0, 2**25, 32, "weight_limit is 33554432, .* take bits=64 or a weight_limit of 8388607 or less"),
        (1.0, 2**57, 64, "weight_limit is 144115188075855872, .* of 1.0; take a weight_limit of 36028797018963967 or"),
        (1.0, 2**70, 64, "less than 127 steps of 64 bits"),
    ],
)
def test_a_grid_that_cannot_be(clip, weight_limit, bits, text):
    with pytest.raises(ValueError, match=text):
        RingGrid(clip, weight_limit, bits)


@given(st.floats(0.001, 1000), st.sampled_from([32, 64]))
@settings(max_examples=25)
def test_the_weight_limit_that_an_error_advises_is_good(clip, bits):
    with pytest.raises(ValueError, match="a weight_limit of ") as caught:
        RingGrid(clip, 2**bits, bits)
    advised = int(str(caught.value).split("a weight_limit of ")[1].split()[0])
    assert RingGrid(clip, advised, bits).weight_limit == advised


@pytest.mark.parametrize(("clip", "weight_limit"), [("wide", 1), (None, 1), (1.0, 1.5)])
def test_a_grid_of_other_types(clip, weight_limit):
    with pytest.raises((TypeError, ValueError)):
        RingGrid(clip, weight_limit)


ONES = np.ones(4, np.uint32)


@pytest.mark.parametrize(
    ("buffers", "out", "error", "text"),
    [
        ([], np.zeros(4, np.uint32), ValueError, "buffers is empty"),
        ([ONES], [0, 0, 0, 0], TypeError, "out is of type list"),
        ([ONES], np.zeros(4, np.int32), TypeError, "out has dtype int32, expected uint32 or uint64"),
        ([ONES], np.zeros(4, np.uint64), TypeError, r"buffers\[0\] has dtype uint32, expected uint64"),
        ([ONES, ONES.astype(">u4")], np.zeros(4, np.uint32), TypeError, r"buffers\[1\] has dtype >u4"),
        ([ONES, ONES[:3]], np.zeros(4, np.uint32), ValueError, r"buffers\[1\] has 3 items, expected 4, as many as out"),
        ([np.ones(8, np.uint32)[::2]], np.zeros(4, np.uint32), ValueError, r"buffers\[0\] has strides"),
        ([np.ones((2, 2), np.uint32)], np.zeros(4, np.uint32), ValueError, r"buffers\[0\] has shape \(2, 2\)"),
        ([ONES], np.zeros((2, 2), np.uint32), ValueError, r"out has shape \(2, 2\)"),
        ([ONES], np.frombuffer(bytes(16), np.uint32), ValueError, "out is read-only"),
    ],
)
def test_a_sum_that_cannot_be(buffers, out, error, text):
    with pytest.raises(error, match=text):
        ring_sum(buffers, out)


def test_a_sum_into_its_own_buffer():
    out = np.arange(8, dtype=np.uint64)
    with pytest.raises(ValueError, match=r"buffers\[1\] shares memory with out"):
        ring_sum([np.ones(8, np.uint64), out], out)
    assert out.tolist() == list(range(8))


VALUES = np.zeros(4, np.float32)


@pytest.mark.parametrize(
    ("values", "options", "error", "text"),
    [
        ([0.0], {}, TypeError, "values is of type list"),
        (np.zeros(4), {}, TypeError, "values has dtype float64, expected float32"),
        (np.zeros((2, 2), np.float32), {}, ValueError, "values has shape"),
        (VALUES, {"weight": 0}, ValueError, "weight is 0, expected 1 to 10"),
        (VALUES, {"weight": 11}, ValueError, "weight is 11, expected 1 to 10"),
        (VALUES, {"weight": 1.5}, TypeError, "float"),
        (VALUES, {"out": np.zeros(4, np.uint64)}, TypeError, "out has dtype uint64, expected uint32"),
        (VALUES, {"out": np.zeros(5, np.uint32)}, ValueError, "values has 4 items, expected 5, as many as out"),
        (VALUES, {"out": np.frombuffer(bytes(16), np.uint32)}, ValueError, "out is read-only"),
        (VALUES, {"out": VALUES.view(np.uint32)}, ValueError, "values shares memory with out"),
    ],
)
def test_an_encoding_that_cannot_be(values, options, error, text):
    with pytest.raises(error, match=text):
        encode_ring(values, RingGrid(1.0, 10), **options)


@pytest.mark.parametrize(
    ("sums", "out", "divisor", "error", "text"),
    [
        (ONES, VALUES.copy(), 0, ValueError, "divisor is 0, expected a positive integer"),
        (ONES, VALUES.copy(), 1.0, TypeError, "float"),
        (ONES, np.zeros(4), 1, TypeError, "out has dtype float64"),
        (ONES.astype(np.uint64), VALUES.copy(), 1, TypeError, "sums has dtype uint64, expected uint32"),
        (ONES[:3], VALUES.copy(), 1, ValueError, "sums has 3 items, expected 4, as many as out"),
        (ONES, np.frombuffer(bytes(16), np.float32), 1, ValueError, "out is read-only"),
        (VALUES.view(np.uint32), VALUES, 1, ValueError, "sums shares memory with out"),
    ],
)
def test_a_decoding_that_cannot_be(sums, out, divisor, error, text):
    with pytest.raises(error, match=text):
        decode_ring(sums, RingGrid(1.0, 10), out, divisor=divisor)
