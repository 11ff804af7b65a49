"""Refuses what is no store where a command wants one: it would be told as a damaged or a missing one."""

from pathlib import Path

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.runtime.output import RESULT


def check_store(path: Path, command: str) -> None:
    """Refuse what is not there, and the result of a federation.

    Parameters
    ----------
    path
        What a user took for a store.
    command
        The one that was to read it, for the message.

    Raises
    ------
    ConfigurationError
        Says what does go with such a path.
    """
    if path.suffix == ".json" or (path / RESULT).is_file():
        directory = path.parent if path.suffix == ".json" else path
        raise ConfigurationError(
            f"is a result, which has the event log already, under `events`; {command} reads the store of a federation, "
            f"the file that a configuration has as its store.path. `tierwise report {directory}` makes a page of a "
            f"result, `tierwise evaluate {directory} --data SPEC` measures its models",
            source=str(path),
        )
    if path.is_dir():
        raise ConfigurationError(
            f"is a directory; {command} reads the store of a federation, the file that a configuration has as its "
            "store.path",
            source=str(path),
        )
    if not path.exists():
        beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigurationError(f"there is no such file{nearest(path.name, beside)}", source=str(path))
