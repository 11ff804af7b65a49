"""Samples that are the rows of tables: which columns are features, and what is predicted."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.describing import Column, Dropped
from tierwise.core.errors import ConfigurationError
from tierwise.core.task import Task
from tierwise.plugins.data._assembling import LearningOptions, Piece, assemble, find_classes, shared_options
from tierwise.plugins.data._columns import MISSING, Cells, Numbers, look_at
from tierwise.plugins.data._dealing import Dealer, Partition, Samples
from tierwise.plugins.data._files import Paths, device_of, find_files, told_what_to_write

_Name = Annotated[str, msgspec.Meta(min_length=1)]


class TableOptions(LearningOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of sources that read tables, beside those of `LearningOptions`.

    Attributes
    ----------
    path
        The files: a path, a pattern such as ``devices/*.csv``, or a list of those. It may begin with an environment
        variable.
    target
        The column of what is predicted.
    features
        The columns that it is predicted from, all of numbers or truth values but those of ``one_hot``. By default all
        others; a coordinator, which has no data, needs them written down.
    one_hot
        Columns of texts, each with its categories: every category becomes a feature that is 1 or 0.
    partition
        ``own``: each file is a device's own. ``column``: as ``by`` says. The others deal out: ``iid`` evenly and at
        random, ``dirichlet`` with skewed classes and sizes, ``shards`` with few classes for each, ``quantity`` with
        skewed sizes.
    by
        With ``column``: the column that says whose each row is.
    """

    path: Paths = ""
    target: str = ""
    features: tuple[_Name, ...] = ()
    one_hot: dict[str, Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1)]] = msgspec.field(default_factory=dict)
    partition: Partition = "own"
    by: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.partition == "column") != bool(self.by):
            raise ValueError("partition = 'column' and by, which names the column, go together")
        for name in self.features:
            if self.features.count(name) > 1:
                raise ValueError(f"features has {name!r} twice")
            if name in (self.target, self.by):
                raise ValueError(
                    f"{name!r} is {'target' if name == self.target else 'by'}, and cannot be a feature too"
                )
        strange = [name for name in self.one_hot if self.features and name not in self.features]
        if strange:
            raise ValueError(f"one_hot has {strange[0]!r}, which is not among the features")


class TablePool:
    """What a data source of tables does, whatever format they have.

    Parameters
    ----------
    source
        The data source's name, for messages.
    options
        Its options.
    read
        Reads a file.
    """

    def __init__(self, source: str, options: TableOptions, read: Callable[[Path], Cells]) -> None:
        self._source = source
        self._options = options
        self._read = read
        self._names: tuple[str, ...] = options.features
        self._pieces: list[Piece] | None = None
        self.dealer = Dealer(source, options, options.partition, self._samples)

    def task(self) -> Task:
        """Return what is learned; reads the files only if it is not written down.

        Raises
        ------
        ConfigurationError
            If they have to be read, and cannot be.
        """
        options = self._options
        self._check_target()
        classes = options.class_names
        if not self._names or not (classes or options.regression):
            with told_what_to_write("features and, unless it is a regression, classes"):
                self._all()
        if not classes and not options.regression:
            classes = find_classes(self._all(), options.target)
        names = tuple(feature for name in self._names for feature in self._encoded(name))
        return Task(
            name=options.name or options.target,
            features=len(names),
            feature_names=names,
            classes=classes,
            target=options.target,
            loss=options.loss,
        )

    def pins(self) -> dict[str, object]:
        """Return the options that tell the task without the files."""
        task = self.task()
        pins: dict[str, object] = {"features": list(self._names)}
        return pins | {"classes": list(task.classes)} if task.classes else pins

    def dropped(self) -> tuple[Dropped, ...]:
        """Return what was left out of each file; reads them all."""
        return tuple(
            Dropped(where=one.where, samples=one.left_out, there=len(one.features) + one.left_out)
            for one in self._all()
            if one.left_out
        )

    def schema_options(self) -> dict[str, object]:
        """Return the options that another table of the same task shares."""
        return shared_options(self._options, self.pins())

    def features_only(self, seed: int) -> Numbers:
        """Return the features of all rows; the target's column may be missing, and so may its values."""
        parts = []
        for file in self._files():
            cells = self._read(file)
            self._names = self._names or self._others(cells)
            _check_rows(file, cells)
            parts.append(self._sound(cells, cells.features(self._names, self._options.one_hot), {})[1])
        features = np.concatenate(parts)
        return features[self.dealer.chosen(seed, len(features))]

    def columns(self) -> tuple[Column, ...]:
        """Describe every column, whether it can be used or not."""
        files = [self._read(file) for file in self._files()]
        names = list(dict.fromkeys(name for cells in files for name in cells.frame.columns))
        described = []
        for name in names:
            seen = [look_at(cells.frame[name], self._named(name)) for cells in files if name in cells.frame.columns]
            kinds = {one.kind for one in seen}
            ranged = [] if "text" in kinds else seen
            absent = sum(len(cells.frame) for cells in files if name not in cells.frame.columns)
            described.append(
                Column(
                    name=name,
                    dtype=" and ".join(sorted(kinds)),
                    role=self._role(name),
                    missing=sum(one.missing for one in seen) + absent,
                    least=min((one.least for one in ranged if one.least is not None), default=None),
                    greatest=max((one.greatest for one in ranged if one.greatest is not None), default=None),
                )
            )
        return tuple(described)

    def _role(self, name: str) -> str:
        options = self._options
        if name in (options.target, options.by):
            return "target" if name == options.target else "device"
        return "feature" if not options.features or name in options.features else ""

    def _named(self, name: str) -> tuple[str, ...]:
        """Return what is written down of a column's labels, so that none of it stands for a missing value."""
        if name == self._options.by:
            return MISSING[1:]
        return self._options.class_names if name == self._options.target else self._options.one_hot.get(name, ())

    def _encoded(self, name: str) -> tuple[str, ...]:
        """Return the features that a column becomes."""
        return (
            tuple(f"{name}={one}" for one in self._options.one_hot[name]) if name in self._options.one_hot else (name,)
        )

    def _check_target(self) -> None:
        if not self._options.target:
            raise ConfigurationError(
                f"data source {self._source!r} needs the option target: the column to be predicted"
            )

    def _files(self) -> Sequence[Path]:
        return find_files(self._source, self._options.path)

    def _samples(self) -> Samples:
        return assemble(self._all(), self.task().classes, self._options.target, self._options.partition)

    def _all(self) -> list[Piece]:
        if self._pieces is None:
            self._check_target()
            files = self._files()
            first = self._read(files[0])
            if not self._names:
                self._names = self._features_of(first)
            self._pieces = [self._piece(file, first if file == files[0] else self._read(file)) for file in files]
        return self._pieces

    def _features_of(self, cells: Cells) -> tuple[str, ...]:
        options = self._options
        cells.column(options.target, "which is the target")
        names = self._others(cells)
        if not names:
            raise ConfigurationError(f"{cells.where} has no column beside the target {options.target!r}")
        strange = [name for name in options.one_hot if name not in names]
        if strange:
            cells.column(strange[0], "which one_hot names")
        return names

    def _others(self, cells: Cells) -> tuple[str, ...]:
        return tuple(name for name in cells.frame.columns if name not in (self._options.target, self._options.by))

    def _piece(self, file: Path, cells: Cells) -> Piece:
        options = self._options
        self._check_columns(cells)
        _check_rows(file, cells)
        features = cells.features(self._names, options.one_hot)
        target, lacks = cells.values(options.target, "which is the target", options.class_names)
        by, nobodys = (
            cells.values(options.by, "which says whose a row is") if options.by else (None, np.zeros_like(lacks))
        )
        lacking = {options.target: lacks} | ({options.by: nobodys} if options.by else {})
        rows, sound = self._sound(cells, features, lacking)
        return Piece(
            where=str(file),
            device=device_of(file),
            features=sound,
            target=target[rows],
            by=None if by is None else by[rows],
            row=lambda row: cells.line(int(rows[row])),
            left_out=len(features) - len(rows),
        )

    def _sound(
        self, cells: Cells, features: Numbers, lacking: dict[str, NDArray[np.bool_]]
    ) -> tuple[NDArray[np.intp], Numbers]:
        """Return which rows lack nothing, and their features."""
        sound = np.asarray(np.isfinite(features).all(axis=1))
        for lacks in lacking.values():
            sound &= ~lacks
        if not sound.all() and self._options.missing == "error":
            raise self._missing(cells, features, lacking, sound)
        if not sound.any():
            raise ConfigurationError(f"{cells.where} has no row without a missing value: fill them in")
        rows = np.flatnonzero(sound)
        return rows, features[rows]

    def _check_columns(self, cells: Cells) -> None:
        """Refuse a column that only some files have, unless the options say which ones count."""
        if self._options.features:
            return
        known = (*self._names, self._options.target, self._options.by)
        strange = [name for name in cells.frame.columns if name not in known]
        if strange:
            raise ConfigurationError(
                f"{cells.where} has a column {strange[0]!r}, which the first file has not: take it away, or write down "
                "which columns are features"
            )

    def _missing(
        self,
        cells: Cells,
        features: Numbers,
        lacking: dict[str, NDArray[np.bool_]],
        sound: NDArray[np.bool_],
    ) -> ConfigurationError:
        row = int(np.flatnonzero(~sound)[0])
        names = [feature for name in self._names for feature in [name] * len(self._encoded(name))]
        empty = [names[place] for place in np.flatnonzero(np.isnan(features[row]))]
        empty += [name for name, lacks in lacking.items() if lacks[row]]
        cell = cells.frame[empty[0]][row]
        sign = f", since {cell!r} stands for none" if isinstance(cell, str) and cell.strip() else ""
        option = {self._options.target: "classes"} | dict.fromkeys(self._options.one_hot, "one_hot")
        label = sign and empty[0] in option and not (option[empty[0]] == "classes" and self._options.regression)
        return ConfigurationError(
            f"{cells.where}, {cells.line(row)}: column {empty[0]!r} has no value{sign}; {(~sound).sum()} of "
            f"{len(sound)} rows lack one: fill it in, or leave such rows out with missing = 'drop'"
            + (f". If {cell!r} is a label, name it, with all others, in {option[empty[0]]}" if label else "")
        )


def _check_rows(file: Path, cells: Cells) -> None:
    if cells.frame.is_empty():
        raise ConfigurationError(f"{file} has no rows below its header: fill it, or take it away")
