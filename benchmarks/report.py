"""What every benchmark script prints and writes: one row for each figure, with its baseline from the same run."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, NoReturn

from rich.console import Console
from rich.table import Table

Better = Literal["more", "less"]
LESS_IS_BETTER: Final = frozenset({"s", "ms", "us", "µs", "ns", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB", "bytes"})
"""Units of which less is better: times and sizes. Of a rate, whose unit ends in ``/s``, more is."""
SKIPPED: Final = 77
"""Exit code of a script that lacks what it needs here, which is no failure."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure. The names of the fields are the keys of the JSON objects."""

    metric: str
    value: float
    unit: str
    baseline: str | None = None
    baseline_value: float | None = None
    ratio: float | None = None
    """`value` to `baseline_value`; where repetitions were paired, the median of their ratios."""
    goal: str | None = None
    """The goal in words, or None where the figure is only shown."""
    met: bool | None = None
    better: Better | None = None
    """Whether more or less of the value is better; None where that is neither said nor known from the unit."""

    def __post_init__(self) -> None:
        if self.better is None:
            object.__setattr__(self, "better", _better(self.unit))

    @property
    def gain(self) -> float | None:
        """How many times as good as the baseline, or None if it has none or nobody knows what is good."""
        if self.ratio is None or self.better is None or self.ratio <= 0:
            return None
        return self.ratio if self.better == "more" else 1 / self.ratio


def compared(
    metric: str,
    value: float,
    unit: str,
    *,
    baseline: str,
    baseline_value: float,
    ratio: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    better: Better | None = None,
) -> Row:
    """Return the row of a figure beside its baseline.

    Parameters
    ----------
    ratio
        The median over paired repetitions, if there were any; else the quotient of the two values.
    at_least, at_most
        The goal for the ratio, one of the two; none means that the figure is only shown.
    better
        Needed where neither a goal nor the unit tells.
    """
    if ratio is None:
        ratio = value / baseline_value
    goal, met = None, None
    if at_least is not None:
        goal, met, better = f"ratio >= {at_least:g}", ratio >= at_least, "more"
    elif at_most is not None:
        goal, met, better = f"ratio <= {at_most:g}", ratio <= at_most, "less"
    return Row(metric, value, unit, baseline, baseline_value, ratio, goal, met, better)


def below(row: Row, bound: float) -> Row:
    """Return a row with the goal that its value is less than a bound, in the row's unit."""
    return replace(row, goal=f"< {bound:.3g} {row.unit}".rstrip(), met=row.value < bound, better="less")


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmark scripts have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases, to see that all works")
    return parser


def skip(why: str) -> NoReturn:
    """End the script, since something that it needs is not on this machine; say what, and how to come by it."""
    print(why, file=sys.stderr)
    sys.exit(SKIPPED)


def report(title: str, rows: Iterable[Row], json_file: Path | None = None) -> None:
    """Print the rows as a table and, if a file is given, write them there as JSON: the title, and a list of objects."""
    rows = list(rows)
    table = Table(title=title, title_justify="left")
    for heading in ("metric", "value", "unit", "baseline", "its value", "ratio", "goal", "met"):
        table.add_column(heading, justify="right" if heading in {"value", "its value", "ratio"} else "left")
    for row in rows:
        table.add_row(
            row.metric,
            number(row.value),
            row.unit,
            row.baseline or "",
            number(row.baseline_value),
            number(row.ratio),
            row.goal or "",
            {None: "", True: "yes", False: "[red]no[/red]"}[row.met],
        )
    # Into a file or a pipe rich would squeeze the table into 80 columns.
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
    if json_file is not None:
        told = {"title": title, "rows": [asdict(row) for row in rows]}
        json_file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def number(value: float | None) -> str:
    """Return three significant digits, without an exponent where a reader can do without."""
    if value is None:
        return ""
    if value == 0 or 1e-3 <= abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2e}"


def _better(unit: str) -> Better | None:
    if unit.endswith("/s"):
        return "more"
    return "less" if unit in LESS_IS_BETTER else None
