"""Shared by all tests: what a skip means, and the command line in their own process."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tierwise.runtime.cli.program import run

# A busy machine makes any example slow; what takes too long is seen in the suite's time.
settings.register_profile("short", deadline=None, max_examples=30)
settings.register_profile("long", deadline=None)
# xdist tells its processes how wide the terminal is, and the programs that tests start would heed it.
os.environ.pop("COLUMNS", None)
# Where compiled modules are not kept, each of the programs that tests start would compile tierwise anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
TESTS = Path(__file__).parent
NO_SKIPS = os.environ.get("TIERWISE_NO_SKIPS") == "1"


LONG_FIRST = (
    "runtime/programs/",
    "test_production.py",
    "test_snippets.py",
    "test_service.py",
    "test_policy_pack.py",
    "runtime/faults/",
)
"""Files of which one takes half a minute and more."""


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the program as `tierwise` of `runtime.programs.processes` does, but in this process: another starts slowly.

    It is enough where a command says something and ends, and what starts it is not what is tested.
    """

    def tierwise(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err, err
        return code, out, err

    return tierwise


def pytest_configure(config: pytest.Config) -> None:
    """Try fewer examples of a property where long tests are left out."""
    settings.load_profile("short" if config.option.markexpr == "not slow" else "long")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have long files run first, where several processes share the files."""

    def rank(item: pytest.Item) -> int:
        place = item.path.relative_to(TESTS).as_posix()
        return next((number for number, long in enumerate(LONG_FIRST) if place.startswith(long)), len(LONG_FIRST))

    items.sort(key=rank)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where nothing may be skipped, a skip is a failure."""
    if _counts(session.config) and NO_SKIPS and exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say last which tests were skipped, and how to have them run."""
    skipped = _skipped(config)
    if skipped:
        verdict = "nothing may be skipped here (TIERWISE_NO_SKIPS=1)" if NO_SKIPS else "all else ran"
        terminalreporter.write_line(f"{len(skipped)} skipped: {'; '.join(sorted(set(skipped)))}. {verdict}")


def _counts(config: pytest.Config) -> bool:
    """Tell whether this process reports, and is not one of those that run tests for it."""
    return not hasattr(config, "workerinput")


def _skipped(config: pytest.Config) -> list[str]:
    """Return the reason of each skipped test, which says how to get what it lacks."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    assert reporter is not None
    reasons = []
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.append(reason.removeprefix("Skipped: "))
    return reasons
