"""The server optimizer that keeps some of its last step."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.plugins.aggregation.momentum import MomentumOptimizer, MomentumOptions
from tierwise.plugins.aggregation.plain import PlainOptimizer, PlainOptions
from tierwise.plugins.testing import check_server_optimizer

from .steps import assert_rounded, walk

options = st.builds(
    MomentumOptions,
    learning_rate=st.floats(min_value=1e-3, max_value=10),
    momentum=st.floats(min_value=0, max_value=0.999),
)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_conformance(momentum: float) -> None:
    check_server_optimizer(MomentumOptimizer(MomentumOptions(momentum=momentum)))


@given(options, st.integers(min_value=0, max_value=2**32))
def test_it_is_what_the_paper_says_in_float64(chosen: MomentumOptions, seed: int) -> None:
    for step in walk(MomentumOptimizer(chosen), seed):
        before = step.state.get("velocity", np.zeros_like(step.model)).astype(np.float64)
        assert_rounded(step.next_state["velocity"], chosen.momentum * before, step.reduced.astype(np.float64))
        velocity = step.next_state["velocity"].astype(np.float64)
        assert_rounded(step.following, step.model.astype(np.float64), chosen.learning_rate * velocity)


def test_without_momentum_it_is_plain() -> None:
    one = walk(MomentumOptimizer(MomentumOptions(learning_rate=0.5, momentum=0)), seed=1)
    other = walk(PlainOptimizer(PlainOptions(learning_rate=0.5)), seed=1)
    for step, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(step.following, expected.following)


def test_equal_updates_add_up() -> None:
    optimizer = MomentumOptimizer(MomentumOptions(learning_rate=1, momentum=0.5))
    model, update = np.zeros(1, np.float32), np.ones(1, np.float32)
    first, state = optimizer.step({}, model, update)
    second, state = optimizer.step(state, first, update)
    third, _ = optimizer.step(state, second, update)
    assert [float(one[0]) for one in (first, second, third)] == [1.0, 2.5, 4.25]


@pytest.mark.parametrize("values", [{"momentum": 1}, {"momentum": -0.1}, {"learning_rate": 0}])
def test_options_out_of_bounds_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, MomentumOptions)
