"""Makes one table of samples from what was read of several files, and finds the classes in it.

A class is a text. What a file has as a number or a truth value is written as one, the same for every type: the integer
1, the float 1.0 and the text ``1.0`` are all class ``1``.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.task import Loss
from tierwise.plugins.data._dealing import DealingOptions, Samples, some

_WHOLE: Final = re.compile(r"([+-]?\d+)(\.0*)?")
_DIGITS: Final = 18
"""Of a number; a longer one is kept as the text that it is."""
_WHERE: Final = ("path", "function", "arguments", "partition", "by")
"""Options that say where samples are, and whose."""
_MANY: Final = 1000
"""More classes than anybody names: the target is a number."""


class LearningOptions(DealingOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of all sources that are told what is learned, beside those of `DealingOptions`.

    Attributes
    ----------
    name
        The task's name, for people; the target's by default. All devices of a federation need the same.
    task
        Whether a class or a number is predicted.
    classes
        Their labels, in the order of a model's outputs. By default all that are in the data, in order; a coordinator,
        which has no data, and a device, which may lack some, need them written down.
    missing
        What becomes of a sample that lacks a value: ``error``, or ``drop`` to go on without it.
    """

    name: str = ""
    task: Literal["classification", "regression"] = "classification"
    classes: tuple[Annotated[str, msgspec.Meta(min_length=1)] | int | bool, ...] = ()
    missing: Literal["error", "drop"] = "error"

    def __post_init__(self) -> None:
        named = self.class_names
        if len(set(named)) < len(named):
            twice = next(name for name in named if named.count(name) > 1)
            raise ValueError(f"classes has {twice!r} twice")
        if named and self.regression:
            raise ValueError("classes are set, and task is 'regression', which has none")
        if len(named) == 1:
            raise ValueError(f"classes has only {named[0]!r}: a classification has two or more")

    @property
    def regression(self) -> bool:
        """Whether a number is predicted."""
        return self.task == "regression"

    @property
    def loss(self) -> Loss:
        """What training minimises."""
        return Loss.SQUARED_ERROR if self.regression else Loss.CROSS_ENTROPY

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that are written down, as texts."""
        return tuple(as_text(one) for one in self.classes)


def shared_options(options: LearningOptions, pins: Mapping[str, object]) -> dict[str, object]:
    """Return the options that are of the task and of how files are written, not of whose the samples are, or where.

    Parameters
    ----------
    pins
        Those that would be read from the data otherwise.
    """
    own = (*DealingOptions.__struct_fields__, *_WHERE)
    written: dict[str, object] = msgspec.to_builtins(options)
    return {name: value for name, value in written.items() if name not in own} | dict(pins)


@dataclass(frozen=True, slots=True)
class Piece:
    """What was read of one file.

    Attributes
    ----------
    where
        The file, for messages.
    device
        Whose it is, if it is a device's own.
    features
        Shape ``(n_samples, n_features)``, finite.
    target
        Shape ``(n_samples,)``: texts, numbers or truth values; nothing is missing.
    by
        Likewise, whose each sample is; None where nobody asks.
    row
        Names a sample for messages, by its number: ``line 7``.
    left_out
        How many more there were, which lack a value.
    """

    where: str
    device: str
    features: NDArray[Any]
    target: NDArray[Any]
    by: NDArray[Any] | None
    row: Callable[[int], str]
    left_out: int = 0


def as_text(value: object) -> str:
    """Write a value as a class's label."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value).strip()
    whole = _WHOLE.fullmatch(text)
    if whole is not None:
        return whole.group(1) if text[0] == "0" or len(text) > _DIGITS else str(int(whole.group(1)))
    return text.lower() if text.lower() in ("true", "false") else text


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort labels: numbers by their size, texts by their letters, each once."""
    distinct = set(names)
    if all(_WHOLE.fullmatch(name) for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (float(name), name)))
    return tuple(sorted(distinct))


def find_classes(pieces: Sequence[Piece], target: str) -> tuple[str, ...]:
    """Return the classes that are in the data.

    Raises
    ------
    ConfigurationError
        If the target looks like a regression's, or there are fewer than two.
    """
    names = in_order(as_text(value) for piece in pieces for value in np.unique(piece.target).tolist())
    broken = [name for name in names if not _WHOLE.fullmatch(name) and _is_number(name)]
    if broken or len(names) > _MANY:
        seen = f"{broken[0]}" if broken else f"{len(names)} different values"
        raise ConfigurationError(
            f"target {target!r} has {seen} in {pieces[0].where}{' and others' if pieces[1:] else ''}, so it seems to "
            "be a number, not a class: write task = 'regression', or name the classes"
        )
    if len(names) < 2:
        raise ConfigurationError(
            f"target {target!r} has only the class {some(names)!r} in {some([piece.where for piece in pieces])}: write "
            "down which classes there are, such as classes = ['no', 'yes']"
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def assemble(pieces: Sequence[Piece], classes: tuple[str, ...], target: str, partition: str) -> Samples:
    """Put the pieces together.

    Parameters
    ----------
    classes
        Empty for a regression.
    target
        What it is called, for messages.
    partition
        One of `tierwise.plugins.data._dealing.Partition`.

    Raises
    ------
    ConfigurationError
        If a target is no class, or no number; names file, row and value.
    """
    labels = np.concatenate([_labels(piece, classes, target) for piece in pieces])
    features = pieces[0].features if len(pieces) == 1 else np.concatenate([piece.features for piece in pieces])
    devices, owners = _owners(pieces, partition)
    return Samples(features, labels, devices, owners)


def _labels(piece: Piece, classes: tuple[str, ...], target: str) -> NDArray[np.int64] | NDArray[np.float32]:
    if not classes:
        return _numbers(piece, target)
    distinct, index = np.unique(piece.target, return_inverse=True)
    names = [as_text(value) for value in distinct.tolist()]
    known = {name: number for number, name in enumerate(classes)}
    # Whole numbers from 0 are positions where the classes have other names.
    if piece.target.dtype.kind in "iu" and not any(_WHOLE.fullmatch(name) for name in classes):
        known = {str(number): number for number in range(len(classes))}
    for place, name in enumerate(names):
        if name not in known:
            row = piece.row(int(np.flatnonzero(index == place)[0]))
            raise ConfigurationError(
                f"{piece.where}, {row}: target {target!r} is {name!r}{nearest(name, classes)}, which is none of the "
                f"classes {some(classes)}: correct it, or add it to classes, for all devices"
            )
    return np.array([known[name] for name in names], np.int64)[index.reshape(-1)]


def _numbers(piece: Piece, target: str) -> NDArray[np.float32]:
    try:
        numbers = piece.target.astype(np.float64)
    except ValueError:
        wrong = next(number for number, value in enumerate(piece.target.tolist()) if not _is_number(str(value)))
        raise ConfigurationError(
            f"{piece.where}, {piece.row(wrong)}: target {target!r} is {str(piece.target[wrong])!r}, and a regression "
            "predicts numbers: correct it, or write task = 'classification'"
        ) from None
    if not np.isfinite(numbers).all():
        wrong = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise ConfigurationError(
            f"{piece.where}, {piece.row(wrong)}: target {target!r} is {numbers[wrong]}, only finite numbers are allowed"
        )
    return numbers.astype(np.float32)


def _owners(pieces: Sequence[Piece], partition: str) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    if partition == "own":
        devices = tuple(piece.device for piece in pieces)
        return devices, np.repeat(np.arange(len(pieces)), [len(piece.features) for piece in pieces])
    if partition != "column":
        return (), np.empty(0, np.intp)
    everyone = np.concatenate([_each_as_text(piece.by) for piece in pieces if piece.by is not None])
    distinct, owners = np.unique(everyone, return_inverse=True)
    devices = in_order(distinct.tolist())
    place = {name: number for number, name in enumerate(devices)}
    return devices, np.array([place[name] for name in distinct.tolist()], np.intp)[owners.reshape(-1)]


def _each_as_text(values: NDArray[Any]) -> NDArray[np.str_]:
    distinct, index = np.unique(values, return_inverse=True)
    return np.array([as_text(value) for value in distinct.tolist()])[index.reshape(-1)]
