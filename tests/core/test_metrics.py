"""Metrics as (sum, count) pairs."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.metrics import Metric, add_metrics

# whole numbers, so that sums are exact in any order
metrics = st.dictionaries(
    st.sampled_from(["accuracy", "log_loss"]),
    st.builds(Metric, sum=st.integers(0, 1000).map(float), count=st.integers(0, 1000)),
)


def test_sums_and_counts_add_up() -> None:
    assert Metric(sum=1.5, count=2) + Metric(sum=2.5, count=3) == Metric(sum=4.0, count=5)


def test_the_mean_is_over_the_samples_not_over_the_devices() -> None:
    total = add_metrics([{"accuracy": Metric(sum=90.0, count=90)}, {"accuracy": Metric(sum=0.0, count=10)}])
    assert total["accuracy"].mean == 0.9


def test_the_mean_over_nothing_is_not_a_number() -> None:
    assert math.isnan(Metric(sum=0.0, count=0).mean)


def test_nothing_adds_up_to_nothing() -> None:
    assert add_metrics([]) == {}
    assert add_metrics([{}, {}]) == {}


def test_a_name_that_only_some_report_is_kept() -> None:
    one, other = {"accuracy": Metric(sum=1.0, count=1)}, {"log_loss": Metric(sum=2.0, count=4)}
    assert add_metrics([one, other]) == {**one, **other}


def test_the_parts_stay_as_they_are() -> None:
    part = {"accuracy": Metric(sum=1.0, count=1)}
    add_metrics([part, part])
    assert part == {"accuracy": Metric(sum=1.0, count=1)}


@given(st.lists(metrics), st.lists(metrics))
def test_sums_of_sums_are_sums(left: list[dict[str, Metric]], right: list[dict[str, Metric]]) -> None:
    whole = add_metrics([*left, *right])
    assert add_metrics([add_metrics(left), add_metrics(right)]) == whole
    assert add_metrics([*right, *left]) == whole
