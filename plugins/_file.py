"""Imports a file of the user's own, which is in no package, so that its plugins can be registered."""

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from tierwise.core.errors import ConfigurationError, PluginLoadError, nearest
from tierwise.plugins._source import Source


def import_file(path: Path) -> tuple[ModuleType, Source]:
    """Run a file as the module that it is named after; one that was imported already is not run again.

    Raises
    ------
    ConfigurationError
        If there is no such file, or its name cannot be a module's.
    PluginLoadError
        If it cannot be run.
    """
    path = path.absolute()
    _check(path)
    name = path.stem
    module = sys.modules.get(name)
    if module is None:
        module = _run(path, name)
    elif not _is_of(module, path):
        raise ConfigurationError(
            f"{path.name!r} would be the module {name!r}, and there is one: {_origin(module)}. Rename the file"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return module, Source(name, path.name, digest, str(path))


def _check(path: Path) -> None:
    if not path.is_file():
        near = nearest(path.name, [one.name for one in path.parent.glob("*.py")]) if path.parent.is_dir() else ""
        what = "that is a directory, not a file" if path.is_dir() else f"there is no such file{near}"
        raise ConfigurationError(f"{str(path)!r}: {what}")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise ConfigurationError(
            f"{path.name!r} cannot be imported: a file of plugins is named with letters, digits and _, and ends with "
            ".py"
        )


def _run(path: Path, name: str) -> ModuleType:
    there = importlib.util.find_spec(name)
    if there is not None and there.origin != str(path):
        raise ConfigurationError(
            f"{path.name!r} would be the module {name!r}, and one is installed: {there.origin}. Rename the file"
        )
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a descriptor's `target` is found there, and annotations are
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        raise PluginLoadError(
            f"plugin file {path}{_line(error, path)}: it cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return module


def _line(error: BaseException, path: Path) -> str:
    """Say where in the file an error came from, unless its own text does."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def _is_of(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path.resolve()


def _origin(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "it is part of Python"
