"""Markdown from what code has: tables, and the text of docstrings."""

import re
from collections.abc import Iterable

import msgspec


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table, of cells that are Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "&#124;") for cell in line) + " |" for line in lines)


def text(docstring: str) -> str:
    """Return the prose of a docstring: its literals, its blocks of code, and its words for what Python calls None."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", docstring.strip("\n")):
        if paragraph.startswith("    "):
            paragraphs.append("```\n" + re.sub(r"^    ", "", paragraph, flags=re.MULTILINE) + "\n```")
        else:
            paragraphs.append(_plain(paragraph))
    return "\n\n".join(part for part in paragraphs if part)


def cell(docstring: str) -> str:
    """Return a text of a docstring for a table."""
    return " ".join(_plain(docstring).split())


def value(plain: object) -> str:
    """Return a default as it would stand in a configuration file."""
    return "none" if plain is None else f"`{msgspec.json.encode(plain).decode()}`"


def _plain(words: str) -> str:
    words = re.sub(r"``(.+?)``", r"`\1`", words)
    return re.sub(r"\bNone\b", "none", re.sub(r"::$", ":", words)).removesuffix("::")
