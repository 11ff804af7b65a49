"""A row knows whether more or less of it is better, and how many times as good as its baseline it is."""

import pytest
from report import Row, below, compared


@pytest.mark.parametrize(
    ("unit", "better"), [("GB/s", "more"), ("1/s", "more"), ("ms", "less"), ("MB", "less"), ("", None), ("parts", None)]
)
def test_the_unit_tells_what_is_better(unit, better):
    assert Row("x", 1.0, unit).better == better


def test_a_goal_tells_it_where_the_unit_says_nothing_or_the_opposite():
    assert compared("x", 1, "", baseline="y", baseline_value=2, at_least=1).better == "more"
    assert compared("x", 1, "", baseline="y", baseline_value=2, at_most=1).better == "less"
    assert compared("x", 1, "s", baseline="y", baseline_value=2, at_least=1).better == "more"
    assert compared("x", 1, "", baseline="y", baseline_value=2, better="more").better == "more"


def test_the_gain_is_above_one_where_the_figure_is_better_than_its_baseline():
    assert compared("x", 8, "GB/s", baseline="y", baseline_value=2).gain == 4
    assert compared("x", 8, "s", baseline="y", baseline_value=2).gain == 0.25


def test_without_a_baseline_or_a_direction_there_is_no_gain():
    assert Row("x", 8, "s").gain is None
    assert compared("x", 8, "apples", baseline="y", baseline_value=2).gain is None


def test_a_goal_of_a_value_is_told_in_its_unit():
    row = compared("x", 49.0, "ms", baseline="y", baseline_value=2)
    assert (below(row, 50).goal, below(row, 50).met, below(row, 49).met) == ("< 50 ms", True, False)
