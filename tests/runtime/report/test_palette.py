"""The colours are seen on both backgrounds, and told apart by eyes that lack one kind of cone."""

from itertools import combinations

import numpy as np
import pytest

from tierwise.runtime.report.palette import DARK, LIGHT, colour, dash, shape

LOOKS = {"light": LIGHT, "dark": DARK}
VISIONS = {
    "usual": np.eye(3),
    # Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision Deficiency (2009),
    # https://www.inf.ufrgs.br/~oliveira/pubs_files/CVD_Simulation/CVD_Simulation.html, severity 1, on linear RGB.
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def linear(hexadecimal: str) -> np.ndarray:
    value = np.array([int(hexadecimal[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def luminance(hexadecimal: str) -> float:
    return float(linear(hexadecimal) @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_marks_and_text_stand_out_from_their_background(look) -> None:
    for ground in (look["paper"], look["panel"]):
        for name, value in look.items():
            if name.startswith("mark-") or name == "bad":
                assert contrast(value, ground) >= 3, f"{name} on {ground}"  # WCAG 2.2, 1.4.11
        for name in ("ink", "faint"):
            assert contrast(look[name], ground) >= 4.5, f"{name} on {ground}"  # 1.4.3


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_no_two_groups_look_the_same(look, vision) -> None:
    marks = {name: lab(VISIONS[vision] @ linear(value)) for name, value in look.items() if name.startswith("mark-")}
    for (one, here), (other, there) in combinations(marks.items(), 2):
        assert np.linalg.norm(here - there) > 18, f"{one} and {other}"


def test_many_groups_differ_at_least_in_shape_or_dashes() -> None:
    assert len({(colour(number), shape(number)) for number in range(42)}) == 42
    assert len({(colour(number), tuple(dash(number))) for number in range(30)}) == 30
