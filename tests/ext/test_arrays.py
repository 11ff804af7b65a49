"""The look at many arrays: the compiled one, and its twin."""

import importlib
import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.ext import _arrays_numpy

HAVE_COMPILED = importlib.util.find_spec("tierwise.ext._arrays") is not None
needs_compiled = pytest.mark.skipif(
    not HAVE_COMPILED,
    reason="the compiled kernels are not built: install a C compiler, then `make test` builds them",
)
FLOAT32 = np.dtype(np.float32)
BACKING = np.zeros(100, np.float32)


def modules():
    yield _arrays_numpy
    if HAVE_COMPILED:
        yield importlib.import_module("tierwise.ext._arrays")


MODULES = tuple(modules())


@pytest.fixture(params=["numpy", pytest.param("cython", marks=needs_compiled)])
def alike(request):
    return MODULES[request.param == "cython"].alike


def plain(size=4):
    return np.zeros(size, np.float32)


def read_only():
    array = plain()
    array.flags.writeable = False
    return array


def odd_bytes():
    return np.zeros(17, np.uint8)[1:].view(np.float32)


class Subclass(np.ndarray):
    pass


def test_plain_arrays_are_alike(alike):
    assert alike((plain(), plain(), read_only()), FLOAT32, plain())
    assert alike((plain(0),), FLOAT32, plain(0))
    assert alike((np.zeros(4, np.int8),), np.dtype(np.int8), plain())
    assert alike((BACKING[:4], BACKING[8:12]), FLOAT32, BACKING[4:8])


@pytest.mark.parametrize(
    "other",
    [
        plain(5),
        np.zeros(4, np.int32),
        np.zeros(4, FLOAT32.newbyteorder()),
        np.zeros((2, 2), np.float32),
        np.zeros((4, 1), np.float32),
        np.float32(1),
        np.zeros((), np.float32),
        plain(8)[::2],
        plain()[::-1],
        odd_bytes(),
        plain().view(Subclass),
        b"0123456789abcdef",
        None,
    ],
    ids=repr,
)
def test_anything_else_is_not(alike, other):
    assert not alike((plain(), other), FLOAT32, plain())
    if getattr(other, "dtype", FLOAT32) == FLOAT32:  # that of the result is looked at by whoever knows it
        assert not alike((plain(),), FLOAT32, other)


def test_a_result_that_cannot_be_written_or_shares_memory(alike):
    assert not alike((plain(),), FLOAT32, read_only())
    for start in (1, 4, 7):
        assert not alike((BACKING[start : start + 4],), FLOAT32, BACKING[4:8])


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9), st.integers(1, 2**1000))
def test_quotients_are_taken_in_float64_and_rounded_once(weights, divisor):
    expected = np.array([np.float32(float(weight) / float(divisor)) for weight in weights], np.float32)
    for module in MODULES:
        np.testing.assert_array_equal(module.quotients(np.array(weights, np.int64), float(divisor)), expected)


@pytest.mark.parametrize(
    "weights",
    [
        np.ones(3, np.int32),
        np.ones(3),
        np.ones(3, np.dtype(np.int64).newbyteorder()),
        np.ones((2, 2), np.int64),
        np.ones(6, np.int64)[::2],
        np.ones(25, np.uint8)[1:].view(np.int64),
        np.ones(3, np.int64).view(Subclass),
        [1, 2, 3],
        None,
    ],
    ids=repr,
)
def test_weights_that_need_a_closer_look_have_no_quotients(weights):
    assert [module.quotients(weights, 2.0) for module in MODULES] == [None] * len(MODULES)
