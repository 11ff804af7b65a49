"""Colours and shapes of groups and lines, for a light and a dark page, and for eyes that do not tell all colours apart.

Charts name colours as CSS variables, so one drawing serves both looks and paper.
"""

from collections.abc import Mapping
from typing import Final

LIGHT: Final[Mapping[str, str]] = {
    "paper": "#ffffff",
    "panel": "#f5f6f8",
    "ink": "#1b1f24",
    "faint": "#59626d",
    "rule": "#d5d9de",
    "bad": "#b3261e",
    "mark-0": "#1c8fd9",
    "mark-1": "#d96205",
    "mark-2": "#00875f",
    "mark-3": "#a6459a",
    "mark-4": "#665000",
    "mark-5": "#3f4650",
}
"""The marks are after Okabe and Ito, `Color Universal Design <https://jfly.uni-koeln.de/color/>`_, 2008, moved until
each stands out from its background, and from the others for people without one kind of cone; a test has the figures."""

DARK: Final[Mapping[str, str]] = {
    "paper": "#14171b",
    "panel": "#1d2126",
    "ink": "#e8eaed",
    "faint": "#a3acb8",
    "rule": "#3a414a",
    "bad": "#ff8a80",
    "mark-0": "#56b6ed",
    "mark-1": "#e8823c",
    "mark-2": "#22c494",
    "mark-3": "#cc74ab",
    "mark-4": "#e9db5d",
    "mark-5": "#c7cdd7",
}

COLOURS: Final = tuple(f"var(--{name})" for name in LIGHT if name.startswith("mark-"))
SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-right", "triangle-left")
"""Seven to six colours: 42 groups have a look of their own."""
DASHES: Final = ((1, 0), (7, 3), (2, 2), (7, 3, 2, 3), (12, 3))
PAPER: Final = "var(--paper)"
INK: Final = "var(--ink)"
FAINT: Final = "var(--faint)"
RULE: Final = "var(--rule)"
BAD: Final = "var(--bad)"


def colour(number: int) -> str:
    """Return the colour of group or line ``number``."""
    return COLOURS[number % len(COLOURS)]


def shape(number: int) -> str:
    """Return the shape of group ``number``."""
    return SHAPES[number % len(SHAPES)]


def dash(number: int) -> list[int]:
    """Return the dashes of line ``number``."""
    return list(DASHES[number % len(DASHES)])


def variables(look: Mapping[str, str]) -> str:
    """Return CSS that sets the variables."""
    return " ".join(f"--{name}: {value};" for name, value in look.items())
