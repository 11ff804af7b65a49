"""Server optimizers with a learning rate for each weight."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.plugins.aggregation import adaptive
from tierwise.plugins.aggregation.adaptive import (
    AdagradOptimizer,
    AdagradOptions,
    AdamOptimizer,
    AdaptiveOptions,
    YogiOptimizer,
)
from tierwise.plugins.testing import check_server_optimizer

from .steps import assert_rounded, walk

shares = st.floats(min_value=0, max_value=0.999)
chosen = {
    "learning_rate": st.floats(min_value=1e-3, max_value=1),
    "beta1": shares,
    "adaptivity": st.floats(min_value=1e-5, max_value=0.1),
}
OPTIMIZERS = {
    "adagrad": lambda values: AdagradOptimizer(msgspec.convert(without_beta2(values), AdagradOptions)),
    "adam": lambda values: AdamOptimizer(msgspec.convert(values, AdaptiveOptions)),
    "yogi": lambda values: YogiOptimizer(msgspec.convert(values, AdaptiveOptions)),
}
SECOND_MOMENTS = {
    "adagrad": lambda v, square, _beta2: (v, square),
    "adam": lambda v, square, beta2: (beta2 * v, (1 - beta2) * square),
    # which of two is greater that are equal in float32, the rounding decides
    "yogi": lambda v, square, beta2: (v, (beta2 - 1) * square * np.sign(v - square.astype(np.float32))),
}
"""The terms of the next second moment."""
each = pytest.mark.parametrize("name", sorted(OPTIMIZERS))


def without_beta2(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name != "beta2"}


@each
@pytest.mark.parametrize("values", [{}, {"beta1": 0.5, "adaptivity": 0.1}])
def test_conformance(name: str, values: dict[str, float]) -> None:
    check_server_optimizer(OPTIMIZERS[name](values))


@each
@given(values=st.fixed_dictionaries({**chosen, "beta2": shares}), seed=st.integers(min_value=0, max_value=2**32))
def test_it_is_what_the_paper_says_in_float64(name: str, values: dict[str, float], seed: int) -> None:
    def exact(array: Any) -> Any:
        return array.astype(np.float64)

    for step in walk(OPTIMIZERS[name](values), seed):
        beginning = {"m": np.zeros_like(step.model), "v": np.full_like(step.model, values["adaptivity"] ** 2)}
        before, reduced = step.state or beginning, exact(step.reduced)
        m, v = step.next_state["m"], step.next_state["v"]
        assert_rounded(m, values["beta1"] * exact(before["m"]), (1 - values["beta1"]) * reduced)
        assert_rounded(v, *SECOND_MOMENTS[name](exact(before["v"]), reduced**2, values["beta2"]))
        moved = values["learning_rate"] * exact(m) / (np.sqrt(exact(v)) + values["adaptivity"])
        assert_rounded(step.following, exact(step.model), moved)


def test_the_papers_own_beginning() -> None:
    model, state = AdamOptimizer(AdaptiveOptions(learning_rate=1, adaptivity=0.1)).step(
        {}, np.zeros(1, np.float32), np.full(1, 2, np.float32)
    )
    # m = 0.1 * 2; v = 0.99 * 0.1 ** 2 + 0.01 * 2 ** 2, and nothing is corrected for the beginning
    np.testing.assert_allclose([state["m"][0], state["v"][0]], [0.2, 0.0499], rtol=1e-6)
    np.testing.assert_allclose(model, 0.2 / (0.0499**0.5 + 0.1), rtol=1e-6)


@each
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_the_second_moment_is_never_negative(name: str, seed: int) -> None:
    assert all((step.next_state["v"] >= 0).all() for step in walk(OPTIMIZERS[name]({}), seed))


@given(seed=st.integers(min_value=0, max_value=2**32))
def test_adagrads_learning_rates_only_sink(seed: int) -> None:
    moments = np.array([step.next_state["v"] for step in walk(AdagradOptimizer(AdagradOptions()), seed)])
    assert (np.diff(moments, axis=0) >= 0).all()


def test_yogi_forgets_slower_than_adam_when_updates_become_small() -> None:
    zeros, large, small = (np.full(1, value, np.float32) for value in (0, 1, 1e-3))
    seconds = {}
    for name in ("adam", "yogi"):
        optimizer = OPTIMIZERS[name]({"beta2": 0.9})
        model, state = optimizer.step({}, zeros, large)
        for _ in range(20):
            model, state = optimizer.step(state, model, small)
        seconds[name] = float(state["v"][0])
    assert seconds["yogi"] > 5 * seconds["adam"]


@each
def test_blocks_do_not_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(walk(OPTIMIZERS[name]({}), seed=3, size=1000))
    monkeypatch.setattr(adaptive, "BLOCK", 7)
    for one, other in zip(whole, walk(OPTIMIZERS[name]({}), seed=3, size=1000), strict=True):
        np.testing.assert_array_equal(one.following, other.following)
        for moment in "mv":
            np.testing.assert_array_equal(one.next_state[moment], other.next_state[moment])


@pytest.mark.parametrize("values", [{"beta1": 1}, {"beta2": -0.1}, {"learning_rate": 0}, {"adaptivity": 0}])
def test_options_out_of_bounds_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, AdaptiveOptions)
