"""``--plugins FILE``: plugins of the user's own, for the commands that read no configuration."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from tierwise.core.errors import ConfigurationError
from tierwise.plugins.manager import Plugins

OPTION: Final = "--plugins"


def plugin_files(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option, as its argument ``plugin_files``."""
    return click.option(
        OPTION,
        "plugin_files",
        type=click.Path(path_type=Path),
        multiple=True,
        metavar="FILE",
        help="A Python file with plugins of your own, which is run. Repeatable.",
    )(command)


def find_plugins(files: Sequence[Path]) -> Plugins:
    """Return all that is installed, and what the files bring.

    Raises
    ------
    ConfigurationError, PluginLoadError, PluginClashError
        As `Plugins.register_file`.
    """
    plugins = Plugins.discover()
    for file in files:
        try:
            plugins.register_file(file)
        except ConfigurationError as error:
            raise ConfigurationError(str(error), key=OPTION) from error
    return plugins
