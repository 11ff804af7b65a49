"""A table's columns become numbers, or the error says which cell cannot, and what to do.

A CSV file has texts only, a Parquet file has types; both go the same way. Nothing is guessed: a text is no number, and
no category unless the options say which ones there are.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.plugins.data._assembling import as_text, in_order

if TYPE_CHECKING:
    import polars as pl

MISSING: Final = ("", "na", "n/a", "nan", "null", "none")
"""What a cell of a text column has, in whatever case, where a value is missing; but what is named as a value is one."""
_FEW: Final = 20
"""So many categories are suggested for a one-hot encoding."""

Numbers = NDArray[np.float32]


class Cells:
    """The columns of one file.

    Parameters
    ----------
    where
        The file, for messages.
    frame
        What was read of it.
    line
        Names a row, by its number from 0: ``line 7``.
    """

    def __init__(self, where: str, frame: "pl.DataFrame", line: Callable[[int], str]) -> None:
        self.where = where
        self.frame = frame
        self.line = line

    def column(self, name: str, what: str) -> "pl.Series":
        """Return a column.

        Raises
        ------
        ConfigurationError
            If there is none of that name; ``what`` says who wants it.
        """
        if name not in self.frame.columns:
            raise ConfigurationError(
                f"{self.where} has no column {name!r}{nearest(name, self.frame.columns)}, {what}; its columns: "
                f"{', '.join(self.frame.columns)}"
            )
        return self.frame[name]

    def features(self, names: tuple[str, ...], one_hot: Mapping[str, tuple[str, ...]]) -> Numbers:
        """Return columns as numbers, what is missing as NaN.

        Returns
        -------
        numpy.ndarray
            Shape ``(n_rows, n_features)``, float32; a column of ``one_hot`` becomes one for each of its categories.

        Raises
        ------
        ConfigurationError
            If a cell is no number, or none of the categories; names it.
        """
        parts = [
            self._encoded(name, one_hot[name]) if name in one_hot else self._numbers(name)[:, np.newaxis]
            for name in names
        ]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(self.frame), 0), np.float32)

    def values(
        self, name: str, what: str, named: Collection[str] = MISSING[1:]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return a column of labels, and where one is missing; the value there means nothing.

        Parameters
        ----------
        what
            Who wants the column.
        named
            Labels that are written down, so that they are none of `MISSING`. By default an empty cell only is.
        """
        import polars as pl

        column = self.column(name, what)
        if column.dtype.is_temporal():
            raise self._no_numbers(name, column)
        if column.dtype.is_integer() or column.dtype.is_float() or column.dtype == pl.Boolean:
            missing = column.is_null() | (column.is_nan() if column.dtype.is_float() else False)
            return column.fill_null(0).to_numpy(), missing.to_numpy()
        texts = column.cast(pl.String).str.strip_chars()
        missing = _is_missing(column, named)
        return np.array(texts.fill_null("").to_list(), np.str_), missing.fill_null(value=True).to_numpy()

    def _numbers(self, name: str) -> Numbers:
        import polars as pl

        column = self.column(name, "which is a feature")
        if column.dtype.is_temporal() or column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
            raise self._no_numbers(name, column)
        numbers = _of_texts(column) if _is_text(column) else column.cast(pl.Float64)
        if _is_text(column):
            wrong = numbers.is_null() & ~_is_missing(column)
            if wrong.any():
                raise self._text(name, column, int(wrong.arg_max() or 0))
        found = numbers.fill_null(np.nan).to_numpy()
        with np.errstate(over="ignore"):
            single = found.astype(np.float32)
        if np.isinf(single).any():
            row = int(np.flatnonzero(np.isinf(single))[0])
            raise ConfigurationError(
                f"{self.where}, {self.line(row)}: column {name!r} is {found[row]:g}, and only finite numbers up to "
                "3.4e38 are allowed: correct it"
            )
        return single

    def _encoded(self, name: str, categories: tuple[str, ...]) -> Numbers:
        values, missing = self.values(name, "which one_hot names", categories)
        distinct, index = np.unique(values, return_inverse=True)
        texts = [as_text(value) for value in distinct.tolist()]
        index = index.reshape(-1)
        for place, text in enumerate(texts):
            rows = np.flatnonzero((index == place) & ~missing)
            if len(rows) and text not in categories:
                raise ConfigurationError(
                    f"{self.where}, {self.line(int(rows[0]))}: column {name!r} is {text!r}{nearest(text, categories)}, "
                    f"which is none of the categories {', '.join(categories)}: correct it, or add it to one_hot, for "
                    "all devices"
                )
        encoded = np.array([[text == one for one in categories] for text in texts], np.float32)[index]
        encoded[missing] = np.nan
        return encoded

    def _text(self, name: str, column: "pl.Series", row: int) -> ConfigurationError:
        values, missing = self.values(name, "which is a feature", ())
        categories = in_order(as_text(value) for value in np.unique(values[~missing]).tolist())
        numbers = _of_texts(column).drop_nulls()
        listed = ", ".join(f'"{one}"' for one in categories)
        way_out = (
            f'write its categories, of all devices, as one_hot = {{ "{name}" = [{listed}] }}, or leave it out'
            if not len(numbers) and len(categories) <= _FEW
            else "correct it, or leave the column out of features"
        )
        return ConfigurationError(
            f"{self.where}, {self.line(row)}: column {name!r} is {column[row]!r}, and a feature is a number: {way_out}"
        )

    def _no_numbers(self, name: str, column: "pl.Series") -> ConfigurationError:
        way_out = (
            "turn it into a number, such as days since a date or the hour of the day"
            if column.dtype.is_temporal()
            else "turn it into numbers"
        )
        return ConfigurationError(
            f"{self.where}: column {name!r} is of type {column.dtype}, and only numbers, truth values and texts can be "
            f"used: {way_out}, or leave it out of features"
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What is in a column: its type, of texts whether all are numbers; missing values; of numbers the range."""

    kind: str
    missing: int
    least: float | None = None
    greatest: float | None = None


def look_at(column: "pl.Series", named: Collection[str] = ()) -> Seen:
    """Describe a column, whether it can be used or not; ``named`` as in `Cells.values`."""
    import polars as pl

    if not _is_text(column):
        kind, numbers = str(column.dtype).lower(), column
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            return Seen(kind, column.null_count())
        numbers = column.cast(pl.Float64).fill_nan(None)
        missing = numbers.null_count()
    else:
        numbers, lacks = _of_texts(column), _is_missing(column)
        if (numbers.is_null() & ~lacks).any():
            return Seen("text", int(_is_missing(column, named).sum()))
        kind, missing = "number", int(lacks.sum())
        numbers = numbers.fill_nan(None)
    if missing == len(column):
        return Seen(kind, missing)
    return Seen(kind, missing, float(numbers.min()), float(numbers.max()))  # type: ignore[arg-type]


def _is_text(column: "pl.Series") -> bool:
    import polars as pl

    return column.dtype in (pl.String, pl.Categorical, pl.Enum)


def _is_missing(column: "pl.Series", named: Collection[str] = ()) -> "pl.Series":
    import polars as pl

    texts = column.cast(pl.String).str.strip_chars().str.to_lowercase()
    return texts.is_null() | texts.is_in(list(signs_of_missing(named))).fill_null(value=True)


def signs_of_missing(named: Collection[str]) -> frozenset[str]:
    """Return what stands for a missing value, in small letters, where these labels are written down."""
    return frozenset(MISSING) - {one.lower() for one in named}


def _of_texts(column: "pl.Series") -> "pl.Series":
    import polars as pl

    texts = column.cast(pl.String).str.strip_chars().str.to_lowercase()
    texts = texts.replace({"true": "1", "false": "0"} | dict.fromkeys(MISSING))
    return texts.cast(pl.Float64, strict=False)
