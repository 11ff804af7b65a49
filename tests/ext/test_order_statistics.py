"""Order statistics of each coordinate: one set of cases for the compiled kernels and their twin."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise import ext
from tierwise.ext import _choice, order_statistics
from tierwise.ext._network import LARGEST

from .levels import WAYS, all_same, implementation, needs_compiled

LANES = 128  # of the compiled kernel's block
COUNTS = [*range(1, 20), 31, 32, 33, 47, 64, 65, 100, 128, 129, LARGEST, LARGEST + 1, 600]


@pytest.fixture(autouse=True, scope="module")
def _without_warning():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_choice, "_not_loaded", None)
        yield


@pytest.fixture(params=WAYS)
def _every_way(request, monkeypatch):
    with contextlib.contextmanager(implementation)("order", request.param) as module:
        monkeypatch.setattr(order_statistics, "_order", module)
        yield


def draw(count, size, seed=0):
    """Values with ties, outliers and both zeros."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, size)).astype(np.float32)
    values = np.where(rng.random(values.shape) < 0.3, np.rint(values), values)  # many equal, some of them -0.0
    values = np.where(rng.random(values.shape) < 0.05, values * np.float32(1e30), values)
    return [np.ascontiguousarray(row, np.float32) for row in values]


def reduced(function, buffers, **options):
    out = np.full(buffers[0].size, np.nan, np.float32)
    function(buffers, out, **options)
    return out


def exact_trimmed(buffers, trim):
    ordered = np.sort(np.stack(buffers).astype(np.float64), axis=0)[trim : len(buffers) - trim]
    return ordered.mean(axis=0), np.abs(ordered).max(axis=0)


@pytest.mark.usefixtures("_every_way")
@pytest.mark.parametrize("count", COUNTS)
def test_the_median_is_that_of_numpy(count):
    buffers = draw(count, 150, seed=count)
    expected = np.median(np.stack(buffers).astype(np.float64), axis=0).astype(np.float32)
    np.testing.assert_array_equal(reduced(ext.coordinate_median, buffers), expected)


@pytest.mark.usefixtures("_every_way")
@pytest.mark.parametrize("count", COUNTS)
def test_the_trimmed_mean_is_that_of_the_sorted_values(count):
    buffers = draw(count, 150, seed=count)
    for trim in {0, 1, count // 5, (count - 1) // 2} & set(range((count + 1) // 2)):
        expected, magnitude = exact_trimmed(buffers, trim)
        assert (np.abs(reduced(ext.trimmed_mean, buffers, trim=trim) - expected) <= 2.0**-23 * magnitude).all()


@pytest.mark.usefixtures("_every_way")
@pytest.mark.parametrize("count", COUNTS)
def test_the_mean_around_the_median_is_that_of_the_nearest(count):
    buffers = list(np.random.default_rng(count).normal(size=(count, 150)).astype(np.float32))
    values = np.stack(buffers).astype(np.float64)
    far = np.abs(values - np.median(values, axis=0))
    nearest = np.take_along_axis(values, np.argsort(far, axis=0), axis=0)
    for kept in {1, (count + 1) // 2, count}:
        found = reduced(ext.mean_around_median, buffers, kept=kept)
        if kept == 1 and count % 2 == 0:  # the middle two are equally far, but for roundings
            assert ((found >= nearest[:2].min(axis=0) - 1e-6) & (found <= nearest[:2].max(axis=0) + 1e-6)).all()
        else:
            np.testing.assert_allclose(found, nearest[:kept].mean(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("_every_way")
def test_of_values_equally_far_from_the_median_each_counts_in_part():
    buffers = [np.array([value], np.float32) for value in (0, 0, 0, -3, 3, 100)]
    assert reduced(ext.mean_around_median, buffers, kept=4).tolist() == [0.0]
    skewed = [np.array([value], np.float32) for value in (1, 1, 1, 1, 4, 4, -2, 100, 100)]
    assert reduced(ext.mean_around_median, skewed, kept=5).tolist() == [np.float32((4 + 6 / 3) / 5)]


FUNCTIONS = [
    (ext.coordinate_median, {}),
    (ext.trimmed_mean, {"trim": 2}),
    (ext.mean_around_median, {"kept": 5}),
]


@pytest.mark.usefixtures("_every_way")
@pytest.mark.parametrize(("function", "options"), FUNCTIONS)
def test_equal_buffers_reduce_to_themselves_exactly(function, options):
    (buffer,) = draw(1, 300)
    for count in (7, 40, LARGEST + 1):
        np.testing.assert_array_equal(reduced(function, [buffer] * count, **options), buffer)


@pytest.mark.usefixtures("_every_way")
@pytest.mark.parametrize(("function", "options"), FUNCTIONS)
@pytest.mark.parametrize("count", [9, 40, LARGEST + 1])
def test_the_order_of_the_buffers_changes_no_more_than_a_rounding(function, options, count):
    buffers = list(np.random.default_rng(1).normal(size=(count, 200)).astype(np.float32))
    shuffled = [buffers[k] for k in np.random.default_rng(2).permutation(count)]
    found, again = reduced(function, buffers, **options), reduced(function, shuffled, **options)
    assert np.abs(found - again).max() <= (0 if function is ext.coordinate_median else 2.0**-23)


@pytest.mark.usefixtures("_every_way")
@pytest.mark.parametrize(("function", "options"), FUNCTIONS)
@pytest.mark.parametrize("count", [9, 40, LARGEST + 1])
def test_any_stretch_can_be_reduced_by_itself(function, options, count):
    buffers = draw(count, 3 * LANES + 5)
    whole = reduced(function, buffers, **options)
    for cut in (0, 1, LANES - 1, LANES + 3):
        parts = [reduced(function, [x[:cut] for x in buffers], **options)]
        parts.append(reduced(function, [x[cut:] for x in buffers], **options))
        assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.usefixtures("_every_way")
@pytest.mark.parametrize(("function", "options"), FUNCTIONS)
def test_nothing_but_out_is_written(function, options):
    buffers = draw(9, 200)
    for buffer in buffers:
        buffer.flags.writeable = False
    around = np.full(216, 7, np.float32)
    function(buffers, around[3:203], **options)
    assert around[3:203].tobytes() == reduced(function, buffers, **options).tobytes()
    assert (around[:3] == 7).all()
    assert (around[203:] == 7).all()


@pytest.mark.usefixtures("_every_way")
@pytest.mark.parametrize("count", [5, 6, 40, LARGEST + 2])
def test_a_nan_stays_in_its_coordinate_and_infinities_have_their_place(count):
    buffers = draw(count, 20)
    expected = reduced(ext.coordinate_median, [x.copy() for x in buffers])
    buffers[1][7] = np.nan
    found = reduced(ext.coordinate_median, buffers)
    np.testing.assert_array_equal(np.delete(found, 7), np.delete(expected, 7))
    outliers = [np.array([value], np.float32) for value in (-np.inf, np.inf, *range(count - 2))]
    assert reduced(ext.coordinate_median, outliers).tolist() == [(count - 3) / 2]


@pytest.mark.usefixtures("_every_way")
def test_the_greatest_floats_have_a_middle_and_a_zero_no_sign():
    most = np.finfo(np.float32).max
    pair = [np.array([most, -0.0], np.float32)] * 2
    found = reduced(ext.coordinate_median, pair)
    assert found.tolist() == [most, 0.0]
    assert not np.signbit(found).any()


@needs_compiled
@settings(max_examples=60, deadline=None)
@given(
    count=st.one_of(st.integers(1, 70), st.sampled_from([LARGEST, LARGEST + 1])),
    size=st.integers(0, 300),
    seed=st.integers(0, 2**32),
    share=st.floats(0, 1),
)
def test_kernels_and_twin_agree_to_the_bit(count, size, seed, share):
    buffers = tuple(draw(count, size, seed))
    trim, kept = int(share * ((count - 1) // 2)), 1 + int(share * (count - 1))

    def results(module):
        outs = np.full((3, size), np.nan, np.float32)
        module.median(buffers, outs[0])
        module.trimmed_mean(buffers, trim, outs[1])
        module.mean_around_median(buffers, kept, outs[2])
        return outs

    assert all_same("order", results)


ONE = np.ones(4, np.float32)


@pytest.mark.parametrize(("function", "options"), FUNCTIONS)
def test_arguments_are_checked_as_those_of_a_sum_are(function, options):
    for buffers, out, error, text in (
        ([], ONE, ValueError, "buffers is empty, expected at least one buffer"),
        ([ONE, ONE[:3]] * 5, ONE.copy(), ValueError, "buffers[1] has 3 items, expected 4, as many as out"),
        ([ONE.astype(float)] * 9, ONE, TypeError, "buffers[0] has dtype float64, expected float32"),
        ([ONE] * 9, ONE, ValueError, "buffers[0] shares memory with out, expected a separate array: "),
    ):
        with pytest.raises(error) as caught:
            function(buffers, out, **options)
        assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("function", "options", "text"),
    [
        (ext.trimmed_mean, {"trim": -1}, "trim is -1, expected 0 to 2"),
        (ext.trimmed_mean, {"trim": 3}, "trim is 3, expected 0 to 2"),
        (ext.mean_around_median, {"kept": 0}, "kept is 0, expected 1 to 5"),
        (ext.mean_around_median, {"kept": 6}, "kept is 6, expected 1 to 5"),
    ],
)
def test_how_many_has_its_bounds(function, options, text):
    out = np.full(4, 9, np.float32)
    with pytest.raises(ValueError, match=f"^{text}$"):
        function([ONE] * 5, out, **options)
    assert out.tolist() == [9.0] * 4


def test_how_many_is_an_integer():
    with pytest.raises(TypeError, match="float"):
        ext.trimmed_mean([ONE] * 5, ONE.copy(), trim=1.0)
