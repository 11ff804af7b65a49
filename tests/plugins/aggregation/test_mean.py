"""The mean."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.aggregation import Need
from tierwise.plugins.aggregation.mean import MeanReducer
from tierwise.plugins.testing import check_reducer


def test_conformance() -> None:
    check_reducer(MeanReducer())


def test_a_sum_is_enough() -> None:
    assert MeanReducer().need is Need.SUM


@given(
    st.lists(st.integers(min_value=1, max_value=10**9), min_size=1, max_size=80),
    st.integers(min_value=1, max_value=1000),
    st.integers(min_value=0, max_value=2**32),
)
def test_weighted_by_samples_and_only_their_shares_count(weights: list[int], factor: int, seed: int) -> None:
    updates = list(np.random.default_rng(seed).normal(size=(len(weights), 7)).astype(np.float32))
    samples = np.array(weights, np.int64)
    out, again = np.empty((2, 7), np.float32)
    MeanReducer().reduce(updates, samples, out)
    expected = np.average(np.array(updates, np.float64), axis=0, weights=samples)
    magnitude = np.average(np.abs(np.array(updates, np.float64)), axis=0, weights=samples)
    assert (np.abs(out - expected) <= 2e-6 * magnitude).all()
    MeanReducer().reduce(updates, samples * factor, again)
    np.testing.assert_array_equal(again, out)
