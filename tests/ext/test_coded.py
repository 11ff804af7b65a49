"""Sums of coded updates, and coding: one set of cases for the compiled kernels, at each level, and their twin."""

import importlib
import importlib.util
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tierwise import ext
from tierwise.ext import INT8_BLOCK, _average_numpy, _choice, _coded_numpy, coded_sums, coding

HAVE_COMPILED = importlib.util.find_spec("tierwise.ext._coded") is not None
needs_compiled = pytest.mark.skipif(
    not HAVE_COMPILED,
    reason="the compiled kernels are not built: install a C compiler, then `make test` builds them",
)
SIZES = [0, 1, INT8_BLOCK - 1, INT8_BLOCK, INT8_BLOCK + 1, 17 * INT8_BLOCK + 5]
COUNTS = [1, 2, 7, 9, 64, 130]


@pytest.fixture(
    scope="module", autouse=True, params=["numpy", *(pytest.param(k, marks=needs_compiled) for k in range(3))]
)
def _implementation(request):
    """All of this file runs with each of the implementations: the twin, and the kernels at every level."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_choice, "_not_loaded", None)
        if request.param == "numpy":
            module = _coded_numpy
        else:
            module = importlib.import_module("tierwise.ext._coded")
            if request.param >= module.LEVELS:
                pytest.skip(f"this machine has no vectors of level {request.param}")
            module.use_level(request.param)
        for public in (coded_sums, coding):
            patch.setattr(public, "_coded", module)
        yield
        if module is not _coded_numpy:
            module.use_level(module.LEVELS - 1)


def floats(rng, n):
    """Values over many magnitudes, so that the order of additions shows."""
    return (rng.standard_normal(n) * 10.0 ** rng.uniform(-3, 3, n)).astype(np.float32)


def by_law(products):
    """The sum of given float32 products by the law of `weighted_sum`."""
    out = np.full(products[0].size, np.nan, np.float32)
    _average_numpy.weighted_sum(tuple(products), np.ones(len(products), np.float32), out)
    return out


def bits(array):
    return array.view(np.uint32).tolist()


def sum_of(function, *arrays, weights, size, **options):
    out = np.full(size, np.nan, np.float32)
    function(*arrays, np.asarray(weights, np.int64), out, **options)
    return out


@pytest.mark.parametrize("n_buffers", COUNTS)
@pytest.mark.parametrize("size", SIZES)
def test_a_sum_of_float16_has_the_bits_of_the_sum_of_float32(n_buffers, size):
    rng = np.random.default_rng(n_buffers + size)
    halves = [floats(rng, size).astype(np.float16) for _ in range(n_buffers)]
    weights = rng.integers(1, 1000, n_buffers)
    expected = sum_of(ext.weighted_sum, [x.astype(np.float32) for x in halves], weights=weights, size=size, divisor=77)
    got = sum_of(ext.weighted_sum_float16, halves, weights=weights, size=size, divisor=77)
    assert bits(got) == bits(expected)


def test_every_float16_is_what_it_stands_for():
    every = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(np.float16)
    got = sum_of(ext.weighted_sum_float16, [every], weights=[1], size=every.size)
    expected = every.astype(np.float32)
    assert np.array_equal(np.isnan(got), np.isnan(every))
    numbers = ~np.isnan(every)
    assert bits(got[numbers]) == bits(expected[numbers])


@pytest.mark.parametrize("n_buffers", COUNTS)
@pytest.mark.parametrize("size", SIZES)
def test_a_sum_of_bfloat16_has_the_bits_of_the_sum_of_float32(n_buffers, size):
    rng = np.random.default_rng(n_buffers + size)
    halves = [ext.encode_bfloat16(floats(rng, size)) for _ in range(n_buffers)]
    weights = rng.integers(1, 1000, n_buffers)
    wide = [(x.astype(np.uint32) << np.uint32(16)).view(np.float32) for x in halves]
    expected = sum_of(ext.weighted_sum, wide, weights=weights, size=size, divisor=77)
    got = sum_of(ext.weighted_sum_bfloat16, halves, weights=weights, size=size, divisor=77)
    assert bits(got) == bits(expected)


@pytest.mark.parametrize("n_buffers", COUNTS)
@pytest.mark.parametrize("size", SIZES)
def test_a_sum_of_int8_follows_the_law(n_buffers, size):
    rng = np.random.default_rng(n_buffers + size)
    steps = [rng.integers(-127, 128, size).astype(np.int8) for _ in range(n_buffers)]
    scales = [np.abs(floats(rng, -(-size // INT8_BLOCK))) for _ in range(n_buffers)]
    weights = rng.integers(1, 1000, n_buffers)
    products = [
        np.repeat(np.float32(w / 77) * s, INT8_BLOCK)[:size] * x.astype(np.float32)
        for w, s, x in zip(weights, scales, steps, strict=True)
    ]
    got = sum_of(ext.weighted_sum_int8, steps, scales, weights=weights, size=size, divisor=77)
    assert bits(got) == bits(by_law(products))


def test_a_stretch_of_blocks_can_be_summed_by_itself():
    rng = np.random.default_rng(0)
    size, first = 40 * INT8_BLOCK + 3, 21 * INT8_BLOCK
    coded = [ext.encode_int8(floats(rng, size), seed=k) for k in range(11)]
    weights = rng.integers(1, 9, 11)
    steps, scales = zip(*coded, strict=True)
    whole = sum_of(ext.weighted_sum_int8, steps, scales, weights=weights, size=size)
    part = sum_of(
        ext.weighted_sum_int8, [x[first:] for x in steps], [x[21:] for x in scales], weights=weights, size=size - first
    )
    assert bits(part) == bits(whole[first:])


def sparse(rng, size, count):
    where = np.sort(rng.choice(size, count, replace=False)).astype(np.uint32)
    return where, floats(rng, count)


@pytest.mark.parametrize("n_buffers", [1, 2, 9, 65])
@pytest.mark.parametrize(("size", "count"), [(1, 1), (50, 7), (9000, 4000), (20_000, 13), (20_000, 0)])
def test_a_sparse_sum_is_the_running_sum_in_float64(n_buffers, size, count):
    rng = np.random.default_rng(size + count)
    indices, values = zip(*(sparse(rng, size, count) for _ in range(n_buffers)), strict=True)
    weights = rng.integers(1, 1000, n_buffers)
    expected = np.zeros(size)
    for where, what, weight in zip(indices, values, weights, strict=True):
        expected[where] += float(np.float32(weight / 77)) * what.astype(np.float64)
    got = sum_of(ext.weighted_sum_sparse, indices, values, weights=weights, size=size, divisor=77)
    assert bits(got) == bits(expected.astype(np.float32))


@given(st.data())
def test_a_stretch_of_a_sparse_sum_is_part_of_the_whole(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    size = data.draw(st.integers(1, 12_000))
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    indices, values = zip(
        *(sparse(rng, size, data.draw(st.integers(0, min(size, 300)))) for _ in range(3)), strict=True
    )
    whole = sum_of(ext.weighted_sum_sparse, indices, values, weights=[3, 1, 2], size=size)
    part = sum_of(ext.weighted_sum_sparse, indices, values, weights=[3, 1, 2], size=stop - start, start=start)
    assert bits(part) == bits(whole[start:stop])


def test_the_last_coordinates_that_an_index_can_name():
    start = (1 << 32) - 11
    indices = [np.array([5, start, start + 9], np.uint32)]
    values = [np.array([1, 2, 3], np.float32)]
    got = sum_of(ext.weighted_sum_sparse, indices, values, weights=[1], size=10, start=start)
    assert got.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 3]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [0, 1, (1 << 64) - 1])
def test_int8_is_within_a_step_of_the_value(size, seed):
    values = floats(np.random.default_rng(size), size)
    steps, scales = ext.encode_int8(values, seed=seed)
    decoded = np.full(size, np.nan, np.float32)
    ext.decode_int8(steps, scales, decoded)
    each = np.repeat(scales, INT8_BLOCK)[:size]
    assert steps.dtype == np.int8
    assert np.all(np.abs(steps.astype(int)) <= 127)
    assert np.all(np.abs(decoded - values) <= each * (1 + 2.0**-14))
    assert bits(decoded) == bits(each * steps.astype(np.float32))
    for start in range(0, size, INT8_BLOCK):
        block = slice(start, start + INT8_BLOCK)
        assert np.abs(steps[block].astype(int)).max() == 127  # the largest magnitude loses nothing
        assert scales[start // INT8_BLOCK] == np.abs(values[block]).max() / np.float32(127)


def test_int8_has_the_expectation_of_the_value():
    values = np.random.default_rng(3).uniform(-1, 1, 3000).astype(np.float32)
    runs = 2000
    total = np.zeros(values.size)
    for seed in range(runs):
        steps, scales = ext.encode_int8(values, seed=seed)
        total += steps
    step = np.repeat(scales, INT8_BLOCK)[: values.size].astype(np.float64)
    error = total / runs - values / step  # in steps; a single one deviates by half a step at the most
    assert np.abs(error).max() < 5 * 0.5 / np.sqrt(runs)
    assert abs(error.mean()) < 5 * 0.5 / np.sqrt(runs * values.size)


def test_int8_rounds_differently_with_each_seed_and_each_value():
    values = np.full(4096, 0.3, np.float32)
    values[::INT8_BLOCK] = 1
    rounded = np.stack([ext.encode_int8(values, seed=seed)[0] for seed in range(64)]).astype(float)
    rounded = np.delete(rounded, np.s_[::INT8_BLOCK], axis=1)
    centred = rounded - rounded.mean()
    spread = centred.std()
    for other in (np.roll(centred, 1, axis=0), np.roll(centred, 1, axis=1)):
        correlation = float((centred * other).mean() / spread**2)
        assert abs(correlation) < 5 / np.sqrt(centred.size)


@pytest.mark.parametrize("magnitude", [0, 2.0**-149, 2.0**-101])
def test_a_block_of_next_to_nothing_becomes_zeros(magnitude):
    values = np.full(INT8_BLOCK + 4, magnitude, np.float32)
    values[INT8_BLOCK] = -(2.0**-100)
    steps, scales = ext.encode_int8(values, seed=5)
    assert not steps[:INT8_BLOCK].any()
    assert scales.tolist() == [0, np.float32(2.0**-100) / np.float32(127)]
    assert steps[INT8_BLOCK] == -127


def test_the_largest_values_survive_int8():
    values = np.array([3.4e38, -3.4e38, 1.7e38, 0], np.float32)
    steps, scales = ext.encode_int8(values, seed=1)
    assert steps[:2].tolist() == [127, -127]
    assert steps[2] in (63, 64)
    assert scales[0] == np.float32(3.4e38) / np.float32(127)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 1500, 20_000])
def test_int8_of_a_value_that_is_not_finite(bad, at):
    values = np.ones(20_001, np.float32)
    values[at] = bad
    with pytest.raises(ValueError, match=rf"^values\[{at}\] is {bad}, expected finite values$"):
        ext.encode_int8(values, seed=0)


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
    st.integers(0, (1 << 64) - 1),
    st.sampled_from([0, 1, 1000, 16_000]),
)
def test_int8_has_the_bits_of_the_specification(given_values, seed, before):
    values = np.concatenate([np.linspace(-1, 1, before), given_values]).astype(np.float32)
    steps, scales = ext.encode_int8(values, seed=seed)
    expected = np.empty_like(steps), np.empty_like(scales)
    _coded_numpy.encode_int8(values, coding._key(seed), *expected)
    assert steps.tolist() == expected[0].tolist()
    assert bits(scales) == bits(expected[1])


@given(st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=70))
def test_bfloat16_has_the_bits_of_the_specification(patterns):
    values = np.array(patterns, np.uint32).view(np.float32)
    expected = np.empty(values.size, np.uint16)
    _coded_numpy.encode_bfloat16(values, expected)
    assert ext.encode_bfloat16(values).tolist() == expected.tolist()


@given(st.integers(0, (1 << 32) - 1))
@example(0x7F800001)  # a NaN whose fraction is in the lower half alone
@example(0x00018000)  # halfway
@example(0x00008000)
def test_bfloat16_is_the_nearest(pattern):
    value = np.array([pattern], np.uint32).view(np.float32)
    coded = ext.encode_bfloat16(value)
    back = np.empty(1, np.float32)
    ext.decode_bfloat16(coded, back)
    if not np.isfinite(value[0]):
        assert np.isnan(back[0]) if np.isnan(value[0]) else back[0] == value[0]
        return
    below = pattern >> 16  # the neighbours: truncated, and the next one away from zero
    exact, distances = Fraction(float(value[0])), []
    for neighbour in (below, below + 1):
        wide = np.array([neighbour << 16], np.uint32).view(np.float32)[0]
        # Infinity lies where the next number would, if there were one.
        number = Fraction(float(wide)) if np.isfinite(wide) else Fraction(2) ** 128 * int(np.sign(wide))
        distances.append((abs(exact - number), neighbour % 2, neighbour))
    assert int(coded[0]) == min(distances)[2]


FLOATS = np.ones(4, np.float32)
HALVES = np.ones(4, np.float16)
STEPS = np.ones(4, np.int8)
SCALES = np.ones(1, np.float32)
INDICES = np.arange(4, dtype=np.uint32)
ONE = np.ones(1, np.int64)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda out: ext.weighted_sum_float16([FLOATS], ONE, out),
            TypeError,
            "values[0] has dtype float32, expected float16",
        ),
        (
            lambda out: ext.weighted_sum_bfloat16([HALVES], ONE, out),
            TypeError,
            "values[0] has dtype float16, expected uint16",
        ),
        (
            lambda out: ext.weighted_sum_int8([STEPS, STEPS[:3]], [SCALES] * 2, np.ones(2, np.int64), out),
            ValueError,
            "values[1] has 3 items, expected 4, as many as out",
        ),
        (
            lambda out: ext.weighted_sum_int8([STEPS], [], ONE, out),
            ValueError,
            "scales has 0 items, expected 1, one for each of values",
        ),
        (
            lambda out: ext.weighted_sum_int8([STEPS], [FLOATS], ONE, out),
            ValueError,
            "scales[0] has 4 items, expected 1, as many as blocks of 1024 in out",
        ),
        (
            lambda out: ext.weighted_sum_int8([out.view(np.int8)[:4]], [SCALES], ONE, out),
            ValueError,
            "values[0] shares memory with out, expected a separate array: out is written before all buffers are read",
        ),
        (
            lambda out: ext.weighted_sum_sparse([], [], ONE, out),
            ValueError,
            "values is empty, expected at least one buffer",
        ),
        (
            lambda out: ext.weighted_sum_sparse([], [FLOATS], ONE, out),
            ValueError,
            "indices has 0 items, expected 1, one for each of values",
        ),
        (
            lambda out: ext.weighted_sum_sparse([INDICES[:3]], [FLOATS], ONE, out),
            ValueError,
            "values[0] has 4 items, expected 3, as many as indices[0]",
        ),
        (
            lambda out: ext.weighted_sum_sparse([INDICES[::-1].copy()], [FLOATS], ONE, out),
            ValueError,
            "indices[0] does not increase strictly, expected each index once and in order",
        ),
        (
            lambda out: ext.weighted_sum_sparse([np.array([0, 1, 1, 2], np.uint32)], [FLOATS], ONE, out),
            ValueError,
            "indices[0] does not increase strictly, expected each index once and in order",
        ),
        (
            lambda out: ext.weighted_sum_sparse([np.array([0, 9, 1, 2], np.uint32)], [FLOATS], ONE, out),
            ValueError,
            "indices[0] does not increase strictly, expected each index once and in order",
        ),
        (
            lambda out: ext.weighted_sum_sparse([INDICES], [FLOATS], ONE, out, start=-1),
            ValueError,
            "start is -1 and out has 4 items, expected coordinates from 0 to 2**32 - 1",
        ),
        (
            lambda out: ext.weighted_sum_sparse([INDICES], [FLOATS], ONE, out, start=(1 << 32) - 4),
            ValueError,
            "start is 4294967292 and out has 4 items, expected coordinates from 0 to 2**32 - 1",
        ),
        (
            lambda out: ext.weighted_sum_sparse([INDICES], [FLOATS], ONE, out, divisor=0),
            ValueError,
            "divisor is 0, expected a positive integer",
        ),
        (lambda out: ext.encode_int8(HALVES, seed=0), TypeError, "values has dtype float16, expected float32"),
        (lambda out: ext.encode_int8(FLOATS, seed=-1), ValueError, "seed is -1, expected 0 to 2**64 - 1"),
        (
            lambda out: ext.decode_int8(STEPS, FLOATS, out),
            ValueError,
            "scales has 4 items, expected 1, as many as blocks of 1024 in out",
        ),
        (
            lambda out: ext.decode_int8(STEPS[:2], SCALES, out),
            ValueError,
            "steps has 2 items, expected 4, as many as out",
        ),
        (
            lambda out: ext.encode_bfloat16([1.0]),
            TypeError,
            "values is of type list, expected a NumPy array of float32",
        ),
        (
            lambda out: ext.decode_bfloat16(out.view(np.uint16)[:4], out),
            ValueError,
            "values shares memory with out, expected a separate array: out is written before all buffers are read",
        ),
    ],
)
def test_errors_name_the_argument_and_its_value(call, error, text):
    out = np.full(4, 9, np.float32)
    with pytest.raises(error) as caught:
        call(out)
    assert str(caught.value) == text
    assert out.tolist() == [9.0] * 4
