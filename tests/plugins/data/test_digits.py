"""The digits, dealt out."""

import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import Dataset, LocalData, reserved_of
from tierwise.plugins.data import digits
from tierwise.plugins.data.digits import DigitsOptions, DigitsSource
from tierwise.plugins.testing import check_data_source

SAMPLES = 1797


def parts_of(source: DigitsSource, parts: int, seed: int = 0) -> list[LocalData]:
    return [source.load(part, parts, seed) for part in range(parts)]


def rows(data: Dataset) -> NDArray[np.float32]:
    return np.column_stack((data.features, data.labels.astype(np.float32)))


def sizes(parts: list[LocalData]) -> list[int]:
    return [len(part.train) + len(part.holdout) for part in parts]


def skew(parts: list[LocalData]) -> float:
    """Return the mean share of a part's most frequent class."""
    shares = [np.bincount(part.train.labels, minlength=10).max() / len(part.train) for part in parts]
    return float(np.mean(shares))


@pytest.mark.parametrize("partition", ["iid", "dirichlet", "shards", "quantity"])
@pytest.mark.parametrize("reserved", [0, 150])
def test_conformance(partition: str, reserved: int) -> None:
    check_data_source(DigitsSource(DigitsOptions(partition=partition, reserved=reserved)))  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(
    partition=st.sampled_from(["iid", "dirichlet", "shards", "quantity"]),
    alpha=st.sampled_from([0.001, 0.05, 0.3, 100.0]),
    holdout=st.sampled_from([0.001, 0.2, 0.999]),
    minimum=st.integers(min_value=2, max_value=9),
    parts=st.integers(min_value=1, max_value=199),
    seed=st.integers(min_value=0, max_value=2**63),
)
def test_parts_are_disjoint_cover_everything_and_are_large_enough(
    partition: str, alpha: float, holdout: float, minimum: int, parts: int, seed: int
) -> None:
    options = DigitsOptions(partition=partition, alpha=alpha, holdout=holdout, minimum=minimum)  # type: ignore[arg-type]
    dealt = parts_of(DigitsSource(options), parts, seed)
    assert min(sizes(dealt)) >= minimum
    for part in dealt:
        size = len(part.train) + len(part.holdout)
        assert len(part.holdout) == min(max(round(holdout * size), 1), size - 1)
    # No image is in the data twice, so equal multisets mean that each row was dealt once.
    together = np.concatenate([rows(half) for part in dealt for half in (part.train, part.holdout)])
    features, labels = load_digits(return_X_y=True)
    everything = np.column_stack((features, labels)).astype(np.float32)
    assert sorted(map(bytes, together)) == sorted(map(bytes, everything))


def test_samples_are_as_they_are() -> None:
    part = DigitsSource(DigitsOptions()).load(3, 60, 0)
    for data in (part.train, part.holdout):
        assert data.features.dtype == np.float32
        assert data.features.shape == (len(data), 64)
        assert data.labels.dtype == np.int64
        assert data.features.min() == 0
        assert data.features.max() == 16


def test_the_seed_decides() -> None:
    first, second = (DigitsSource(DigitsOptions()) for _ in range(2))
    for part in (7, 2):
        ours, theirs = first.load(part, 20, 5), second.load(part, 20, 5)
        np.testing.assert_array_equal(rows(ours.train), rows(theirs.train))
        np.testing.assert_array_equal(rows(ours.holdout), rows(theirs.holdout))
        first.load(0, 30, 5)  # another partition in between changes nothing
    assert sizes(parts_of(first, 20, 6)) != sizes(parts_of(first, 20, 5))


def test_iid_parts_are_of_one_size_and_dirichlet_parts_are_skewed() -> None:
    even = parts_of(DigitsSource(DigitsOptions(partition="iid")), 60)
    assert max(sizes(even)) - min(sizes(even)) <= 1
    skews = [skew(parts_of(DigitsSource(DigitsOptions(alpha=alpha)), 60)) for alpha in (100.0, 1.0, 0.1)]
    assert skew(even) < 0.3
    assert skews == sorted(skews)
    assert skews[2] > 0.55


def test_a_device_with_two_shards_has_few_classes() -> None:
    dealt = parts_of(DigitsSource(DigitsOptions(partition="shards")), 60)
    assert max(sizes(dealt)) - min(sizes(dealt)) <= 2
    # A shard of 15 is of one class, or lies where one ends and the next begins.
    assert max(len(np.unique(part.train.labels)) for part in dealt) <= 4
    assert np.mean([len(np.unique(part.train.labels)) for part in dealt]) < 2.6


def test_a_quantity_skew_is_one_of_sizes_only() -> None:
    dealt = parts_of(DigitsSource(DigitsOptions(partition="quantity", alpha=0.3)), 20)
    assert max(sizes(dealt)) > 10 * min(sizes(dealt))
    largest = max(dealt, key=lambda part: len(part.train))
    assert np.bincount(largest.train.labels, minlength=10).max() < 0.2 * len(largest.train)


def test_reserved_samples_are_the_same_for_any_number_of_parts_and_nobody_has_them() -> None:
    source = DigitsSource(DigitsOptions(reserved=150))
    apart = reserved_of(source, 5)
    assert len(apart) == 150
    for parts in (1, 60):
        dealt = parts_of(source, parts, seed=5)
        assert sum(sizes(dealt)) == SAMPLES - 150
        together = np.concatenate([rows(half) for part in dealt for half in (part.train, part.holdout)])
        assert not {row.tobytes() for row in together} & {row.tobytes() for row in rows(apart)}
    assert not np.array_equal(rows(apart), rows(reserved_of(source, 6)))
    np.testing.assert_array_equal(rows(apart), rows(reserved_of(DigitsSource(DigitsOptions(reserved=150)), 5)))


def test_all_devices_together_may_have_a_part_of_the_samples() -> None:
    source = DigitsSource(DigitsOptions(samples=300, reserved=100))
    assert sum(sizes(parts_of(source, 9))) == 300
    assert len(source.reserved(0)) == 100


def test_nothing_is_set_apart_unless_it_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match="source 'digits' sets no samples apart: set reserved to how many"):
        reserved_of(DigitsSource(DigitsOptions()), 0)
    with pytest.raises(ConfigurationError, match="has 1797 samples, too few for reserved = 1795 and 5 for the devices"):
        DigitsSource(DigitsOptions(reserved=1795)).load(0, 1, 0)


def test_a_source_that_cannot_set_samples_apart_is_named() -> None:
    with pytest.raises(ConfigurationError, match="object cannot set samples apart for the coordinator, it has no"):
        reserved_of(object(), 0)  # type: ignore[arg-type]


def test_more_shards_than_samples() -> None:
    with pytest.raises(ConfigurationError, match="fewer than 300 devices times 6 shards: take fewer devices, or fewer"):
        DigitsSource(DigitsOptions(partition="shards", shards=6)).load(0, 300, 0)


def test_one_part_is_everything() -> None:
    assert sizes(parts_of(DigitsSource(DigitsOptions()), 1)) == [SAMPLES]


def test_all_parts_of_one_partition_cost_one() -> None:
    source = DigitsSource(DigitsOptions())
    source.load(0, 300, 0)
    start = time.perf_counter()
    parts_of(source, 300)
    assert time.perf_counter() - start < 0.5  # about 5 ms


def test_too_many_parts() -> None:
    with pytest.raises(ConfigurationError) as caught:
        DigitsSource(DigitsOptions()).load(0, 360, 0)
    assert str(caught.value) == (
        "data source 'digits' has 1797 samples, which with at least 5 for each device is enough for 359 devices, "
        "not for 360: take fewer devices, or a lower minimum"
    )
    assert min(sizes(parts_of(DigitsSource(DigitsOptions()), 359))) == 5


@pytest.mark.parametrize(("part", "parts"), [(3, 3), (-1, 3), (0, 0)])
def test_a_part_that_is_not_there(part: int, parts: int) -> None:
    with pytest.raises(ValueError, match=f"part is {part}"):
        DigitsSource(DigitsOptions()).load(part, parts, 0)


def test_they_are_read_without_importing_scikit_learn() -> None:
    program = """
import sys
from tierwise.plugins.data import digits
from tierwise.plugins.data.digits import DigitsOptions, DigitsSource
source = DigitsSource(DigitsOptions())
print(source.task.features, len(source.task.classes), len(source.load(0, 60, 0).train), "sklearn" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    features, classes, samples, imported = found.stdout.split()
    assert (features, classes, imported) == ("64", "10", "False")
    assert int(samples) > 0


def test_they_are_scikit_learns_wherever_it_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything() -> LocalData:
        return DigitsSource(DigitsOptions()).load(0, 1, 0)

    read = everything()
    monkeypatch.setattr(digits, "find_spec", lambda _: None)
    asked = everything()
    for ours, theirs in ((read.train, asked.train), (read.holdout, asked.holdout)):
        assert ours.features.flags.c_contiguous
        assert ours.features.dtype == theirs.features.dtype
        np.testing.assert_array_equal(rows(ours), rows(theirs))
