"""How figures look to people: units, tables and consoles.

An agent's log writes figures as well, so rich, which takes long to import, is imported where a table is made.
"""

import os
import sys
from typing import TYPE_CHECKING, Final

from tierwise.core.metrics import higher_is_better

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDTH: Final = 120
"""Columns of what goes into a file or a pipe, where nobody's terminal sets a width."""
MISSING: Final = "–"
_HUGE: Final = 999_999_999.5
"""Written out, a metric from here on takes more than eleven columns."""
_PREFIXES: Final = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("µ", 1e-6))


def output() -> "Console":
    """Return a console on standard output, for results."""
    return _console(sys.stdout.isatty(), stderr=False)


def messages() -> "Console":
    """Return a console on standard error, for progress and remarks."""
    return _console(sys.stderr.isatty(), stderr=True)


def _console(terminal: bool, *, stderr: bool) -> "Console":
    from rich.console import Console

    width = None if terminal or "COLUMNS" in os.environ else WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def table(*columns: str, title: str = "", right: tuple[str, ...] = (), tight: bool = False) -> "Table":
    """Return an empty table.

    Parameters
    ----------
    *columns
        Headings.
    title
        Above it.
    right
        Which columns hold numbers.
    tight
        Whether there is less space between columns.
    """
    from rich import box

    from tierwise.runtime.cli.ragged import RaggedTable

    made = RaggedTable(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False, show_edge=False)
    if tight:
        made.padding = (0, 1, 0, 0)
    for column in columns:
        number = column in right
        made.add_column(column, justify="right" if number else "left", overflow="fold", no_wrap=number)
    return made


def shortened(text: str, length: int) -> str:
    """Write a text in one line of so many characters at the most; what is left out is a ``…``."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def count(value: int | None) -> str:
    """Write a number of things: ``76,810``."""
    return MISSING if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """Write a metric such as an accuracy: ``0.944``."""
    return MISSING if value is None else f"{value:.3f}"


def metric(name: str, value: float | None) -> str:
    """Write a metric by its kind: shares ``0.903``, losses ``0.532``, errors in the target's unit ``53,126``.

    What has no place in a column, such as the loss of a model that diverged, has an exponent: ``1.48e+29``.
    """
    if value is None:
        return MISSING
    if abs(value) >= _HUGE:
        return f"{value:.2e}"
    if (higher_is_better(name) or name.endswith("_loss")) and abs(value) < 99.95:
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 999.95 else f"{value:#.4g}"


def size(size_bytes: float) -> str:
    """Write an amount of traffic: ``1.23 MB``."""
    return scaled(size_bytes, "B")


def scaled(value: float, unit: str) -> str:
    """Write a quantity with an SI prefix and three digits: ``12.3 GFLOP/s``, ``4.5 mJ``."""
    for prefix, factor in _PREFIXES:
        if value >= 0.9995 * factor:
            return f"{_digits(value / factor)} {prefix}{unit}"
    return f"{_digits(value / 1e-6)} µ{unit}" if value else f"0 {unit}"


def memory(size_bytes: float) -> str:
    """Write a size of memory in binary units, as it is built in: ``512 MiB``."""
    for prefix, factor in (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if size_bytes >= 0.9995 * factor:
            return f"{_digits(size_bytes / factor)} {prefix}B"
    return f"{size_bytes:.0f} B"


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it: ``12 µs``, ``340 ms``, ``1.2 s``, ``2 min 5 s``, ``3 h 20 min``."""
    if seconds < 59.95:
        for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
            if seconds >= 0.9995 * factor:
                return f"{_digits(seconds / factor)} {unit}"
        return f"{_digits(seconds / 1e-6)} µs" if seconds else "0 s"
    for (name, size), (lesser, part) in (
        (("d", 86400), ("h", 3600)),
        (("h", 3600), ("min", 60)),
        (("min", 60), ("s", 1)),
    ):
        parts = round(seconds / part)
        if parts * part >= size:
            whole, rest = divmod(parts, size // part)
            return f"{whole} {name} {rest} {lesser}" if rest else f"{whole} {name}"
    raise AssertionError("a minute or more has minutes")


def quantity(name: str, value: float) -> str:
    """Write a hardware quantity in the unit that its name ends with."""
    for suffix, unit in (("_flops", "FLOP/s"), ("_bytes_per_s", "B/s"), ("_w", "W"), ("_hz", "Hz"), ("_j", "J")):
        if name.endswith(suffix):
            return scaled(value, unit)
    if name.endswith("_bytes"):
        return memory(value)
    if name.endswith("_s"):
        return duration(value)
    if name.endswith("_ratio"):
        return f"{100 * value:.0f} %"
    if name.endswith("_bool"):
        return "yes" if value else "no"
    if name.endswith("_k"):
        return f"{value - 273.15:.0f} °C"
    return f"{value:g}"


def _digits(value: float) -> str:
    """Write three digits, without zeros that tell nothing."""
    places = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
