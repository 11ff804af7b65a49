"""The commands, from what they say of themselves with ``--help``."""

import inspect
import re
from collections.abc import Iterator

import click
from markdown import cell, table, value

from tierwise.runtime.cli.program import COMMANDS, EXITS, VARIABLES, program


def blocks() -> dict[str, str]:
    """Return the generated blocks of the page."""
    return {
        "overview": table(
            ("command", "what it does"),
            [(f"[`tierwise {name}`](#tierwise-{name})", cell(lazy.summary)) for name, lazy in COMMANDS.items()],
        ),
        "exits": table(("exit code", "what it says"), [(f"{code}", cell(said)) for code, said in EXITS.items()]),
        "variables": table(
            ("environment variable", "effect"), [(f"`{name}`", cell(said)) for name, said in VARIABLES.items()]
        ),
        "commands": "\n\n".join(part for name in COMMANDS for part in _command(name)),
    }


def _command(name: str) -> Iterator[str]:
    group = click.Context(program, info_name="tierwise")
    command = program.get_command(group, name)
    assert command is not None
    ctx = click.Context(command, info_name=name, parent=group)
    yield f"## tierwise {name}"
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    yield f"```text\n{usage}\n```"
    yield _prose(command.help or "")
    rows = [_option(one, ctx) for one in command.params if isinstance(one, click.Option) and not one.hidden]
    if rows:
        yield table(("option", "default", "what it is"), rows)
    if command.epilog:
        yield _examples(command.epilog)


def _option(option: click.Option, ctx: click.Context) -> tuple[str, str, str]:
    shown = ", ".join(f"`{one}`" for one in (*option.opts, *option.secondary_opts))
    if not option.is_flag:
        shown += f" {option.make_metavar(ctx)}"
    variables = f" Environment variable: `{option.envvar}`." if option.envvar else ""
    return shown, _default(option, ctx), cell(option.help or "") + variables


def _default(option: click.Option, ctx: click.Context) -> str:
    if option.required:
        return "needed"
    default = option.get_default(ctx)  # of some versions of click, without one: None, or a mark of its own
    return value(default) if isinstance(default, str | int | float) and not option.is_flag else ""


def _prose(said: str) -> str:
    """Return a help text; a paragraph that click is told not to wrap is set as it is."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(said).strip("\n")):
        if paragraph.startswith("\b"):
            parts.append("```text\n" + paragraph.removeprefix("\b").strip("\n") + "\n```")
        else:
            parts.append(paragraph)
    return "\n\n".join(parts)


def _examples(epilog: str) -> str:
    before, found, commands = epilog.partition("Examples:\n")
    if not found:
        return _prose(epilog)
    lines = "\n".join(line.removeprefix("  ") for line in commands.splitlines())
    told = _prose(before.strip("\b\n"))
    return "\n\n".join(part for part in (told, f"```sh\n{lines}\n```") if part)
