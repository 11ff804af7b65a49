"""Plans for ranks: they are right for all values if they are for zeros and ones, which is the 0-1 principle."""

import itertools

import numpy as np
import pytest

from tierwise.ext._network import GROUP, LARGEST, plan


def carry_out(found, values):
    """Do what a plan says, over values of shape ``(rows, cases)``; return both ranks."""
    rows, start = values.copy(), 0
    for size in found.groups:
        rows[start : start + size] = np.sort(rows[start : start + size], axis=0)
        start += size
    assert start == len(values)
    for low, high, kept in found.steps:
        least, most = np.minimum(rows[low], rows[high]), np.maximum(rows[low], rows[high])
        if kept != 2:
            rows[low] = least
        if kept != 1:
            rows[high] = most
        if kept:  # whoever reads the other one is found out
            rows[high if kept == 1 else low] = 2
    return _fold(rows, found.low, found.low_is_least), _fold(rows, found.high, found.high_is_least)


def _fold(rows, pairs, least):
    first, second = rows[pairs[:, 0]], rows[pairs[:, 1]]
    return np.maximum(first, second).min(axis=0) if least else np.minimum(first, second).max(axis=0)


def sorted_groups(found):
    """Every case of zeros and ones that is left when groups have been sorted: how many ones each has."""
    for ones in itertools.product(*(range(size + 1) for size in found.groups)):
        yield np.concatenate([np.arange(size) >= size - n for size, n in zip(found.groups, ones, strict=True)])


@pytest.mark.parametrize("count", [*range(1, 34), 40])
def test_every_rank_is_found_whatever_the_values(count):
    for low in {0, count // 5, (count - 1) // 2}:
        for high in {low, count // 2, count - 1 - low}:
            found = plan(count, low, high)
            values = np.array(list(sorted_groups(found)), np.int8).T
            ordered = np.sort(values, axis=0)
            lows, highs = carry_out(found, values)
            np.testing.assert_array_equal(lows, ordered[low])
            np.testing.assert_array_equal(highs, ordered[high])


@pytest.mark.parametrize("count", [47, 64, 65, 100, 127, 128, 200, LARGEST])
def test_ranks_among_many_rows(count):
    values = (np.random.default_rng(0).random((count, 3000)) < np.linspace(0.3, 0.7, 3000)).astype(np.int8)
    ordered = np.sort(values, axis=0)
    for low, high in ((0, count - 1), (count // 5, count - 1 - count // 5), ((count - 1) // 2, count // 2)):
        lows, highs = carry_out(plan(count, low, high), values)
        np.testing.assert_array_equal(lows, ordered[low])
        np.testing.assert_array_equal(highs, ordered[high])


def test_groups_are_as_even_as_can_be_and_fit_into_registers():
    for count in range(1, 200):
        sizes = plan(count, 0, count - 1).groups
        assert sizes.max() <= GROUP
        assert sizes.sum() == count
    assert plan(100, 49, 50).groups.tolist() == [13, 13, 12, 12] * 2


def test_a_median_takes_less_than_a_sort():
    """Of 32 rows the halves need no merge; of 128 the ends read little of them."""
    assert len(plan(32, 15, 16).steps) == 0
    ends = plan(128, 3, 124).steps
    middle = plan(128, 63, 64).steps
    assert len(ends) < len(middle)
    assert (ends[:, 2] > 0).any()
