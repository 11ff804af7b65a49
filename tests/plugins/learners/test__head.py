"""Outputs read as logits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tierwise.core.task import Task
from tierwise.plugins.learners._head import Head, of_the_second_class, one_against_the_rest

TWO = Task(name="toy", features=1, classes=("a", "b"))
THREE = Task(name="toy", features=1, classes=("a", "b", "c"))


def outputs(columns: int) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float32, (4, columns), elements=st.floats(min_value=-50, max_value=50, width=32))


@given(outputs(1))
def test_one_output_is_the_odds_of_the_second_of_two_classes(z: np.ndarray) -> None:
    found = Head("test", TWO, logits=of_the_second_class).predict([z])
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(-z[:, 0].astype(np.float64))), rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)


@given(outputs(3))
def test_one_against_the_rest_is_brought_to_a_sum_of_1(z: np.ndarray) -> None:
    found = Head("test", THREE, logits=one_against_the_rest).predict([z])
    odds = 1 / (1 + np.exp(-z.astype(np.float64)))
    np.testing.assert_allclose(found, odds / odds.sum(1, keepdims=True), rtol=1e-3, atol=1e-12)


def test_a_log_loss_stays_finite_where_no_class_is_likely() -> None:
    head = Head("test", THREE, logits=one_against_the_rest)
    found = head.measure([np.array([[-500, -600, -700]], np.float32)], np.array([2]))
    assert found["log_loss"].sum == pytest.approx(200)
