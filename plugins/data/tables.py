"""Tables in files: CSV and Parquet, read with polars."""

import contextlib
import csv
import gzip
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from tierwise.core.errors import ConfigurationError
from tierwise.plugins.data._columns import Cells
from tierwise.plugins.data._pooled import PooledSource
from tierwise.plugins.data._table import TableOptions, TablePool

if TYPE_CHECKING:
    import polars as pl

_TWICE: Final = re.compile(r"(.*)_duplicated_\d+")
"""How polars calls a column of a CSV file whose name is there already."""


class CsvOptions(TableOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `CsvSource`, beside those of `TableOptions`.

    Attributes
    ----------
    separator
        What stands between two cells: one character.
    """

    separator: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","


class ParquetOptions(TableOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `ParquetSource`: those of `TableOptions`."""


class CsvSource(PooledSource):
    """Reads CSV files with a header, in UTF-8, also compressed by gzip."""

    def __init__(self, options: CsvOptions) -> None:
        super().__init__(TablePool("csv", options, lambda file: _read_csv(file, options.separator)))


class ParquetSource(PooledSource):
    """Reads Parquet files."""

    def __init__(self, options: ParquetOptions) -> None:
        super().__init__(TablePool("parquet", options, _read_parquet))


def _read_csv(file: Path, separator: str) -> Cells:
    import polars as pl

    try:
        # As texts: what polars takes a column for depends on its first rows, and its message knows no line.
        frame = pl.read_csv(file, infer_schema=False, separator=separator, glob=False)
    except pl.exceptions.NoDataError:
        raise ConfigurationError(f"{file} is empty; a CSV file begins with a line of column names") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigurationError(f"{file} cannot be read as CSV: {_why(error, file, separator)}") from error
    names = [name.strip() for name in frame.columns]
    _check_header(file, names)
    frame.columns = names
    _check_lengths(file, separator, frame)
    frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))  # blank lines
    return Cells(str(file), frame, lambda row: f"line {_line(file, separator, row)}")


def _check_header(file: Path, names: list[str]) -> None:
    for name in names:
        twice = _TWICE.fullmatch(name)
        original = name if twice is None else twice.group(1).strip()
        if names.count(name) > 1 or (twice is not None and original in names):  # equal once spaces are gone, or at once
            raise ConfigurationError(f"{file} has two columns {original!r}: rename one")
    other = [one for one in ",;\t|" if len(names) == 1 and one in names[0]]
    if other:
        raise ConfigurationError(f"{file} has one column only, {names[0]!r}: write separator = {other[0]!r}")


def _check_lengths(file: Path, separator: str, frame: "pl.DataFrame") -> None:
    """Refuse a row that is cut short, whose missing cells polars takes for empty ones."""
    if not frame[:, -1].null_count() or file.suffix not in ("", ".csv", ".gz", ".txt", ".tsv"):
        return
    for line, cells in _rows(file, separator):
        if len(cells) < frame.width:
            raise ConfigurationError(
                f"{file}: line {line} has {len(cells)} cell{'s' if cells[1:] else ''}, the header has {frame.width} "
                "columns: a row is cut short; write a separator for each cell that is empty, or take the row away"
            )


def _why(error: Exception, file: Path, separator: str) -> str:
    if "utf-8" in str(error):
        return "it is no text in UTF-8; save it as that"
    if "more fields" in str(error):
        rows = _rows(file, separator)
        columns = len(next(rows)[1])
        for line, cells in rows:
            if len(cells) > columns:
                return f"line {line} has {len(cells)} cells, the header has {columns} columns"
    return _reason(error)


def _line(file: Path, separator: str, row: int) -> int:
    """Return the number of the line that a row begins in."""
    return next(itertools.islice(_rows(file, separator), row + 1, None))[0]


def _rows(file: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that rows begin in, the header's first, and their cells: a cell may hold line ends."""
    with contextlib.ExitStack() as opened:
        if file.suffix == ".gz":
            text = opened.enter_context(gzip.open(file, "rt", encoding="utf-8"))
        else:
            text = opened.enter_context(file.open(encoding="utf-8"))
        reader = csv.reader(text, delimiter=separator)
        begins = 1
        for cells in reader:
            if any(cells):
                yield begins, cells
            begins = reader.line_num + 1


def _read_parquet(file: Path) -> Cells:
    import polars as pl

    try:
        frame = pl.read_parquet(file, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigurationError(f"{file} cannot be read as Parquet: {_reason(error)}") from error
    return Cells(str(file), frame, lambda row: f"row {row + 1}")


def _reason(error: Exception) -> str:
    """Return what polars says, without its advice on arguments that nobody here can give."""
    return str(error).strip().splitlines()[0].rstrip(":")
