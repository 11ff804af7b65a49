"""NumPy's files of arrays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from zipfile import BadZipFile, is_zipfile

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.plugins.data._arrays import ArrayOptions, ArrayPool, Arrays
from tierwise.plugins.data._files import Paths, device_of, find_files
from tierwise.plugins.data._pooled import PooledSource

_Key = Annotated[str, msgspec.Meta(min_length=1)]


class NpzOptions(ArrayOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `NpzSource`, beside those of `ArrayOptions`.

    Attributes
    ----------
    path
        The files: a path, a pattern such as ``data/*.npz``, or a list of those. It may begin with an environment
        variable.
    features
        The array of features in each file: a row, an image or a window for each sample, which is flattened.
    target
        The array of what is predicted: a class or a number for each sample. Whole numbers from 0 are positions in
        ``classes`` where those are not numbers themselves.
    by
        With ``column``: the array that says whose each sample is.
    """

    path: Paths = ""
    features: _Key = "x"
    target: _Key = "y"
    by: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.partition == "column") != bool(self.by):
            raise ValueError("partition = 'column' and by, which names the array, go together")


class NpzSource(PooledSource):
    """Reads arrays from files that `numpy.savez` writes; never a pickle."""

    def __init__(self, options: NpzOptions) -> None:
        self._options = options
        super().__init__(ArrayPool("npz", options, lambda labelled: list(self._read(labelled)), target=options.target))

    def _read(self, labelled: bool) -> Iterator[Arrays]:
        options = self._options
        for file in find_files("npz", options.path):
            features = _array(file, options.features, "features")
            if not labelled:
                yield Arrays(str(file), device_of(file), features)
                continue
            by = _array(file, options.by, "by") if options.by else None
            yield Arrays(str(file), device_of(file), features, _array(file, options.target, "target"), by)


def _array(file: Path, key: str, option: str) -> NDArray[Any]:
    if not is_zipfile(file):
        raise ConfigurationError(f"{file} is no file that numpy.savez wrote")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if key in arrays:
                return np.asarray(arrays[key])
            names = list(arrays)
    except (OSError, BadZipFile, ValueError, AttributeError, TypeError) as error:
        reason = "has an array of Python objects, which is never unpickled" if "pickle" in str(error) else str(error)
        raise ConfigurationError(f"{file} cannot be read as NumPy's npz: {reason}") from error
    raise ConfigurationError(
        f"{file} has no array {key!r}{nearest(key, names)}, which option {option} names; it has {', '.join(names)}"
    )
