"""Lets tests import what the benchmarks share, as the scripts do: by the names of the files in their folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
