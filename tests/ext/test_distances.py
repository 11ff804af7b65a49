"""Squared distances and norms: one set of cases for the compiled kernels and their twin."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise import ext
from tierwise.ext import _choice, distances

from .levels import WAYS, all_same, implementation, needs_compiled

BOUND = 7e-7


@pytest.fixture(autouse=True, scope="module")
def _without_warning():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_choice, "_not_loaded", None)
        yield


@pytest.fixture(params=WAYS)
def _every_way(request, monkeypatch):
    with contextlib.contextmanager(implementation)("distance", request.param) as module:
        monkeypatch.setattr(distances, "_distance", module)
        yield


def draw(count, size, seed=0):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3, 3, (count, 1))
    return [np.ascontiguousarray(row) for row in (rng.normal(size=(count, size)) * scale).astype(np.float32)]


def between(buffers):
    out = np.zeros((len(buffers), len(buffers)))
    ext.add_pairwise_sq_distances(buffers, out)
    return out


def norms_of(buffers):
    out = np.zeros(len(buffers))
    ext.add_sq_norms(buffers, out)
    return out


@pytest.mark.usefixtures("_every_way")
@pytest.mark.parametrize("count", [1, 2, 3, 8, 21])
@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 5000])
def test_within_the_bound_of_exact_sums(count, size):
    buffers = draw(count, size, seed=size)
    values = np.stack(buffers).astype(np.float64)
    exact = np.square(values[:, None] - values).sum(axis=2)
    found = between(buffers)
    assert (np.abs(found - exact) <= BOUND * exact).all()
    np.testing.assert_array_equal(found, found.T)
    exact = np.square(values).sum(axis=1)
    assert (np.abs(norms_of(buffers) - exact) <= BOUND * exact).all()


@pytest.mark.usefixtures("_every_way")
def test_equal_buffers_have_no_distance_and_near_ones_their_own():
    (buffer,) = draw(1, 10_000)
    near = buffer.copy()
    near[123] = np.nextafter(near[123], np.float32(np.inf))
    found = between([buffer, buffer.copy(), near])
    assert found[0, 1] == 0
    assert found[0, 2] == np.float32(near[123] - buffer[123]) ** 2 > 0


@pytest.mark.usefixtures("_every_way")
@pytest.mark.parametrize("length", [256, 512, 4096])
def test_given_block_by_block_they_are_the_same(length):
    buffers = draw(7, 5000)
    sums, squares = np.zeros((7, 7)), np.zeros(7)
    for start in range(0, 5000, length):
        ext.add_pairwise_sq_distances([x[start : start + length] for x in buffers], sums)
        ext.add_sq_norms([x[start : start + length] for x in buffers], squares)
    assert sums.tobytes() == between(buffers).tobytes()
    assert squares.tobytes() == norms_of(buffers).tobytes()


@pytest.mark.usefixtures("_every_way")
def test_what_float32_cannot_hold_is_infinite_and_a_nan_is_a_nan():
    one, huge, none = (np.full(3, value, np.float32) for value in (1, 1e30, np.nan))
    found = between([one, huge, none])
    assert found[0, 1] == np.inf
    assert np.isnan(found[0, 2])
    assert norms_of([one, huge]).tolist() == [3.0, np.inf]


@needs_compiled
@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 12), size=st.integers(0, 1500), seed=st.integers(0, 2**32))
def test_kernels_and_twin_agree_to_the_bit(count, size, seed):
    buffers = tuple(draw(count, size, seed))

    def sums(module):
        out = np.ones((count, count + 1))  # what is there is added to
        pairs, squares = np.ascontiguousarray(out[:, :count]), np.ascontiguousarray(out[:, count])
        module.add_pairwise_sq_distances(buffers, pairs)
        module.add_sq_norms(buffers, squares)
        return np.column_stack([pairs, squares])

    assert all_same("distance", sums)


ONE = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("buffers", "out", "error", "text"),
    [
        ([], np.zeros((0, 0)), ValueError, "buffers is empty, expected at least one buffer"),
        ([ONE, ONE[:3]], np.zeros((2, 2)), ValueError, "buffers[1] has 3 items, expected 4, as many as buffers[0]"),
        ([ONE, [1.0]], np.zeros((2, 2)), TypeError, "buffers[1] is of type list, expected a NumPy array of float32"),
        ([ONE, ONE], np.zeros((2, 3)), ValueError, "out has shape (2, 3), expected (2, 2)"),
        ([ONE, ONE], np.zeros((2, 2), np.float32), TypeError, "out has dtype float32, expected float64"),
        (
            [ONE, ONE],
            np.frombuffer(bytes(32)).reshape(2, 2),
            ValueError,
            "out is read-only, expected an array that the sums can be added to",
        ),
    ],
)
def test_errors_name_the_argument_and_its_value(buffers, out, error, text):
    with pytest.raises(error) as caught:
        ext.add_pairwise_sq_distances(buffers, out)
    assert str(caught.value) == text


def test_norms_have_one_dimension():
    with pytest.raises(ValueError, match=r"^out has shape \(2, 2\), expected \(2,\)$"):
        ext.add_sq_norms([ONE, ONE], np.zeros((2, 2)))
