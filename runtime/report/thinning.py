"""Fewer marks where there are too many to be drawn, or seen: nothing is left out without being told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, TypeVar

from tierwise.core.ids import DeviceId
from tierwise.runtime.report.rows import DeviceRow, MetricRow, RoundEnd, RoundRow

T = TypeVar("T")

MOST_SPOTS: Final = 1_500
"""Of devices, in a chart."""
MOST_BARS: Final = 1_500
"""Of rounds, in a chart, beside those that were abandoned."""
MOST_POINTS: Final = 250
"""Of a line."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Devices of one group with the same hardware.

    Attributes
    ----------
    first
        The first of them.
    devices
        All of them.
    """

    first: DeviceRow
    devices: tuple[DeviceId, ...]


def spots(devices: Iterable[DeviceRow], most: int = MOST_SPOTS) -> tuple[list[Spot], str]:
    """Put devices with the same hardware into one spot, and thin the spots out evenly by compute in each group.

    Returns
    -------
    tuple
        The spots, and what was left out, for people; empty for nothing.
    """
    alike: dict[tuple[object, ...], list[DeviceRow]] = {}
    for row in devices:
        hardware = (row.group, row.compute_flops, row.memory_bytes, row.link_bytes_per_s)
        alike.setdefault(hardware, []).append(row)
    made = [Spot(rows[0], tuple(row.device for row in rows)) for rows in alike.values()]
    made.sort(key=lambda spot: (spot.first.group or "", spot.first.compute_flops))
    kept = every(made, _stride(len(made), most))
    if len(kept) == len(made):
        return made, ""
    shown = sum(len(spot.devices) for spot in kept)
    whole = sum(len(spot.devices) for spot in made)
    return kept, f"{shown:,} of {whole:,} devices are drawn, evenly by compute in each group."


def bars(rounds: Sequence[RoundRow], most: int = MOST_BARS) -> tuple[list[RoundRow], str]:
    """Join rounds of a group that closed one after the other, as many as needed; abandoned ones stay by themselves.

    Returns
    -------
    tuple
        The bars by group, and how many rounds one stands for, for people; empty for one.
    """
    together = _stride(sum(row.end is RoundEnd.CLOSED for row in rounds), most)
    by_group = sorted(rounds, key=lambda row: (row.group, row.opened_s))
    made: list[RoundRow] = []
    for (_, end), alike in groupby(by_group, key=lambda row: (row.group, row.end)):
        run = list(alike)
        size = together if end is RoundEnd.CLOSED else 1
        made += [_joined(run[start : start + size]) for start in range(0, len(run), size)]
    return made, "" if together == 1 else f"A bar stands for up to {together} rounds that closed one after the other."


def points(values: Sequence[MetricRow], most: int = MOST_POINTS) -> tuple[list[MetricRow], str]:
    """Thin lines out evenly; the first and last point of each stay.

    Returns
    -------
    tuple
        The points by line, and how many were left out, for people; empty for none.
    """
    lines: dict[str, list[MetricRow]] = {}
    for row in values:
        lines.setdefault(row.series, []).append(row)
    kept = [row for line in lines.values() for row in every(line, _stride(len(line), most))]
    return kept, "" if len(kept) == len(values) else f"{len(kept):,} of {len(values):,} evaluations are drawn."


def every(items: Sequence[T], stride: int) -> list[T]:
    """Return every so many-th item, and the last one."""
    kept = list(items[::stride])
    if items and (len(items) - 1) % stride:
        kept.append(items[-1])
    return kept


def _stride(count: int, most: int) -> int:
    return max(1, -(-count // most))


def _joined(rounds: Sequence[RoundRow]) -> RoundRow:
    last = rounds[-1]
    return replace(last, first=rounds[0].first, opened_s=rounds[0].opened_s)
