"""Reads what classes say of themselves: their docstrings, in NumPy's style."""

import inspect
import re
from typing import Final

_TITLE: Final = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
_ENTRY: Final = re.compile(r"\n(?=\S)")


def prose(subject: object) -> str:
    """Return a docstring without its sections; empty if it has none."""
    return _sections(subject)[""]


def sources(subject: object) -> str:
    """Return what a docstring says under ``Notes`` and ``References``, as prose."""
    found = _sections(subject)
    return "\n\n".join(found[title] for title in ("Notes", "References") if title in found)


def attributes(kind: type) -> dict[str, str]:
    """Return what the section ``Attributes`` of a class's docstring says, by name, each text on one line.

    Names that are described together (``boot, sequence``) have the same text.
    """
    found: dict[str, str] = {}
    for entry in _ENTRY.split(_sections(kind).get("Attributes", "")):
        names, _, text = entry.partition("\n")
        found |= {name.strip(): " ".join(text.split()) for name in names.partition(":")[0].split(",") if name.strip()}
    return found


def _sections(subject: object) -> dict[str, str]:
    """Return the sections by title, and what is before them by the empty one."""
    own = getattr(subject, "__doc__", None) or ""  # not `inspect.getdoc`, which takes a base class's for want of one
    parts = ["", *_TITLE.split(inspect.cleandoc(own))]
    return {title: text.strip("\n") for title, text in zip(parts[::2], parts[1::2], strict=True)}
