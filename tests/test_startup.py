"""What is imported for nothing: who asks for help, or imports the package, waits for no heavy library."""

import json
import subprocess
import sys

import pytest

HEAVY = {"altair", "pandas", "polars", "scipy", "sklearn", "torch", "vl_convert"}
"""Libraries that some policy, learner or page needs, and no import by itself."""
LIBRARIES = HEAVY | {"aiomqtt", "anyio", "asyncio", "cryptography", "msgspec", "numpy", "psutil", "rich", "sqlalchemy"}


def imported(code: str) -> set[str]:
    """Return the top names of what a fresh interpreter has after some code."""
    told = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout.splitlines()[-1]))


def of_help(*command: str) -> str:
    return f"from tierwise.runtime.cli.program import run\nassert run({[*command, '--help']!r}) == 0"


def test_this_test_would_see_them() -> None:
    assert "polars" in imported("import polars")


@pytest.mark.parametrize("code", ["import tierwise.runtime", "import tierwise.core", of_help()])
def test_the_package_and_the_help_import_no_library_of_ours(code: str) -> None:
    assert not imported(code) & LIBRARIES


@pytest.mark.parametrize(
    "code",
    [
        "from tierwise.runtime import *",
        "from tierwise.core import *",
        "import tierwise.plugins.builtin",
        *(of_help(command) for command in ("agent", "coordinator", "simulate", "explain", "demo", "report")),
    ],
)
def test_all_that_the_package_offers_imports_nothing_heavy(code: str) -> None:
    assert not imported(code) & HEAVY


def test_an_agent_is_not_asked_for_what_only_coordinators_have() -> None:
    assert not imported(of_help("agent")) & {"rich", "sqlalchemy"}
