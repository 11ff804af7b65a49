"""Reads the tables of a TOML file, and collects all that is wrong with them instead of stopping at the first fault."""

import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from tierwise.core.errors import ConfigurationError, UnknownPluginError, nearest
from tierwise.plugins.options import read_options
from tierwise.runtime.policies import Choice

Table = TypeVar("Table", bound=msgspec.Struct)

_DATABASE: Final = b"SQLite format 3\0"
"""How a store begins: https://www.sqlite.org/fileformat.html, section 1.3.1."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    ConfigurationError
        If it cannot be read or is not TOML; says where.
    """
    source = str(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no such file{_neighbour(path)}", source=source) from error
    except IsADirectoryError as error:
        raise ConfigurationError("is a directory, not a TOML file", source=source) from error
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", source=source) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(_no_toml(path, error), source=source) from error


def _no_toml(path: Path, error: UnicodeDecodeError | tomllib.TOMLDecodeError) -> str:
    with path.open("rb") as file:
        if file.read(len(_DATABASE)) == _DATABASE:
            return (
                f"is a store of a federation, not a TOML file: `tierwise status {path}` shows where the federation "
                f"stands, `tierwise replay {path}` what happened in it"
            )
    if isinstance(error, UnicodeDecodeError):
        return f"is not a text in UTF-8 (byte {error.start})"
    return f"is not TOML: {error}"


def located(error: ConfigurationError, source: str, key: str = "") -> ConfigurationError:
    """Return an error with the file that is at fault, and the key if the error names none."""
    if error.source or not (source or key):
        return error
    if error.key:
        told = ConfigurationError(str(error), source=source)  # its text begins with the key
        told.key = error.key
        return told
    return ConfigurationError(str(error), key=key, source=source)


class Tables:
    """The tables of one file.

    Every method takes what it can, notes what is wrong, and goes on with a default; `check` raises what was noted.

    Parameters
    ----------
    mapping
        By name.
    keys
        The tables that there can be, and of each the keys that do not depend on a plugin.
    source
        The file, for messages.
    """

    def __init__(self, mapping: Mapping[str, object], keys: Mapping[str, tuple[str, ...]], source: str) -> None:
        self._mapping = mapping
        self._keys = keys
        self._source = source
        self._faults: list[ConfigurationError] = []
        for name, value in mapping.items():
            if name not in keys:
                self._refuse(name, value)

    def fault(self, message: str, key: str) -> None:
        """Note a fault."""
        self._faults.append(ConfigurationError(message, key=key, source=self._source))

    def check(self) -> None:
        """Raise all that was noted as one error: the first one's key, and a line for each."""
        if not self._faults:
            return
        first = self._faults[0]
        if len(self._faults) == 1:
            raise first
        error = ConfigurationError("\n".join(str(fault) for fault in self._faults))
        error.key, error.source = first.key, first.source
        raise error

    def _refuse(self, name: str, value: object) -> None:
        if isinstance(value, Mapping):
            known = ", ".join(self._keys)
            self.fault(f"there is no table of this name{nearest(name, self._keys)}; the tables: {known}", name)
            return
        home = next((table for table, keys in self._keys.items() if name in keys), None)
        remedy = f"it belongs under [{home}]" if home else f"there is no key of this name{nearest(name, self._keys)}"
        self.fault(f"is {value!r} and stands outside of any table, where nothing is read: {remedy}", name)

    def values(self, table: str) -> dict[str, Any]:
        """Return a table's keys and values, but those that no key can have."""
        given = self._mapping.get(table, {})
        if isinstance(given, list):
            self.fault(f"is a list of tables: write [{table}], with single brackets, once", table)
            return {}
        if not isinstance(given, Mapping):
            self.fault(f"is {given!r}, it must be a table: write [{table}] and its keys on the lines below", table)
            return {}
        kept = {}
        for name, value in given.items():
            if _is_finite(value):
                kept[name] = value
            else:  # TOML has them, JSON has not, and nothing that a key sets can be without end
                self.fault(f"{name} is {value!r}, only finite numbers are allowed", f"{table}.{name}")
        return kept

    def table(self, table: str, kind: type[Table]) -> Table:
        """Read a table whose keys are the fields of a type, each with a default."""
        kept = {}
        for name, value in self.values(table).items():  # one by one, so that each fault is found
            try:
                read_options({name: value}, kind, subject=f"[{table}]", where=table)
            except ConfigurationError as error:
                self._faults.append(located(error, self._source))
            else:
                kept[name] = value
        return msgspec.convert(kept, kind)

    def choice(self, table: str, key: str, make: Callable[..., object], default: Choice) -> Choice:
        """Read a table that names a plugin and holds its options.

        Parameters
        ----------
        table
            Its name.
        key
            The key that names the plugin; all others are options.
        make
            Makes the plugin, and so checks the options: a method of `tierwise.plugins.Plugins`.
        default
            Its name goes for a table that names none.
        """
        options = self.values(table)
        name = self.name(table, key, options, default.name)
        if name is None:
            return default
        self.attempt(table, key, lambda: make(name, options, where=table))
        return Choice(name=name, options=options)

    def name(self, table: str, key: str, values: dict[str, Any], default: str) -> str | None:
        """Take a plugin's name out of its table's values; None if it is no text."""
        name = values.pop(key, default)
        if isinstance(name, str):
            return name
        self.fault(
            f"{key} is {name!r}, allowed is a text: the name of one that `tierwise plugins` lists", f"{table}.{key}"
        )
        return None

    def attempt(self, table: str, key: str, make: Callable[[], object]) -> None:
        """Make a plugin; an unknown name is the fault of ``key``."""
        try:
            make()
        except UnknownPluginError as error:
            self.fault(str(error), f"{table}.{key}")
        except ConfigurationError as error:
            self._faults.append(located(error, self._source, table))


def _is_finite(value: object) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_is_finite, value))
        case dict():
            return all(map(_is_finite, value.values()))
        case _:
            return True


def _neighbour(path: Path) -> str:
    """Suggest a file beside the missing one."""
    try:
        return nearest(path.name, [one.name for one in path.parent.iterdir()])
    except OSError:
        return ""
