"""What both programs need to speak to the other side: settings from what was given, files of secrets."""

from collections.abc import Mapping
from pathlib import Path

from tierwise.core.errors import ConfigurationError
from tierwise.runtime.transports.mqtt.settings import MqttSettings


def make_settings(given: Mapping[str, object]) -> MqttSettings:
    """Make settings of what is given; None stands for the default.

    Raises
    ------
    ConfigurationError
        If a value cannot be; its key is the setting's.
    """
    return MqttSettings(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]


def bare(error: ConfigurationError) -> str:
    """Return an error's text without its key, to be told under another name."""
    return str(error).removeprefix(f"{error.key}: ")


def read_password(path: Path) -> str:
    """Return the first line of a file.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text in UTF-8"
        raise ConfigurationError(f"the password file {path} cannot be read: {reason}") from error
    if not lines or not lines[0]:
        raise ConfigurationError(f"the first line of the password file {path} is empty")
    return lines[0]
