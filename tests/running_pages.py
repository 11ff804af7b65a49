"""Runs a page's blocks as one program: for the test that holds what the page shows against it, and to paste it anew::

.venv/bin/python -m tests.running_pages docs/tutorial/first-federation.md
"""

import ast
import contextlib
import functools
import io
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.runtime.broker import free_port
from tests.snippets import ROOT, Block, blocks
from tierwise.plugins import Plugins
from tierwise.runtime.config import load_config

PORT = "18830"
"""Of the brokers that pages start."""


def outputs(page: Path, folder: Path) -> Iterator[tuple[Block, str]]:
    """Run a page in ``folder``, the working directory; yield each text with what the block before it prints."""
    names: dict[str, object] = {"__name__": "page"}
    printed = ""
    try:
        for block in blocks(page):
            if block.language == "text" and printed:
                yield block, printed
            printed = _work(block, names)
    finally:
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


def _work(block: Block, names: dict[str, object]) -> str:
    """Do what a block is for, and return what it prints."""
    if block.language in ("python", "toml"):
        _write(block)
    if block.language == "toml":
        _configuration(block, names.get("plugins"))
    elif block.language == "python":
        return _python(block, names)
    elif block.run:
        return _shell(block)
    return ""


def _write(block: Block) -> None:
    if block.file and not Path(block.file).is_absolute():
        Path(block.file).parent.mkdir(parents=True, exist_ok=True)
        Path(block.file).write_text(_here(block.text))


def _configuration(block: Block, plugins: object) -> None:
    """Read it as a program would: with the plugins that the page has made, if it has."""
    if block.reason or Path(block.file).name == "pyproject.toml":
        tomllib.loads(block.text)
        return
    path = Path(Path(block.file or "page.toml").name)
    path.write_text(_here(block.text))
    load_config(path, plugins if isinstance(plugins, Plugins) else None)


def _python(block: Block, names: dict[str, object]) -> str:
    # The padding makes a traceback's line the page's.
    code = compile("\n" * block.line + block.text, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if not block.reason and not block.file:
            exec(code, names)
    return printed.getvalue()


def _shell(block: Block) -> str:
    """Run commands in the page's folder, which has the examples in it; return what they print."""
    if not Path("examples").exists():
        shutil.copytree(ROOT / "examples", "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", _here(block.text)],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path, "COLUMNS": "120"},
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, f"{block}: {done.stderr}"
    return done.stdout


def _here(text: str) -> str:
    """Return a text with a port that is free here, the same one for all of a page."""
    return text.replace(PORT, _port(Path.cwd()))


@functools.cache
def _port(_folder: Path) -> str:
    """Return a port for a page's broker: that of the page may be taken here."""
    return str(free_port())


def paste(page: Path) -> None:
    """Put into a page what its blocks print now; what a line ``…`` leaves out is left out."""
    text = page.read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        sys.path.insert(0, folder)
        found = list(outputs(page, Path(folder)))
    for block, printed in reversed(found):  # from the end, so that the places before stay
        lines = [line.rstrip() for line in printed.rstrip("\n").split("\n")]
        before, left_out, after = block.text.partition("\n…\n")
        if left_out:
            lines = [*lines[: before.count("\n") + 1], "…", *lines[len(lines) - after.count("\n") :]]
        start, end = block.span
        text = text[:start] + "\n".join(lines) + "\n" + text[end:]
    page.write_text(text, "utf-8")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        paste(ROOT / argument)
