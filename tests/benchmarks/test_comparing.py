"""What counts as fallen: a ratio that is worse by more than a fifth, in the median of the runs."""

import pytest
from comparing import compare, ratios
from hypothesis import given
from hypothesis import strategies as st
from report import Row

from tests.benchmarks.making import a_result, speed, time


def falls(before: Row, *now: Row):
    return compare({"made": a_result(before)}, {"made": [a_result(row) for row in now]}).falls


@pytest.mark.parametrize(("before", "now"), [(speed(2.0), speed(1.5)), (time(1.5), time(2.0))])
def test_a_ratio_that_is_worse_by_a_fourth_has_fallen(before, now):
    (fall,) = falls(before, now)
    assert fall.ratio == ("made", before.metric, before.baseline)
    assert fall.left == pytest.approx(0.75)
    assert f"{before.metric}, beside {before.baseline}: 25% worse (ratio {before.ratio:g} before" in str(fall)


@pytest.mark.parametrize(("before", "now"), [(speed(2.0), speed(1.7)), (time(1.7), time(2.0))])
def test_one_that_is_worse_by_less_has_not(before, now):
    assert falls(before, now) == ()


@given(ratio=st.floats(0.01, 100), better=st.floats(1, 100))
def test_one_that_is_as_good_or_better_never_has(ratio, better):
    assert falls(speed(ratio), speed(ratio * better)) == ()
    assert falls(time(ratio), time(ratio / better)) == ()


def test_of_several_runs_the_median_counts():
    assert falls(speed(2.0), speed(1.0), speed(2.0), speed(1.9)) == ()
    assert falls(speed(2.0), speed(1.0), speed(2.0), speed(1.1))[0].now == 1.1


def test_only_the_same_metric_beside_the_same_baseline_is_compared():
    found = compare({"made": a_result(speed(2.0), speed(9.0, baseline="torch"))}, {"made": [a_result(speed(2.0))]})
    assert (found.compared, found.falls, found.gone) == (1, (), (("made", "sum", "torch"),))


def test_a_benchmark_that_is_not_in_both_is_passed_over():
    found = compare({"made": a_result(speed(2.0)), "other": a_result()}, {"third": [a_result(speed(1.0))]})
    assert (found.compared, found.falls, found.gone) == (0, (), ())


def test_two_rows_of_one_name_are_an_error():
    with pytest.raises(ValueError, match="made has two rows 'sum' beside 'numpy'"):
        ratios(a_result(speed(1.0), speed(2.0)))
