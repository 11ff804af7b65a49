"""Reads the gardens' files in a way of one's own: what is measured, and ratios of it."""

import csv
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "gardens"


def read(ratios=False):
    """Return each garden's flowers: features, and the species."""
    return {file.stem: flowers(file, ratios) for file in sorted(FOLDER.glob("*.csv"))}


def flowers(file, ratios):
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    species = [row.pop("species") for row in rows]
    lengths = np.array([[float(cell) for cell in row.values()] for row in rows], np.float32)
    if ratios:
        lengths = np.column_stack((lengths, lengths[:, 0] / lengths[:, 1], lengths[:, 2] / lengths[:, 3]))
    return lengths, species
