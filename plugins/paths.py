"""Options that are paths: in a TOML file, a relative one starts at the file's folder.

An options type says which of its options are: ``path: Annotated[str, msgspec.Meta(extra=FROM_THE_FOLDER)]``. Whoever
reads the file joins the folder before the plugin is made, so a plugin only ever sees a path that it can open.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect
from msgspec.structs import fields

FROM_THE_FOLDER: Final[dict[str, Any]] = {"starts": "at the folder of the configuration"}
"""Marks an option that is a path, a pattern of paths, or ``file.py:name``; or a list of those."""
CODE_FROM_THE_FOLDER: Final[dict[str, Any]] = {"starts": "at the folder of the configuration, if it is a file"}
"""Marks an option that is ``file.py:name`` or ``package.module:name``: only the first is a path."""


def from_folder(values: Mapping[str, object], kind: type[msgspec.Struct], folder: Path) -> dict[str, object]:
    """Return options with the folder joined to those that are paths.

    Parameters
    ----------
    values
        By option name; what is not of the right type stays as it is.
    kind
        The options type.
    folder
        Of the file that the values stand in.
    """
    marks = {field.encode_name: _mark(inspect.type_info(field.type)) for field in fields(kind)}
    return {name: _joined(value, marks.get(name, {}), folder) for name, value in values.items()}


def code_in(values: Mapping[str, object], kind: type[msgspec.Struct]) -> list[str]:
    """Return the names of the options that are set to code."""
    return [
        field.encode_name
        for field in fields(kind)
        if values.get(field.encode_name) and _mark(inspect.type_info(field.type)) == CODE_FROM_THE_FOLDER
    ]


def _mark(kind: inspect.Type) -> dict[str, Any]:
    return kind.extra or {} if isinstance(kind, inspect.Metadata) else {}


def _joined(value: Any, mark: dict[str, Any], folder: Path) -> Any:
    if mark not in (FROM_THE_FOLDER, CODE_FROM_THE_FOLDER):
        return value
    if isinstance(value, list | tuple):
        return [_joined(one, mark, folder) for one in value]
    if not isinstance(value, str) or not value or value.startswith(("~", "$")):
        return value  # what begins with a variable or a home is not relative
    if mark == CODE_FROM_THE_FOLDER and not value.partition(":")[0].endswith(".py"):
        return value
    return os.path.join(folder, value) if folder != Path() else value  # noqa: PTH118  (a pattern is no path)
