"""The look at many arrays: the compiled one, and its twin."""

import importlib
import importlib.util

import numpy as np
import pytest

from tierwise.ext import _arrays_numpy

HAVE_COMPILED = importlib.util.find_spec("tierwise.ext._arrays") is not None
needs_compiled = pytest.mark.skipif(
    not HAVE_COMPILED,
    reason="the compiled kernels are not built: install a C compiler, then `make test` builds them",
)
FLOAT32 = np.dtype(np.float32)
BACKING = np.zeros(100, np.float32)


@pytest.fixture(params=["numpy", pytest.param("cython", marks=needs_compiled)])
def alike(request):
    if request.param == "numpy":
        return _arrays_numpy.alike
    return importlib.import_module("tierwise.ext._arrays").alike


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
