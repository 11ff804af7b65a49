"""Compares results with others: which ratios have fallen, and by how much.

What is compared is how many times as good a figure is as its baseline of the same run (`report.Row.gain`), never a time
by itself: another day, or another load, changes both. It has fallen when it is less than four fifths of what it was.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from report import Row
from results import Result

LEAST: Final = 0.8
"""Of the earlier gain: below it, a ratio has fallen."""
Identity = tuple[str, str, str]
"""Of a ratio: the benchmark, the metric, and the baseline."""


@dataclass(frozen=True, slots=True)
class Fall:
    """A ratio that is worse than it was.

    Attributes
    ----------
    before, now
        The ratios as they are printed.
    left
        The gain as a part of the earlier one; of several runs, the median.
    """

    ratio: Identity
    before: float
    now: float
    left: float

    def __str__(self) -> str:
        benchmark, metric, baseline = self.ratio
        told = f"{benchmark}: {metric}, beside {baseline}: {1 - self.left:.0%} worse"
        return f"{told} (ratio {self.before:.3g} before, {self.now:.3g} now)"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two sets of results say together.

    Attributes
    ----------
    compared
        How many ratios are in both.
    falls
        Those that have fallen.
    gone
        Ratios that only the earlier results have, of benchmarks that are in both.
    """

    compared: int
    falls: tuple[Fall, ...]
    gone: tuple[Identity, ...]


def ratios(result: Result) -> dict[Identity, Row]:
    """Return the rows of a result that can be compared.

    Raises
    ------
    ValueError
        If two have the same metric and baseline, so that nobody can tell which is which.
    """
    found: dict[Identity, Row] = {}
    for row in result.rows:
        if row.gain is None or row.baseline is None:
            continue
        identity = (result.benchmark, row.metric, row.baseline)
        if identity in found:
            raise ValueError(f"{result.benchmark} has two rows {row.metric!r} beside {row.baseline!r}")
        found[identity] = row
    return found


def compare(earlier: Mapping[str, Result], runs: Mapping[str, Sequence[Result]]) -> Comparison:
    """Compare one or several runs of each benchmark with earlier results.

    Parameters
    ----------
    earlier
        By benchmark.
    runs
        By benchmark; of several runs the median counts. Benchmarks that are not in both are passed over.
    """
    compared, falls, gone = 0, [], []
    for name in sorted(set(earlier) & set(runs)):
        found = [ratios(one) for one in runs[name]]
        for identity, before in ratios(earlier[name]).items():
            now = [one[identity] for one in found if identity in one]
            if not now:
                gone.append(identity)
                continue
            compared += 1
            left = statistics.median(_gain(row) for row in now) / _gain(before)
            if left < LEAST:
                falls.append(Fall(identity, _ratio(before), statistics.median(_ratio(row) for row in now), left))
    return Comparison(compared, tuple(falls), tuple(gone))


def _gain(row: Row) -> float:
    assert row.gain is not None  # `ratios` has left out the others
    return row.gain


def _ratio(row: Row) -> float:
    assert row.ratio is not None
    return row.ratio
