"""Data that a Python function or class of the user's own gives."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.describing import Column, Describing, Dropped, Dropping
from tierwise.core.errors import ConfigurationError, TierwiseError, nearest
from tierwise.core.learning import (
    Collecting,
    Dataset,
    DataSource,
    KnowsDevices,
    LocalData,
    Reserving,
    all_samples_of,
    features_of,
    reserved_of,
)
from tierwise.core.task import Task
from tierwise.plugins._file import import_file
from tierwise.plugins.data._arrays import ArrayOptions, ArrayPool, Arrays
from tierwise.plugins.paths import CODE_FROM_THE_FOLDER

_FORM: Final = "'package.module:function' or 'file.py:function'"


class CallableOptions(ArrayOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `CallableSource`, beside those of `ArrayOptions`, which a class has no use for.

    Attributes
    ----------
    function
        What gives the data: ``package.module:function`` or ``file.py:function``, or a class likewise. It is run with
        all rights of this program, so it has to be somebody's whom you trust.
    arguments
        What it is called with, by name.
    """

    function: Annotated[str, msgspec.Meta(extra=CODE_FROM_THE_FOLDER)] = ""
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.partition == "column":
            raise ValueError(
                "partition is 'column', and a function gives no columns: let it return a mapping from the "
                "devices' names, with partition = 'own'"
            )


class CallableSource:
    """Asks a function for arrays, or a class for all that a data source does.

    A function returns a pair: features, whose first dimension is the samples', and a target for each. Or it returns a
    mapping from devices' names to such pairs. A class is made with the arguments, and keeps the contract of a data
    source itself: `tierwise.core.learning.DataSource`.
    """

    def __init__(self, options: CallableOptions) -> None:
        self._options = options
        self._found: DataSource | ArrayPool | None = None

    @property
    def task(self) -> Task:
        """What is learned."""
        source = self._source()
        return source.task() if isinstance(source, ArrayPool) else source.task

    def load(self, part: int, parts: int, seed: int) -> LocalData:
        """Return one part."""
        return self._source().load(part, parts, seed)

    def devices(self) -> tuple[str, ...]:
        """Return whose the data are, if they say so."""
        source = self._source()
        if isinstance(source, ArrayPool):
            return source.dealer.devices()
        return tuple(source.devices()) if isinstance(source, KnowsDevices) else ()

    def reserved(self, seed: int) -> Dataset:
        """Return the samples that no device gets."""
        source = self._source()
        return source.reserved(seed) if isinstance(source, Reserving) else reserved_of(source, seed)

    def dropped(self) -> tuple[Dropped, ...]:
        """Return what was left out of each device's samples, for a missing value."""
        source = self._source()
        return tuple(source.dropped()) if isinstance(source, ArrayPool | Dropping) else ()

    def schema_options(self) -> dict[str, object]:
        """Return the options that another set of the same task shares."""
        source = self._source()
        return dict(source.schema_options()) if isinstance(source, ArrayPool | Collecting) else {}

    def all_samples(self, seed: int) -> Dataset:
        """Return all samples, undivided."""
        source = self._source()
        return source.dealer.all_samples(seed) if isinstance(source, ArrayPool) else all_samples_of(source, seed)

    def features_only(self, seed: int) -> NDArray[np.float32]:
        """Return the features of all samples; a function may return None for their target."""
        source = self._source()
        return source.features_only(seed) if isinstance(source, ArrayPool) else features_of(source, seed)

    def pins(self) -> dict[str, object]:
        """Return the options that tell the task without the data; a class tells it itself."""
        source = self._source()
        return source.pins() if isinstance(source, ArrayPool) else {}

    def columns(self) -> tuple[Column, ...]:
        """Describe the data."""
        source = self._source()
        return tuple(source.columns()) if isinstance(source, Describing) else ()

    def _source(self) -> DataSource | ArrayPool:
        if self._found is None:
            found = self._load()
            if inspect.isclass(found):
                self._found = self._made(found)
            else:
                name = self._options.name or getattr(found, "__name__", "data")
                self._found = ArrayPool(
                    "callable", self._options, lambda labelled: self._asked(found, labelled), name=name
                )
        return self._found

    def _load(self) -> Any:
        place, _, name = self._options.function.rpartition(":")
        if not place or not name.isidentifier():
            raise ConfigurationError(
                f"function of data source 'callable' is {self._options.function!r}, it has the form {_FORM}"
            )
        try:
            module = import_file(Path(place))[0] if place.endswith(".py") else __import__(place, fromlist=[name])
        except TierwiseError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"data source 'callable': module {place!r} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        found = getattr(module, name, None)
        if not callable(found):
            known = [one for one, value in vars(module).items() if callable(value)]
            raise ConfigurationError(f"data source 'callable': {place} has no function {name!r}{nearest(name, known)}")
        return found

    def _call(self, called: Any) -> Any:
        try:
            return called(**self._options.arguments)
        except TierwiseError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"{self._options.function}, called with {self._options.arguments}, raised {type(error).__name__}: "
                f"{error}"
            ) from error

    def _made(self, cls: Any) -> DataSource:
        made: DataSource = self._call(cls)
        if not (hasattr(made, "task") and hasattr(made, "load")):
            raise ConfigurationError(
                f"{self._options.function} is a class without task and load, which the contract DataSource asks for: "
                "add them, or name a function"
            )
        return made

    def _asked(self, function: Any, labelled: bool) -> list[Arrays]:
        answer, where = self._call(function), self._options.function
        pairs = list(answer.items()) if isinstance(answer, Mapping) else [("data", answer)]
        if not pairs:
            raise ConfigurationError(f"{where} returned no devices")
        return [
            self._arrays(f"{where}, {name}" if pairs[1:] else where, str(name), pair, labelled) for name, pair in pairs
        ]

    def _arrays(self, where: str, name: str, pair: Any, labelled: bool) -> Arrays:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ConfigurationError(
                f"{where} returned {type(pair).__name__}, expected a pair (features, target), or a mapping from "
                "devices' names to such pairs"
            )
        try:
            return Arrays(where, name, np.asarray(pair[0]), np.asarray(pair[1]) if labelled else None)
        except ValueError as error:  # of ragged lists
            raise ConfigurationError(f"{where} returned what is no array: {error}") from error
