"""Groups found by clustering."""

import re
import time

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.errors import ConfigurationError
from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareProfile, fleet_table
from tierwise.core.ids import DeviceId
from tierwise.core.tiers import RoundLimits
from tierwise.plugins.grouping.kmeans import KMeansOptions, KMeansPolicy
from tierwise.plugins.testing import check_grouping_policy

LIMITS = RoundLimits(deadline_s=60, samples=100)
DEFAULT = KMeansOptions()


def table_of(*classes: tuple[float, int], spread: float = 0.05) -> pl.DataFrame:
    """Make a fleet of some classes, each so much stronger than the weakest and of so many devices."""
    random = np.random.default_rng(5)
    fleet = {}
    for number, (strength, count) in enumerate(classes):
        for device in range(count):
            flops, memory, uplink = strength * np.exp(random.normal(0, spread, 3)) if spread else [strength] * 3
            fleet[DeviceId(f"class{number}-{device:05}")] = HardwareProfile.declared(
                cpu_flops=1e9 * flops, memory_bytes=1e9 * memory, uplink_bytes_per_s=1e6 * uplink
            )
    return fleet_table(fleet)


def divide(table: pl.DataFrame, options: KMeansOptions = DEFAULT) -> Grouping:
    return KMeansPolicy(options).group(table, (), LIMITS)


def class_sets(grouping: Grouping) -> list[set[str]]:
    return [{device.partition("-")[0] for device in group} for group in grouping.groups]


def test_conformance() -> None:
    check_grouping_policy(KMeansPolicy(DEFAULT))


def test_conformance_with_a_number_of_clusters() -> None:
    check_grouping_policy(KMeansPolicy(KMeansOptions(k=4)))


def test_the_silhouette_finds_the_classes_and_they_are_ordered_by_strength() -> None:
    grouping = divide(table_of((100, 7), (1, 9), (10, 12)))
    assert class_sets(grouping) == [{"class1"}, {"class2"}, {"class0"}]
    assert grouping.unplaced == {}


def test_the_number_of_clusters_can_be_given() -> None:
    assert len(divide(table_of((1, 9), (10, 12), (100, 7)), KMeansOptions(k=2)).groups) == 2
    assert len(divide(table_of((1, 9), (10, 12), (100, 7)), KMeansOptions(k=1)).groups) == 1


def test_no_more_clusters_than_the_most() -> None:
    table = table_of(*((10.0**n, 6) for n in range(5)))
    assert len(divide(table).groups) == 5
    assert len(divide(table, KMeansOptions(max_k=3)).groups) <= 3


def test_no_more_clusters_than_devices_make_groups_or_differ() -> None:
    assert len(divide(table_of((1, 4), (10, 4)), KMeansOptions(k=6)).groups) == 2
    assert len(divide(table_of((1, 20), (10, 20), spread=0), KMeansOptions(k=6)).groups) == 2


def test_fewer_than_six_devices_are_one_group() -> None:
    assert len(divide(table_of((1, 2), (100, 3))).groups) == 1


def test_a_uniform_fleet_is_one_group() -> None:
    assert len(divide(table_of((1, 30), spread=0)).groups) == 1


def test_an_outlier_joins_the_nearest_cluster() -> None:
    grouping = divide(table_of((1, 8), (10, 8), (5000, 1)), KMeansOptions(k=3))
    assert class_sets(grouping) == [{"class0"}, {"class1", "class2"}]


def test_two_outliers_far_apart_do_not_stay_alone() -> None:
    grouping = divide(table_of((1e-4, 1), (1, 8), (10, 8), (1e5, 2)), KMeansOptions(k=4))
    assert sorted(len(group) for group in grouping.groups) == [9, 10]


def test_a_quantity_that_is_the_same_for_all_changes_nothing() -> None:
    table = table_of((1, 9), (10, 9))
    quantities = ("cpu_flops", "memory_bytes")
    alone = divide(table, KMeansOptions(quantities=quantities))
    assert divide(table, KMeansOptions(quantities=(*quantities, "cpu_count"))).groups == alone.groups


def test_doubling_every_speed_changes_nothing() -> None:
    table = table_of((1, 9), (3, 9))
    assert divide(table.with_columns(pl.col("cpu_flops") * 2)).groups == divide(table).groups


def test_the_reasons_compare_a_device_with_its_group() -> None:
    reasons = divide(table_of((1, 4), (10, 5)), KMeansOptions(quantities=("cpu_flops", "memory_bytes"))).reasons
    assert len(reasons) == 9
    assert re.fullmatch(
        r"with cpu_flops [\d.e+]+, memory_bytes [\d.e+]+ it is most like the 5 of this group, whose medians are "
        r"cpu_flops [\d.e+]+, memory_bytes [\d.e+]+",
        reasons[DeviceId("class1-00000")],
    )


def test_a_device_that_does_not_tell_is_unplaced() -> None:
    table = table_of((1, 4), (10, 4)).with_columns(
        power_w=pl.when(pl.col("device") == "class0-00000").then(None).otherwise(5.0)
    )
    grouping = divide(table, KMeansOptions(quantities=("cpu_flops", "power_w")))
    assert grouping.unplaced == {"class0-00000": "does not report power_w"}
    assert sum(len(group) for group in grouping.groups) == 7


def test_zeros_are_compared_as_the_least() -> None:
    table = table_of((1, 6), (100, 6)).with_columns(
        cpu_flops=pl.when(pl.col("device").str.starts_with("class0")).then(0.0).otherwise("cpu_flops")
    )
    assert divide(table).fault(table["device"].to_list()) is None
    nothing = table.with_columns(cpu_flops=0.0)
    assert class_sets(divide(nothing)) == [{"class0"}, {"class1"}]


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_fleet_is_divided_whatever_the_order_of_its_rows(data: st.DataObject) -> None:
    count = data.draw(st.integers(min_value=3, max_value=25))
    values = st.lists(st.sampled_from([0.0, 1e6, 1e9, 1.1e9, 3e12]), min_size=count, max_size=count)
    names = ("cpu_flops", "memory_bytes", "uplink_bytes_per_s")
    devices = [f"d{number:02}" for number in range(count)]
    table = pl.DataFrame({"device": devices, **{name: data.draw(values) for name in names}})
    order = data.draw(st.permutations(range(count)))
    grouping = divide(table)
    assert grouping.fault([DeviceId(device) for device in devices]) is None
    assert divide(table[order]) == grouping


def test_an_unknown_quantity_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"'kmeans' goes by 'memory'.*did you mean 'memory_bytes'\?"):
        divide(table_of((1, 6)), KMeansOptions(quantities=("cpu_flops", "memory")))


def test_a_quantity_named_twice_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="names one twice: cpu_flops, cpu_flops"):
        msgspec.convert({"quantities": ["cpu_flops", "cpu_flops"]}, KMeansOptions)


def test_a_large_fleet_takes_seconds() -> None:
    table = table_of((1, 4000), (10, 4000), (100, 4000))
    start = time.monotonic()
    assert class_sets(divide(table)) == [{"class0"}, {"class1"}, {"class2"}]
    assert time.monotonic() - start < 30  # about 2 s; a silhouette over all would take minutes, and gigabytes


def test_of_a_fleet_that_is_larger_than_what_is_clustered_each_device_is_with_its_like() -> None:
    """Whether it was drawn or not; and who is drawn, the seed alone decides."""
    table = table_of((1, 6000), (100, 5000), (10, 3000))
    grouping = divide(table, KMeansOptions(k=3))
    assert class_sets(grouping) == [{"class0"}, {"class2"}, {"class1"}]
    assert divide(table.reverse(), KMeansOptions(k=3)) == grouping


def test_a_class_too_rare_to_be_drawn_goes_to_the_nearest() -> None:
    grouping = divide(table_of((1, 9000), (10, 9000), (12, 1)), KMeansOptions(k=2))
    assert class_sets(grouping) == [{"class0"}, {"class1", "class2"}]
