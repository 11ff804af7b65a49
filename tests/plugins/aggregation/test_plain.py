"""The server optimizer that only adds."""

import msgspec
import numpy as np
import pytest

from tierwise.plugins.aggregation.plain import PlainOptimizer, PlainOptions
from tierwise.plugins.testing import check_server_optimizer

MODEL = np.array([1, 2, 3], np.float32)
REDUCED = np.array([0.5, -1, 0], np.float32)


@pytest.mark.parametrize("learning_rate", [1.0, 0.1])
def test_conformance(learning_rate: float) -> None:
    check_server_optimizer(PlainOptimizer(PlainOptions(learning_rate=learning_rate)))


def test_the_update_is_added() -> None:
    model, state = PlainOptimizer(PlainOptions()).step({}, MODEL, REDUCED)
    np.testing.assert_array_equal(model, MODEL + REDUCED)
    assert model.dtype == np.float32
    assert state == {}


def test_the_learning_rate_scales_it() -> None:
    model, _ = PlainOptimizer(PlainOptions(learning_rate=0.5)).step({}, MODEL, REDUCED)
    np.testing.assert_array_equal(model, np.array([1.25, 1.5, 3], np.float32))


def test_a_learning_rate_is_positive() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"learning_rate": 0}, PlainOptions)
