"""The weighted sum: one set of cases for the compiled kernel and its twin."""

import contextlib
import importlib.util
import math
import sys
import threading
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tierwise import ext
from tierwise.ext import _average_numpy, _checks, _choice, averaging

Floats = NDArray[np.float32]

HAVE_COMPILED = importlib.util.find_spec("tierwise.ext._average") is not None
needs_compiled = pytest.mark.skipif(
    not HAVE_COMPILED,
    reason="the compiled kernels are not built: install a C compiler, then `make test` builds them",
)
BLOCK = 4096  # of the compiled kernel
SIZES = [1, 3, 17, BLOCK - 1, BLOCK, BLOCK + 1, 4 * BLOCK, 4 * BLOCK + 5]


@pytest.fixture(autouse=True, scope="module")
def _without_warning():
    """Let this file run without the compiled kernels too: whether they are missed is tested in other processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_choice, "_not_loaded", None)
        yield


@pytest.fixture(params=["numpy", *(pytest.param(level, marks=needs_compiled) for level in range(3))])
def kernel(request, monkeypatch):
    """The public function, with each of the implementations behind it: the twin, and the kernel at every level."""
    monkeypatch.setattr(averaging, "_average", _average_numpy if request.param == "numpy" else compiled())
    if request.param == "numpy":
        yield ext.weighted_sum
    elif request.param >= compiled().LEVELS:
        pytest.skip(f"this machine has no vectors of level {request.param}")
    else:
        with at_level(request.param):
            yield ext.weighted_sum


def compiled():
    return importlib.import_module("tierwise.ext._average")


@contextlib.contextmanager
def at_level(level):
    compiled().use_level(level)
    yield
    compiled().use_level(compiled().LEVELS - 1)


def of_every_implementation(buffers, coefficients):
    """The sum by the twin, and by the kernel at every level that this machine has."""
    out = np.full(buffers[0].size, np.nan, np.float32)
    _average_numpy.weighted_sum(buffers, coefficients, out)
    yield out.copy()
    for level in range(compiled().LEVELS):
        out[:] = np.nan
        with at_level(level):
            compiled().weighted_sum(buffers, coefficients, out)
        yield out.copy()


def draw(rng, n_buffers, size):
    """Updates whose magnitudes differ by much, so that the order of the additions shows in the sum."""
    scale = 10.0 ** rng.uniform(-4, 4, size=(n_buffers, 1))
    buffers = list((rng.standard_normal((n_buffers, size)) * scale).astype(np.float32))
    return buffers, rng.integers(1, 10_000, n_buffers)


def total(function, buffers, weights, divisor=1):
    out = np.full(buffers[0].size, np.nan, np.float32)
    function(buffers, np.asarray(weights, np.int64), out, divisor=divisor)
    return out


def same_bits(a, b):
    """Equal to the bit, signs of zeros included; a NaN equals any other."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return np.array_equal(np.isnan(a), np.isnan(b)) and np.array_equal(
        np.where(np.isnan(a), np.float32(0), a).view(np.uint32),
        np.where(np.isnan(b), np.float32(0), b).view(np.uint32),
    )


def within_bound(result, buffers, weights, divisor):
    """The promised bound, against a float64 sum of the exact quotients."""
    reference = np.zeros(result.size)
    magnitude = np.zeros(result.size)
    for w, x in zip(weights, buffers, strict=True):
        term = (float(w) / divisor) * x.astype(np.float64)
        reference += term
        magnitude += np.abs(term)
    return bool(np.all(np.abs(result - reference) <= 2e-6 * magnitude + len(buffers) * 2.0**-150))


def law(products):
    """The law of summation for one coordinate, recursively and item by item, as its text has it."""

    def pairwise(terms):
        if len(terms) == 1:
            return terms[0]
        half = 1 << (len(terms) - 1).bit_length() - 1
        return pairwise(terms[:half]) + pairwise(terms[half:])

    def panel(terms):
        eights = [pairwise(terms[k : k + 8]) for k in range(0, len(terms), 8)]
        return sum(eights[1:], start=eights[0])

    return pairwise([panel(products[k : k + 64]) for k in range(0, len(products), 64)])


# Every number of buffers that ends an eight, a panel or a pair of panels, and its neighbours.
COUNTS = [*range(1, 18), 63, 64, 65, 71, 127, 128, 129, 191, 192, 193, 255, 256, 257, 320, 321, 449, 513]


@pytest.mark.parametrize("n_buffers", COUNTS)
def test_follows_the_law_of_summation(kernel, n_buffers):
    buffers, weights = draw(np.random.default_rng(n_buffers), n_buffers, 7)
    divisor = int(weights.sum())
    result = total(kernel, buffers, weights, divisor)
    for i, value in enumerate(result):
        products = [np.float32(int(w) / divisor) * x[i] for w, x in zip(weights, buffers, strict=True)]
        assert same_bits(value, law(products))


@needs_compiled
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n_buffers=st.integers(1, 300),
    size=st.one_of(st.integers(0, 40), st.sampled_from(SIZES)),
    divisor=st.sampled_from([1, 7, 10**6, 2**63, 10**30]),
)
def test_kernel_and_twin_agree_to_the_bit(seed, n_buffers, size, divisor):
    buffers, weights = draw(np.random.default_rng(seed), n_buffers, size)
    coefficients = _checks.coefficients(tuple(buffers), weights, np.empty(size, np.float32), divisor)
    twin, *levels = of_every_implementation(tuple(buffers), coefficients)
    assert all(same_bits(result, twin) for result in levels)


ANY_FLOAT = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)


@needs_compiled
@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 40).flatmap(
        lambda size: st.lists(st.lists(ANY_FLOAT, min_size=size, max_size=size), min_size=1, max_size=20)
    ),
    weight=st.integers(-(2**63), 2**63 - 1),
)
def test_kernel_and_twin_agree_on_any_float(rows, weight):
    buffers = tuple(np.array(row, np.float32) for row in rows)
    coefficients = _checks.coefficients(buffers, np.full(len(rows), weight), np.empty(len(rows[0]), np.float32), 2**40)
    twin, *levels = of_every_implementation(buffers, coefficients)
    assert all(same_bits(result, twin) for result in levels)


@pytest.mark.parametrize("n_buffers", [1, 2, 8, 9, 64, 100, 300])
@pytest.mark.parametrize("size", [1, 1000, BLOCK + 3])
def test_error_is_bounded_by_the_sum_of_magnitudes(kernel, n_buffers, size):
    buffers, weights = draw(np.random.default_rng(size), n_buffers, size)
    divisor = int(weights.sum())
    assert within_bound(total(kernel, buffers, weights, divisor), buffers, weights, divisor)
    assert within_bound(total(kernel, buffers, weights), buffers, weights, 1)


def test_error_of_a_hundred_thousand_buffers(kernel):
    # Random values, and constant ones, whose roundings all go one way: there a running float32 sum breaks the
    # bound.
    n = 100_000
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.uniform(0.5, 1.0, n), np.full(n, 0.7), rng.standard_normal(n)])
    values = values.astype(np.float32)
    weights = rng.integers(1, 500, n)
    divisor = int(weights.sum())
    assert within_bound(total(kernel, list(values), weights, divisor), values, weights, divisor)
    equal = np.ones(n, np.int64)
    assert within_bound(total(kernel, list(values), equal, n), values, equal, n)
    running = np.cumsum(np.float32(1 / n) * values, axis=0, dtype=np.float32)[-1]
    assert not within_bound(running, values, equal, n)


@settings(max_examples=50, deadline=None)
@given(
    value=st.floats(-(2.0**100), 2.0**100, width=32),
    weights=st.lists(st.integers(1, 2**40), min_size=1, max_size=200),
)
def test_mean_of_equal_models_is_that_model(value, weights):
    buffers = [np.array([value], np.float32)] * len(weights)
    result = total(ext.weighted_sum, buffers, weights, sum(weights))
    exact = abs(Fraction(float(result[0])) - Fraction(value))
    assert exact <= Fraction(2e-6) * abs(Fraction(value)) + Fraction(2) ** -150 * len(weights)


@pytest.mark.parametrize("factor", [2, 3, 1000, 10**12])
def test_scaling_all_weights_changes_nothing(kernel, factor):
    buffers, weights = draw(np.random.default_rng(1), 20, 50)
    divisor = int(weights.sum())
    assert same_bits(
        total(kernel, buffers, weights, divisor), total(kernel, buffers, weights * factor, divisor * factor)
    )


@pytest.mark.parametrize("cuts", [[1], [BLOCK], [5, BLOCK - 3, 2 * BLOCK + 1], list(range(1000, 9000, 1000))])
def test_blocks_summed_apart_in_any_order_are_the_whole(kernel, cuts):
    size = 2 * BLOCK + 1000
    buffers, weights = draw(np.random.default_rng(2), 70, size)
    whole = total(kernel, buffers, weights, 12345)
    pieces = np.full(size, np.nan, np.float32)
    spans = list(zip([0, *cuts], [*cuts, size], strict=True))
    np.random.default_rng(3).shuffle(spans)
    for start, stop in spans:
        kernel([x[start:stop] for x in buffers], weights, pieces[start:stop], divisor=12345)
    assert same_bits(whole, pieces)


def test_order_of_the_buffers_is_part_of_the_result_but_only_as_rounding(kernel):
    buffers, weights = draw(np.random.default_rng(4), 100, 200)
    order = np.random.default_rng(5).permutation(100)
    divisor = int(weights.sum())
    shuffled = total(kernel, [buffers[k] for k in order], weights[order], divisor)
    assert within_bound(shuffled, buffers, weights, divisor)
    assert not same_bits(shuffled, total(kernel, buffers, weights, divisor))


@pytest.mark.parametrize("n_buffers", [1, 7, 8, 9, 65])
@pytest.mark.parametrize("position", ["first", "last"])
@pytest.mark.parametrize("weight", [0, 3])
def test_nan_and_infinity_stay_in_their_coordinates(kernel, n_buffers, position, weight):
    buffers = [np.ones(9, np.float32) for _ in range(n_buffers)]
    weights = np.ones(n_buffers, np.int64)
    k = 0 if position == "first" else n_buffers - 1
    buffers[k][[2, 4, 6]] = np.nan, np.inf, -np.inf
    weights[k] = weight
    ordinary = n_buffers - 1 + weight
    # A weight of nought is no licence to skip a buffer: 0 * inf is NaN.
    special = [math.nan] * 3 if weight == 0 else [math.nan, math.inf, -math.inf]
    expected = np.full(9, ordinary, np.float32)
    expected[[2, 4, 6]] = special
    assert same_bits(total(kernel, buffers, weights), expected)


def test_opposite_infinities_make_nan_and_large_sums_overflow(kernel):
    inf, big = np.float32(np.inf), np.finfo(np.float32).max
    a, b = np.array([inf, big, -big], np.float32), np.array([-inf, big, -big], np.float32)
    assert same_bits(total(kernel, [a, b], [1, 1]), [np.nan, inf, -inf])


def test_denormals_are_kept(kernel):
    tiny = np.finfo(np.float32).smallest_subnormal
    buffers = [np.full(20, tiny * k, np.float32) for k in (1, 2, 5)]
    assert same_bits(total(kernel, buffers, [1, 10, 100]), np.full(20, tiny * 521, np.float32))


@pytest.mark.parametrize("n_buffers", [1, 8, 65])
def test_negative_zeros_add_up_to_negative_zero(kernel, n_buffers):
    buffers = [np.full(5, -0.0, np.float32)] * n_buffers
    assert same_bits(total(kernel, buffers, [2] * n_buffers), np.full(5, -0.0, np.float32))


def test_negative_weights_and_weights_beyond_float32(kernel):
    ones = np.ones(4, np.float32)
    assert total(kernel, [ones, ones], [5, -3]).tolist() == [2.0] * 4
    huge = 2**63 - 1
    assert total(kernel, [ones, ones], [huge, huge], 2 * huge).tolist() == [1.0] * 4


@pytest.mark.parametrize("n_buffers", [1, 8, 100])
def test_empty_buffers(kernel, n_buffers):
    assert total(kernel, [np.empty(0, np.float32)] * n_buffers, range(n_buffers)).shape == (0,)


def test_one_buffer_of_weight_one_is_copied(kernel):
    buffer = np.random.default_rng(6).standard_normal(BLOCK * 2 + 1).astype(np.float32)
    assert same_bits(total(kernel, [buffer], [1]), buffer)
    assert same_bits(total(kernel, [buffer[:1]], [1]), buffer[:1])


@pytest.mark.parametrize("size", SIZES)
def test_slices_at_odd_offsets(kernel, size):
    rng = np.random.default_rng(size)
    backing = rng.standard_normal((20, size + 32)).astype(np.float32)
    offsets = rng.integers(0, 32, 20)
    slices = [row[o : o + size] for row, o in zip(backing, offsets, strict=True)]
    weights = rng.integers(1, 100, 20)
    around = np.full(size + 16, 7, np.float32)
    kernel(slices, weights, around[3 : 3 + size])
    assert same_bits(around[3 : 3 + size], total(kernel, [x.copy() for x in slices], weights))
    assert np.all(around[:3] == 7)
    assert np.all(around[3 + size :] == 7)


def test_read_only_memory_and_any_sequence(kernel):
    buffers, weights = draw(np.random.default_rng(7), 5, 100)
    expected = total(kernel, buffers, weights)
    read_only = [np.frombuffer(x.tobytes(), np.float32) for x in buffers]
    assert not read_only[0].flags.writeable
    assert same_bits(total(kernel, tuple(read_only), weights), expected)
    assert same_bits(total(kernel, np.stack(buffers), weights), expected)


def test_the_same_buffer_may_appear_twice(kernel):
    buffer = np.arange(10, dtype=np.float32)
    assert same_bits(total(kernel, [buffer] * 3, [1, 2, 3]), buffer * 6)


ONE = np.ones(4, np.float32)
READ_ONLY = np.frombuffer(ONE.tobytes(), np.float32)
ODD_BYTES = np.frombuffer(bytearray(17), np.uint8)[1:].view(np.float32)
W = np.array([1, 2], np.int64)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([], W, ONE), ValueError, "buffers is empty, expected at least one buffer"),
        (([ONE], W, ONE), ValueError, "weights has 2 items, expected 1, one for each buffer"),
        (([ONE, ONE], [1, 2], ONE), TypeError, "weights is of type list, expected a NumPy array of int64"),
        (([ONE, ONE], W.astype(float), ONE), TypeError, "weights has dtype float64, expected int64"),
        (([ONE, ONE], W[:, None], ONE), ValueError, "weights has shape (2, 1), expected one dimension"),
        (
            ([ONE, ONE[:3].copy()], W, ONE.copy()),
            ValueError,
            "buffers[1] has 3 items, expected 4, as many as out",
        ),
        (
            ([ONE, b"1234"], W, ONE.copy()),
            TypeError,
            "buffers[1] is of type bytes, expected a NumPy array of float32",
        ),
        (
            ([ONE, ONE.astype(np.float64)], W, ONE.copy()),
            TypeError,
            "buffers[1] has dtype float64, expected float32",
        ),
        (
            ([ONE, ONE.astype(ONE.dtype.newbyteorder())], W, ONE.copy()),
            TypeError,
            f"buffers[1] has dtype {ONE.dtype.newbyteorder()}, expected float32",
        ),
        (
            ([ONE, ONE.reshape(2, 2)], W, ONE.copy()),
            ValueError,
            "buffers[1] has shape (2, 2), expected one dimension",
        ),
        (
            ([ONE, np.ones(8, np.float32)[::2]], W, ONE.copy()),
            ValueError,
            "buffers[1] has strides (8,), expected contiguous items: 4 bytes",
        ),
        (
            ([ONE, ODD_BYTES], W, ONE.copy()),
            ValueError,
            "buffers[1] does not start at a multiple of 4 bytes, expected a copy that does",
        ),
        (
            ([ONE.copy(), ONE], W, ONE),
            ValueError,
            (
                "buffers[1] shares memory with out, expected a separate array: "
                "out is written before all buffers are read"
            ),
        ),
        (([ONE, ONE], W, [0.0]), TypeError, "out is of type list, expected a NumPy array of float32"),
        (([ONE, ONE], W, W), TypeError, "out has dtype int64, expected float32"),
        (
            ([ONE, ONE], W, READ_ONLY),
            ValueError,
            "out is read-only, expected an array that the sum can be written to",
        ),
    ],
)
def test_errors_name_the_argument_and_its_value(arguments, error, text):
    with pytest.raises(error) as caught:
        ext.weighted_sum(*arguments)
    assert str(caught.value) == text


def test_errors_of_the_divisor():
    for divisor in (0, -3):
        with pytest.raises(ValueError, match=f"^divisor is {divisor}, expected a positive integer$"):
            total(ext.weighted_sum, [ONE], [1], divisor)
    with pytest.raises(TypeError, match="float"):
        total(ext.weighted_sum, [ONE], [1], 2.0)


@needs_compiled
@pytest.mark.parametrize("level", [-1, 99])
def test_a_level_that_the_machine_does_not_have(level):
    with pytest.raises(ValueError, match=f"^level is {level}, expected 0 to {compiled().LEVELS - 1}$"):
        compiled().use_level(level)


def test_out_is_unchanged_after_an_error():
    out = np.full(4, 9, np.float32)
    with pytest.raises(ValueError, match="as many as out"):
        ext.weighted_sum([ONE, ONE[:2]], W, out)
    assert out.tolist() == [9.0] * 4


@needs_compiled
def test_other_threads_run_during_the_sum():
    # With a switch interval beyond the test's time-out, a thread gets the GIL only when another gives it up.
    # The main thread blocks nowhere between its two looks at the flag except in the kernel, and there for as
    # many calls as it takes: the watcher needs to be scheduled once in thirty seconds.
    from tierwise.ext import _average

    buffers = (np.ones(2_000_000, np.float32),) * 32
    coefficients, out = np.ones(32, np.float32), np.empty(2_000_000, np.float32)
    summing, seen = threading.Event(), threading.Event()
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            if summing.is_set():
                seen.set()
                return
            time.sleep(0)  # gives up the GIL, and takes it again as soon as it is free

    interval = sys.getswitchinterval()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    sys.setswitchinterval(3600)
    try:
        summing.set()
        deadline = time.monotonic() + 30
        progress = False
        while not progress and time.monotonic() < deadline:
            _average.weighted_sum(buffers, coefficients, out)
            progress = seen.is_set()
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        watcher.join()
    assert progress
