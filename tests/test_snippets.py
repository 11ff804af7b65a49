"""Every block of code on every page is run, or parsed and checked; what is only a fragment says why."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from tests import snippets
from tests.running_pages import outputs
from tests.snippets import Block, blocks
from tierwise.runtime.cli.program import COMMANDS, program

LANGUAGES = {"python", "toml", "sh", "console", "text", "json", "conf", "ini", "http"}
"""What a block may be; ``text`` is what a program printed, and is run by nobody."""
NO_COMMANDS = {"tierwise seal 1"}
"""What looks like a command in a page's prose, and is a constant of the protocol."""
LONG = (
    "first-federation.md",
    "use-a-target-model.md",
    "let-groups-learn-from-each-other.md",
    "choose-an-aggregator.md",
)
"""Pages whose programs take more than some seconds."""
PAGES = [pytest.param(page, id=page.relative_to(snippets.ROOT).as_posix()) for page in snippets.PAGES]


def test_the_blocks_are_found() -> None:
    found = [block for page in snippets.PAGES for block in blocks(page)]
    assert len(found) > 40
    for page in snippets.PAGES:
        text = page.read_text("utf-8")
        assert 2 * len(blocks(page)) == sum(line.lstrip().startswith("```") for line in text.splitlines()), page
    for block in found:
        assert block.language in LANGUAGES, f"{block} is in {block.language!r}"
    marks = [block for block in found if block.reason or block.run]
    comments = sum(len(re.findall("<!-- (?:fragment: |run)", page.read_text("utf-8"))) for page in snippets.PAGES)
    assert len(marks) == comments


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(*param.values, id=param.id, marks=pytest.mark.slow if str(param.id).endswith(LONG) else ())
        for param in PAGES
        if blocks(param.values[0], "python", "toml")
    ],
)
def test_a_page_works_from_its_first_block_to_its_last(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks are one program: files that it names are written, the rest is run in order in one namespace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for block, printed in outputs(page, tmp_path):
        _compare(block, printed)


def _compare(block: Block, printed: str) -> None:
    """Hold what a page shows against what was printed; a line ``…`` stands for any number of lines."""
    before, left_out, after = block.text.partition("\n…\n")
    first, last, found = _shape(before), _shape(after), _shape(printed)
    if not left_out:
        assert found == first, block
        return
    assert found[: len(first)] == first, block
    assert found[len(found) - len(last) :] == last, block


def _shape(text: str) -> list[str]:
    """Return a text's lines without what another processor computes otherwise: their digits, and columns' widths."""
    lines = [" ".join(re.sub(r"[\d.,]*\d", "#", line).replace("─", "").split()) for line in text.splitlines()]
    return [re.sub(r"# (?:ms|µs|s|min|h)\b(?: # (?:s|min)\b)?", "# s", line) for line in lines if line]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_its_options_exist(page: Path) -> None:
    for line, command in snippets.commands(page):
        if command in NO_COMMANDS:
            continue
        _, name, *arguments = [*shlex.split(command), ""]
        if not name.strip("[]").islower():
            continue  # a placeholder, as in `tierwise COMMAND --help`
        where = f"{page.relative_to(snippets.ROOT)}:{line}: {command}"
        if name.startswith("-"):
            assert name in ("--help", "--version"), where
            continue
        assert name in COMMANDS, where
        group = click.Context(program, info_name="tierwise")
        found = program.get_command(group, name)
        assert found is not None
        context = click.Context(found, info_name=name, parent=group, **found.context_settings)
        try:
            found.make_parser(context).parse_args([one for one in arguments if one and one != "--help"])
        except click.UsageError as error:
            pytest.fail(f"{where}: {error.format_message()}")


@pytest.mark.parametrize("page", [param for param in PAGES if blocks(param.values[0], "sh", "json")])
def test_shell_and_json_can_be_parsed(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block.text)
    for block in blocks(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"{block}: {done.stderr}"
