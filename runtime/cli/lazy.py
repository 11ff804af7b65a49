"""A group of commands that are imported when they are called, so that ``tierwise --help`` answers at once."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from tierwise.core.errors import nearest


class LazyCommand(NamedTuple):
    """Where a command is, as ``"package.module:attribute"``, and what the group's help says of it."""

    target: str
    summary: str


class LazyGroup(click.Group):
    """Knows its commands by `LazyCommand`.

    Parameters
    ----------
    lazy
        By name, in the order of the help.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        lazy = self._lazy.get(cmd_name)
        if lazy is None:
            return super().get_command(ctx, cmd_name)
        from pkgutil import resolve_name  # as `tierwise --help` needs no command, it waits for nothing of this kind

        command = resolve_name(lazy.target)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with; of an unknown one, say which is nearest."""
        name = args[0]
        if name in self._lazy or name.startswith("-"):
            return super().resolve_command(ctx, args)
        raise click.UsageError(
            f"there is no command {name!r}{nearest(name, self._lazy)}; the commands: {', '.join(self._lazy)}", ctx
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in self._lazy.items()])
