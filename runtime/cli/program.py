"""The program: its commands, what it exits with, and how it tells an error.

What it exits with is in `EXITS`. An error is told on standard error, each line beginning with ``error:``;
``TIERWISE_TRACEBACK=1`` shows where it came from.
"""

import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from tierwise.core.errors import (
    ConfigurationError,
    PluginClashError,
    PluginLoadError,
    TierwiseError,
    UnknownPluginError,
)
from tierwise.runtime.cli.lazy import LazyCommand, LazyGroup

DONE: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
EXITS: Final = {
    DONE: "done",
    FAILED: "the run failed",
    MISUSED: "wrong usage or configuration",
    128 + signal.SIGINT: "interrupted by Ctrl-C",
    128 + signal.SIGTERM: "told to stop by SIGTERM",
}
"""What each exit code says; of any signal it is 128 and the signal's number."""
_MISUSES: Final = (ConfigurationError, UnknownPluginError, PluginLoadError, PluginClashError)
_TRACEBACK: Final = "TIERWISE_TRACEBACK"
VARIABLES: Final = {
    f"{_TRACEBACK}=1": "shows where an error came from",
    "TIERWISE_TRACE_PLUGINS=1": "prints each call of a plugin's hook",
    "TIERWISE_KERNELS=numpy": "uses the NumPy twins of the compiled kernels; `cython` demands the kernels",
}
"""The environment variables that the program and the library read, and what each does."""

COMMANDS: Final = {
    "demo": LazyCommand(
        "tierwise.runtime.demo.command:demo",
        "Watch a fleet of unequal devices being grouped and trained on real data, in about a minute on two cores.",
    ),
    "simulate": LazyCommand(
        "tierwise.runtime.cli.simulate:simulate",
        "Run a federation that a TOML file describes: simulated devices and time, real training.",
    ),
    "explain": LazyCommand(
        "tierwise.runtime.cli.explain:command",
        "Say why each device of a fleet is in its group, and with which model, with the numbers.",
    ),
    "coordinator": LazyCommand(
        "tierwise.runtime.cli.coordinator:coordinator",
        "Run a federation of real devices over an MQTT broker.",
    ),
    "agent": LazyCommand(
        "tierwise.runtime.cli.agent:agent",
        "Be a device of a federation: train on this machine's own data.",
    ),
    "status": LazyCommand(
        "tierwise.runtime.cli.status:status",
        "Show where a federation stands, from its store.",
    ),
    "evaluate": LazyCommand(
        "tierwise.runtime.cli.evaluate:evaluate",
        "Measure target models on data.",
    ),
    "broker": LazyCommand(
        "tierwise.runtime.cli.broker:broker",
        "Start a small MQTT broker in this process, for trying out.",
    ),
    "replay": LazyCommand(
        "tierwise.runtime.cli.replay:replay",
        "Show what happened in a federation, event by event, from its store.",
    ),
    "report": LazyCommand(
        "tierwise.runtime.cli.report:report",
        "Make report.html, a page with charts, of a result that is there already.",
    ),
    "data": LazyCommand(
        "tierwise.runtime.cli.data:data",
        "Show what a data source has, and the lines of a configuration that write its task down.",
    ),
    "probe": LazyCommand(
        "tierwise.runtime.cli.probe:probe",
        "Measure this machine as a device of a federation is measured.",
    ),
    "enrol": LazyCommand(
        "tierwise.runtime.cli.enrol:enrol",
        "Let a device take part: make its key, register it, write the bundle that it is given.",
    ),
    "revoke": LazyCommand(
        "tierwise.runtime.cli.revoke:revoke",
        "Shut a device out.",
    ),
    "acl": LazyCommand(
        "tierwise.runtime.cli.acl:acl",
        "Write a broker's access list: who may read and write which topics.",
    ),
    "plugins": LazyCommand(
        "tierwise.runtime.cli.plugins:plugins",
        "List the plugins that are installed, with their options.",
    ),
}


def _epilog() -> str:
    exits = ", ".join(f"{code} {said}" for code, said in EXITS.items())
    variables = "\n".join(f"  {name:<27}{said.replace('`', '')}" for name, said in VARIABLES.items())
    return f"Exit codes: {exits}.\n\n\b\nEnvironment variables:\n{variables}"


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import version  # takes longer than all the rest of the help

    click.echo(f"tierwise {version('tierwise')}")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_epilog(),
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def program() -> None:
    """Train models over fleets of unequal devices without moving their data.

    tierwise measures what each device's hardware can carry, groups the devices by it, gives every group a model of
    fitting size, and trains each group's model together.
    """


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a character is no reason to fail
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # the rest is taken as it comes
    code = run(sys.argv[1:])
    if code > 128:
        # What was interrupted may still compute in an abandoned thread, and an ordinary exit could wait for it.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command and return what to exit with."""
    try:
        code = program.main(list(arguments), prog_name="tierwise", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return MISUSED
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "tierwise"
        return _tell(f"{error.format_message()} (see `{command} --help`)", MISUSED)
    except click.ClickException as error:
        return _tell(error.format_message(), MISUSED)
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except TierwiseError as error:
        return _tell(str(error), MISUSED if isinstance(error, _MISUSES) else FAILED)
    except Exception as error:
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        return _tell(f"{text}; this should not happen, {_TRACEBACK}=1 shows where it did", FAILED)
    except BaseException as error:
        signum = getattr(error, "signum", None)  # an Interrupted, whose module nobody has to import for the help
        if signum is None:
            raise
        return 128 + int(signum)
    return code if isinstance(code, int) else DONE


def _tell(text: str, code: int) -> int:
    if os.environ.get(_TRACEBACK) == "1":
        import traceback

        traceback.print_exc()
    for line in text.splitlines() or [""]:
        click.echo(f"error: {line}", err=True)
    return code


def _show_warning(message: Warning | str, *_where: object) -> None:
    click.echo(f"warning: {message}", err=True)
