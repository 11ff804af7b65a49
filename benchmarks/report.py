"""What every benchmark script prints and writes: one row for each figure, with its baseline from the same run."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


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
) -> Row:
    """Return the row of a figure beside its baseline.

    Parameters
    ----------
    ratio
        The median over paired repetitions, if there were any; else the quotient of the two values.
    at_least, at_most
        The goal for the ratio, one of the two; none means that the figure is only shown.
    """
    if ratio is None:
        ratio = value / baseline_value
    goal, met = None, None
    if at_least is not None:
        goal, met = f"ratio >= {at_least:g}", ratio >= at_least
    elif at_most is not None:
        goal, met = f"ratio <= {at_most:g}", ratio <= at_most
    return Row(metric, value, unit, baseline, baseline_value, ratio, goal, met)


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmark scripts have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases, to see that all works")
    return parser


def report(title: str, rows: Iterable[Row], json_file: Path | None = None) -> None:
    """Print the rows as a table and, if a file is given, write them there as a JSON list of objects."""
    rows = list(rows)
    table = Table(title=title, title_justify="left")
    for heading in ("metric", "value", "unit", "baseline", "its value", "ratio", "goal", "met"):
        table.add_column(heading, justify="right" if heading in {"value", "its value", "ratio"} else "left")
    for row in rows:
        table.add_row(
            row.metric,
            _number(row.value),
            row.unit,
            row.baseline or "",
            _number(row.baseline_value),
            _number(row.ratio),
            row.goal or "",
            {None: "", True: "yes", False: "[red]no[/red]"}[row.met],
        )
    # Into a file or a pipe rich would squeeze the table into 80 columns.
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def _number(value: float | None) -> str:
    """Return three significant digits, without an exponent where a reader can do without."""
    if value is None:
        return ""
    if value == 0 or 1e-3 <= abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2e}"
