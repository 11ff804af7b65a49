"""Samples that come as arrays, from a file or from a function: checked, flattened and put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.describing import Column, Dropped
from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.task import Task
from tierwise.plugins.data._assembling import LearningOptions, Piece, assemble, find_classes, shared_options
from tierwise.plugins.data._columns import signs_of_missing
from tierwise.plugins.data._dealing import Dealer, Partition, Samples
from tierwise.plugins.data._files import told_what_to_write


class ArrayOptions(LearningOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of sources that read arrays, beside those of `LearningOptions`.

    Attributes
    ----------
    partition
        ``own``: each file, or each entry of a mapping, is a device's own. ``column``: as ``by`` says. The others deal
        out: ``iid`` evenly and at random, ``dirichlet`` with skewed classes and sizes, ``shards`` with few classes for
        each, ``quantity`` with skewed sizes.
    size
        How many numbers a sample has, flattened: 784 for images of 28 by 28. By default as many as the data have; a
        coordinator, which has no data, needs it written down.
    scale
        Features are divided by it before they reach a model: 255 for images of bytes.
    """

    partition: Partition = "own"
    size: Annotated[int, msgspec.Meta(ge=1)] | None = None
    scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0


@dataclass(frozen=True, slots=True)
class Arrays:
    """What was read of one file, as it is.

    Attributes
    ----------
    where, device
        As in `Piece`.
    features, target
        Any shape that begins with the number of samples; shape ``(n_samples,)``, or None where nobody asks.
    by
        Likewise; None where nobody asks.
    """

    where: str
    device: str
    features: NDArray[Any]
    target: NDArray[Any] | None = None
    by: NDArray[Any] | None = None


class ArrayPool:
    """What a data source of arrays does, whatever they come from.

    Parameters
    ----------
    source
        The data source's name, for messages.
    options
        Its options.
    read
        Reads everything, when it is needed first; given False, without targets and whose it is.
    target
        What the target is called.
    name
        The task's name, where none is written down; empty for the target's.
    """

    def __init__(
        self,
        source: str,
        options: ArrayOptions,
        read: Callable[[bool], Sequence[Arrays]],
        *,
        target: str = "target",
        name: str = "",
    ) -> None:
        self._source = source
        self._options = options
        self._target = target
        self._name = options.name or name or target
        self._read = read
        self._pieces: list[Piece] | None = None
        self._lacking = 0
        self.dealer = Dealer(source, options, options.partition, self._samples)

    def task(self) -> Task:
        """Return what is learned; reads the data only if it is not written down.

        Raises
        ------
        ConfigurationError
            If it has to be read, and cannot be.
        """
        options = self._options
        classes = options.class_names
        if not options.size or not (classes or options.regression):
            with told_what_to_write("size and, unless it is a regression, classes"):
                self._all()
        if not classes and not options.regression:
            classes = find_classes(self._all(), self._target)
        return Task(
            name=self._name,
            features=options.size or self._all()[0].features.shape[1],
            classes=classes,
            scale=options.scale,
            loss=options.loss,
        )

    def pins(self) -> dict[str, object]:
        """Return the options that tell the task without the data."""
        task = self.task()
        pins: dict[str, object] = {"size": task.features}
        return pins | {"classes": list(task.classes)} if task.classes else pins

    def dropped(self) -> tuple[Dropped, ...]:
        """Return what was left out of each file; reads them all."""
        return tuple(
            Dropped(where=one.where, samples=one.left_out, there=len(one.features) + one.left_out)
            for one in self._all()
            if one.left_out
        )

    def schema_options(self) -> dict[str, object]:
        """Return the options that other arrays of the same task share."""
        return shared_options(self._options, self.pins() | {"name": self._name})

    def features_only(self, seed: int) -> NDArray[np.float32]:
        """Return the features of all samples."""
        features = np.concatenate([piece.features for piece in self._pieces_of(labelled=False)])
        return features[self.dealer.chosen(seed, len(features))].astype(np.float32, copy=False)

    def columns(self) -> tuple[Column, ...]:
        """Describe the features, all of them together, and the target."""
        pieces = self._all()
        features = [piece.features for piece in pieces]
        return (
            Column(
                name=f"{pieces[0].features.shape[1]} features",
                dtype=str(features[0].dtype),
                missing=self._lacking,
                least=float(min(one.min() for one in features)),
                greatest=float(max(one.max() for one in features)),
            ),
            Column(name=self._target, dtype=_type_of(pieces[0].target), role="target"),
        )

    def load(self, part: int, parts: int, seed: int) -> LocalData:
        """Return one part."""
        return self.dealer.load(part, parts, seed)

    def reserved(self, seed: int) -> Dataset:
        """Return the samples that no device gets."""
        return self.dealer.reserved(seed)

    def _samples(self) -> Samples:
        return assemble(self._all(), self.task().classes, self._target, self._options.partition)

    def _all(self) -> list[Piece]:
        if self._pieces is None:
            self._pieces = self._pieces_of(labelled=True)
        return self._pieces

    def _pieces_of(self, *, labelled: bool) -> list[Piece]:
        pieces = [self._piece(arrays) for arrays in self._read(labelled)]
        for piece in pieces:
            self._check_size(piece, pieces[0])
        return pieces

    def _check_size(self, piece: Piece, first: Piece) -> None:
        size, written = piece.features.shape[1], self._options.size
        if written is not None and size != written:
            raise ConfigurationError(f"{piece.where}: a sample has {size} numbers, and size is {written}: correct one")
        if size != first.features.shape[1]:
            raise ConfigurationError(
                f"{piece.where}: a sample has {size} numbers, and in {first.where} {first.features.shape[1]}: all "
                "files need the same features"
            )

    def _piece(self, arrays: Arrays) -> Piece:
        features, by = arrays.features, arrays.by
        target = np.zeros(len(features), np.int64) if arrays.target is None else arrays.target
        _check(arrays, target)
        if not len(features):
            raise ConfigurationError(f"{arrays.where} has no samples")
        flat = features.reshape(len(features), -1)
        rows = np.arange(len(flat))
        sound = np.isfinite(flat).all(axis=1) if flat.dtype.kind == "f" else np.ones(len(flat), bool)
        sound &= ~_lacks(target, self._options.class_names)
        if not sound.all():
            self._lacking += int((~sound).sum())
            if self._options.missing == "error":
                raise _missing(arrays, flat, target, sound)
            flat, target, rows = flat[sound], target[sound], rows[sound]
            by = None if by is None else by[sound]
        if not len(flat):
            raise ConfigurationError(f"{arrays.where} has no samples that lack nothing")
        left_out = len(features) - len(rows)
        return Piece(arrays.where, arrays.device, flat, target, by, lambda row: f"sample {rows[row]}", left_out)


def _lacks(target: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return where a target is missing."""
    if target.dtype.kind == "f":
        return np.asarray(~np.isfinite(target))
    if target.dtype.kind not in "US":
        return np.zeros(len(target), bool)
    distinct, index = np.unique(target, return_inverse=True)
    signs = signs_of_missing(classes)
    return np.array([str(one).strip().lower() in signs for one in distinct.tolist()], bool)[index.reshape(-1)]


def _type_of(target: NDArray[Any]) -> str:
    return "text" if target.dtype.kind in "US" else str(target.dtype)


def _check(arrays: Arrays, target: NDArray[Any]) -> None:
    """Raise a `ConfigurationError` for arrays that do not go together or are no numbers."""
    features, by = arrays.features, arrays.by
    if features.dtype.kind not in "biuf":
        raise ConfigurationError(
            f"{arrays.where}: the features are of dtype {features.dtype}, only numbers and truth values are allowed"
        )
    if features.ndim == 0 or target.ndim != 1 or len(features) != len(target):
        raise ConfigurationError(
            f"{arrays.where}: the features have shape {features.shape} and the target {target.shape}; both begin with "
            "the number of samples, and the target has nothing else"
        )
    if target.dtype.kind not in "biufUS":
        raise ConfigurationError(
            f"{arrays.where}: the target is of dtype {target.dtype}, allowed are numbers and texts"
        )
    if by is not None and by.shape != target.shape:
        raise ConfigurationError(
            f"{arrays.where}: the array that says whose a sample is has shape {by.shape}, expected {target.shape}"
        )


def _missing(arrays: Arrays, flat: NDArray[Any], target: NDArray[Any], sound: NDArray[np.bool_]) -> ConfigurationError:
    row = int(np.flatnonzero(~sound)[0])
    lacks = np.flatnonzero(~np.isfinite(flat[row]))
    what = f"feature {lacks[0]}" if len(lacks) else "the target"
    value = flat[row, lacks[0]] if len(lacks) else repr(target[row].item())
    return ConfigurationError(
        f"{arrays.where}, sample {row}: {what} is {value}; {int((~sound).sum())} of {len(sound)} samples lack a value: "
        "fill it in, or leave them out with missing = 'drop'"
    )
