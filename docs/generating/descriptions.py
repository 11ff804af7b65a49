"""What classes say about themselves: their docstrings, in Markdown."""

import ast
import inspect
import re
import textwrap
from enum import Enum

from tierwise.plugins import docstrings


def summary(kind: type) -> str:
    """Return the prose of a class's docstring, without its sections, as one paragraph."""
    return _plain(docstrings.prose(kind))


def attributes(kind: type) -> dict[str, str]:
    """Return what a class's docstring says of each attribute."""
    return {name: _plain(text) for name, text in docstrings.attributes(kind).items()}


def members(kind: type[Enum]) -> dict[str, str]:
    """Return the values of an enumeration, and the text below each member, if there is one."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for statement, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            said = after.value if isinstance(after, ast.Expr) else None
            text = said.value if isinstance(said, ast.Constant) else ""
            texts[statement.targets[0].id] = _plain(str(text))
    return {str(member.value): texts.get(member.name, "") for member in kind}


def _plain(text: str) -> str:
    """Return a text of a docstring as one line of Markdown, with msgpack's word for Python's None."""
    return re.sub(r"\bNone\b", "nil", " ".join(text.split()).replace("``", "`"))
