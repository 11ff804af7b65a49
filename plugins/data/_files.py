"""The files of a data source: paths with patterns, and the devices that they are of."""

import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.plugins.paths import FROM_THE_FOLDER

Paths = Annotated[str | tuple[str, ...], msgspec.Meta(extra=FROM_THE_FOLDER)]
"""The type of an option that names files."""
_PATTERN: Final = re.compile(r"[*?\[]")
_COMPRESSED: Final = (".gz", ".zst")


class NoFilesError(ConfigurationError):
    """There are no files of that path."""


@contextmanager
def told_what_to_write(options: str) -> Iterator[None]:
    """Add to a `NoFilesError` which options make the task known without files."""
    try:
        yield
    except NoFilesError as error:
        raise NoFilesError(
            f"{error}. Without files, as a coordinator is, write {options}: `tierwise data FILE.toml` prints them "
            "where the files are"
        ) from error


def find_files(source: str, paths: str | tuple[str, ...]) -> list[Path]:
    """Find the files that an option names, in the order of their names.

    Parameters
    ----------
    source
        The data source's name, for messages.
    paths
        Each a path, or a pattern with ``*``, ``?``, ``[…]`` or, for any folders, ``**``; it may begin with ``~`` or
        with an environment variable: ``$HOME/meters/*.csv``.

    Raises
    ------
    NoFilesError
        If there are none.
    """
    patterns = (paths,) if isinstance(paths, str) else paths
    if not patterns or not all(patterns):
        raise NoFilesError(f"data source {source!r} needs the option path: a file, or a pattern such as data/*.csv")
    return sorted({file for pattern in patterns for file in _matching(source, pattern)})


def _matching(source: str, pattern: str) -> list[Path]:
    expanded = os.path.expandvars(os.path.expanduser(pattern))  # noqa: PTH111  (a pattern is no path)
    unset = re.search(r"\$\{?(\w+)", expanded)
    if unset is not None:
        raise NoFilesError(
            f"path of data source {source!r} is {pattern!r}, and there is no environment variable {unset.group(1)}: "
            "set it, or write the folder"
        )
    found = [Path(name) for name in glob.glob(expanded, recursive=True)]  # noqa: PTH207  (it may be absolute)
    files = [path for path in found if path.is_file()]
    if files:
        return files
    if found:
        raise NoFilesError(
            f"path of data source {source!r} is {pattern!r}, a folder: write which files of it, such as "
            f"{str(found[0] / '*')!r}"
        )
    path = Path(expanded)
    if _PATTERN.search(expanded):
        raise NoFilesError(f"path of data source {source!r} is {pattern!r}, and no file matches it{_seen(path)}")
    beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    raise NoFilesError(
        f"path of data source {source!r} is {pattern!r}, and there is no such file{nearest(path.name, beside)}"
    )


def _seen(pattern: Path) -> str:
    folder = pattern.parent
    if _PATTERN.search(str(folder)):
        return ""
    if not folder.is_dir():
        return f": there is no folder {str(folder)!r}"
    there = sorted(one.name for one in folder.iterdir())
    return (
        f": in {str(folder)!r} there is {', '.join(there[:5])}{' …' if there[5:] else ''}" if there else ": it is empty"
    )


def device_of(file: Path) -> str:
    """Return the name of the device whose file it is: the file's own without its ending."""
    return Path(file.stem).stem if file.suffix in _COMPRESSED else file.stem
