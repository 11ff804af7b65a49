"""Plans for selecting ranks among rows: which rows are sorted, compared and folded, in which order.

The rows are halved and each half is sorted, by a network of comparators, which are the same whatever the values are. Of
two sorted halves A and B the element of rank r (from 0) needs no merge: the r + 1 least of all are the lesser ones of
the pairs ``(A[i], B[r - i])``, so it is the greatest of those; and in the same way from the other end.

Half of the work is thus left out before it begins; and of the networks that sort the halves only those comparators are
left, and of those only the outputs, that reach a row which some pair reads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

LARGEST: Final = 512
"""Rows that there are plans for; among more of them finding a rank by counting takes no longer."""
GROUP: Final = 16
"""Rows that are sorted at once, in registers; each group's are in order then."""

Pairs = NDArray[np.uint16]
_Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """How two ranks among some rows are found.

    Attributes
    ----------
    groups
        How many rows each group has; together they are all rows, in their order.
    steps
        The comparators after that, shape ``(n, 3)``: the row that gets the lesser value, the row that gets the greater
        one, and 0, or 1 if only the lesser is read later, or 2 if only the greater.
    low, high
        Pairs of rows, shape ``(n, 2)``; a row without a partner stands twice.
    low_is_least, high_is_least
        Whether the rank is the least of the pairs' greater values; else it is the greatest of their lesser ones.
    """

    groups: NDArray[np.uint16]
    steps: NDArray[np.uint16]
    low: Pairs
    low_is_least: bool
    high: Pairs
    high_is_least: bool


@lru_cache(maxsize=256)
def plan(count: int, low: int, high: int) -> Plan:
    """Plan to find the ranks ``low`` and ``high`` (from 0) among ``count`` rows, of which there may be `LARGEST`."""
    half = (count + 1) // 2
    steps: list[_Pair] = []
    sizes, others = _split(half), _split(count - half)
    first, second = _sort(0, sizes, steps), _sort(half, others, steps)
    low_pairs, low_is_least = _pairs(first, second, low)
    high_pairs, high_is_least = _pairs(first, second, high)
    kept = _pruned(steps, {row for pair in (*low_pairs, *high_pairs) for row in pair})
    return Plan(
        groups=np.array([*sizes, *others], np.uint16),
        steps=np.array(kept, np.uint16).reshape(-1, 3),
        low=np.array(low_pairs, np.uint16),
        low_is_least=low_is_least,
        high=np.array(high_pairs, np.uint16),
        high_is_least=high_is_least,
    )


def _split(count: int) -> list[int]:
    """Divide rows into groups that are as even as can be."""
    groups = -(-count // GROUP)
    return [count // groups + (number < count % groups) for number in range(groups)]


def _sort(start: int, groups: Sequence[int], steps: list[_Pair]) -> Sequence[int]:
    """Merge groups that are sorted; return the rows in the order of their values then."""
    sorted_runs: list[Sequence[int]] = []
    for size in groups:
        sorted_runs.append(range(start, start + size))
        start += size
    while len(sorted_runs) > 1:
        pairs = zip(sorted_runs[::2], sorted_runs[1::2], strict=False)
        merged = [_merge(first, second, steps) for first, second in pairs]
        sorted_runs = merged + sorted_runs[2 * len(merged) :]
    return sorted_runs[0] if sorted_runs else ()


def _merge(first: Sequence[int], second: Sequence[int], steps: list[_Pair]) -> Sequence[int]:
    """Merge two sorted runs by Batcher's odd-even merge; return the rows in the order of their values then.

    Batcher 1968, "Sorting networks and their applications"; here no value is moved to where it would be read in
    order, as whoever reads knows the order.
    """
    if not first or not second:
        return first or second
    if len(first) == len(second) == 1:
        steps.append((first[0], second[0]))
        return (first[0], second[0])
    even = _merge(first[::2], second[::2], steps)
    odd = _merge(first[1::2], second[1::2], steps)
    ordered = [even[0]]
    for position in range(max(len(odd), len(even) - 1)):
        pair = (*odd[position : position + 1], *even[position + 1 : position + 2])
        if len(pair) == 2:
            steps.append((pair[0], pair[1]))
        ordered += pair
    return ordered


def _pairs(first: Sequence[int], second: Sequence[int], rank: int) -> tuple[list[_Pair], bool]:
    """Return the pairs that tell a rank of two sorted runs, from the nearer end, and whether that is above."""
    from_above = rank >= (len(first) + len(second)) / 2
    if from_above:
        first, second = first[::-1], second[::-1]
        rank = len(first) + len(second) - 1 - rank
    found = []
    for position in range(rank + 1):
        partners = (*first[position : position + 1], *second[rank - position : rank - position + 1])
        if partners:
            found.append((partners[0], partners[-1]))
    return found, from_above


def _pruned(steps: Iterable[_Pair], read: set[int]) -> list[tuple[int, int, int]]:
    """Leave out what nobody reads, from the last comparator on."""
    kept = []
    for low, high in reversed(list(steps)):
        if low in read or high in read:
            kept.append((low, high, 0 if low in read and high in read else 1 if low in read else 2))
            read |= {low, high}
    return kept[::-1]
