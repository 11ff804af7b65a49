"""The code blocks of the pages: what there is, and what each one is for.

A block is run or checked by its language. A line ``<!-- fragment: REASON -->`` before one says that it cannot stand
alone, and why; it is only parsed then. Of a shell's block ``<!-- run -->`` says that it is run, and not only looked
through; a block of text that follows it is then what it prints.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
_MARK = r"^ *<!-- (?:fragment: (?P<reason>.+?)|(?P<run>run)) -->\n+"
_BLOCK = re.compile(
    rf"(?:{_MARK})?^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
_BEGINNING = r"(?:^|[;&|(]|\b(?:do|then|else|if|time|exec)\b)\s*"
"""Of a command in a line of a shell's."""


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int
    language: str
    text: str
    reason: str
    """Why it cannot stand alone; empty if it can."""
    run: bool
    """Whether it is a shell's block that is run."""
    span: tuple[int, int]
    """Where its text is in the page."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str:
        """The path in its first line, a comment, of a block that is a file: ``# my_pack/clipped.py``."""
        found = re.match(r"# ([\w./@-]+\.\w+)\n", self.text)
        return found[1] if found else ""


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return a page's blocks in order, of some languages or of all."""
    text = page.read_text("utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        body = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start("language")) + 1
        found.append(
            Block(
                page, line, match["language"], body, match["reason"] or "", match["run"] is not None, match.span("text")
            )
        )
    return [block for block in found if not languages or block.language in languages]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks, each of whose lines is left empty."""
    return _BLOCK.sub(lambda match: "\n" * match[0].count("\n"), page.read_text("utf-8"))


def commands(page: Path) -> Iterator[tuple[int, str]]:
    """Yield every command of tierwise that a page shows, in blocks and in its prose, with its line."""
    for block in blocks(page, "sh", "console"):
        for number, line in enumerate(_joined(block)):
            for command in re.findall(rf"{_BEGINNING}(?:[\w./-]*/)?(tierwise\s[^;&|)>]*)", line):
                yield block.line + number, command
    text = prose(page)
    for match in re.finditer(r"`(tierwise [^`]+)`|^    (?:\S*/)?(tierwise .+)$", text, re.MULTILINE):
        yield text.count("\n", 0, match.start()) + 1, re.split(r"[;&|>#]", match[1] or match[2])[0]


def _joined(block: Block) -> list[str]:
    """Return a shell block's commands, a line each: what a backslash continued is on the first one's line."""
    lines = block.text.replace("\\\n", "\0").split("\n")
    found = []
    for line in lines:
        shown = re.match(r"[$#] (.*)", line) if block.language == "console" else re.match(r"([^#]*)", line)
        found += [shown[1].replace("\0", " ") if shown else ""] + [""] * line.count("\0")
    return found
