"""Sets of chunk indices as half-open ranges: ``((0, 16), (20, 21))`` are 0 to 15, and 20."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec

RANGES_LIMIT: Final = 1024
"""Ranges in one message; what does not fit is said in a later one."""
INDEX_LIMIT: Final = 2**48

_Index = Annotated[int, msgspec.Meta(ge=0, le=INDEX_LIMIT)]
Ranges = Annotated[tuple[tuple[_Index, _Index], ...], msgspec.Meta(max_length=RANGES_LIMIT)]


def to_ranges(indices: Iterable[int], limit: int = RANGES_LIMIT) -> tuple[tuple[int, int], ...]:
    """Return ascending indices as the fewest ranges, at most ``limit`` of them: what comes after is left out."""
    ranges: list[tuple[int, int]] = []
    for index in indices:
        if ranges and ranges[-1][1] == index:
            ranges[-1] = (ranges[-1][0], index + 1)
        elif len(ranges) == limit:
            break
        else:
            ranges.append((index, index + 1))
    return tuple(ranges)


def check_ranges(ranges: tuple[tuple[int, int], ...]) -> None:
    """See that ranges ascend and do not overlap, so that they name no index twice.

    Raises
    ------
    ValueError
        If they do not.
    """
    last = 0
    for first, end in ranges:
        if not last <= first < end:
            raise ValueError(f"chunk ranges ascend and are not empty, got [{first}, {end}) after {last}")
        last = end


def indices(ranges: tuple[tuple[int, int], ...], count: int) -> Iterator[int]:
    """Yield the indices below ``count`` that ranges name, so at most ``count`` of them."""
    for first, end in ranges:
        yield from range(first, min(end, count))
