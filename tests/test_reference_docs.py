"""The reference is what the code says: no page is out of date, and nothing is missing from one."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tierwise.plugins import Kind, Plugins, builtin
from tierwise.plugins.describing import listed_options
from tierwise.runtime.cli.program import COMMANDS, program
from tierwise.runtime.cli.program import run as cli
from tierwise.runtime.config import known_keys

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs/reference"
BUILT_IN = Plugins(builtin)


def page(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


def section(text: str, title: str) -> str:
    """Return what is below a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^#{{1,2}} |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"there is no section {title!r}"
    return found[2]


def test_what_is_generated_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/generating", "--check"], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_built_in_plugin_and_option_is_explained() -> None:
    text = page("plugins.md")
    for kind in Kind:
        for one in BUILT_IN.descriptors(kind):
            assert f"### `{one.name}`" in text
            for option in listed_options(one):
                assert option.meaning, f"option {option.name!r} of {kind} {one.name!r} is not in its docstring"
                assert f"| `{option.name}` | {option.allowed}" in text


def test_every_command_and_option_is_there() -> None:
    text = page("command-line.md")
    for name in COMMANDS:
        command = program.get_command(click.Context(program), name)
        assert command is not None
        told = section(text, f"tierwise {name}")
        for option in command.params:
            for spelling in option.opts if isinstance(option, click.Option) else ():
                assert f"| `{spelling}`" in told


def test_every_table_and_key_is_there() -> None:
    text = page("configuration.md")
    for table, keys in known_keys().items():
        told = section(text, f"`[{table}]`")
        for key in keys:
            assert f"`{key}`" in told or f"`[{table}.{key}]`" in told


def test_every_field_of_a_result_is_there(tmp_path: Path) -> None:
    """Of one that was written: what is in the file, the page tells."""
    text = page("result.md")
    told = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    config = tmp_path / "run.toml"
    config.write_text("[fleet]\ndevices = 6\n[grouping]\ngroups = 2\n[stop]\nrounds = 2\n")
    assert cli(["simulate", str(config), "--out", str(tmp_path / "out")]) == 0
    documents = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")]
    assert len(documents) == 3
    found = {name for document in documents for name in fields_in(document)}
    assert {"classes", "worst_tenth", "hidden", "sha256", "kernels", "closed_at"} <= found
    assert found - told == {"events"}
    assert "under `events` the event log" in text


BY_NAME = {"metrics", "test", "unplaced"}
"""Objects whose keys are names of a run's, below which fields come again."""
ELSEWHERE = {"configuration", "events", "layout", "task", "hardware", "options", "figures"}
"""What other pages tell, or classes that the page names."""


def fields_in(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from fields_in(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield name
            if name not in ELSEWHERE:
                yield from fields_in(list(one.values()) if name in BY_NAME else one)


def test_every_environment_variable_is_there() -> None:
    text = page("command-line.md")
    read = set()
    for folder in ("core", "plugins", "runtime", "ext"):
        for file in (ROOT / folder).rglob("*.py"):
            read |= set(re.findall(r"\bTIERWISE_[A-Z_]+[A-Z]\b", file.read_text("utf-8")))
    read |= set(re.findall(r"\bTIERWISE_[A-Z_]+[A-Z]\b", (ROOT / "setup.py").read_text("utf-8")))
    assert len(read) >= 5
    assert sorted(name for name in read if f"`{name}" not in text) == []
