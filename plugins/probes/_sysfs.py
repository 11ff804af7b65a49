"""Reads the files below ``/sys``, one value each, any of which may be missing."""

from pathlib import Path
from typing import Final

SYS: Final = Path("/sys")


def read_text(path: Path) -> str | None:
    """Return a file's text without the line's end; None if it is not there, or its driver does not answer."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def read_number(path: Path) -> float | None:
    """Return a file's number; None if there is none."""
    text = read_text(path)
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
