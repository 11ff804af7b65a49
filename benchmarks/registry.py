"""Which benchmarks there are, and how long each may take among all of them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
LIMIT_S: Final = 180.0
"""What a benchmark may take that is not named below; on cores that are its own, most take a fourth of it."""
LIMITS_S: Final = {
    "coordinator_memory": 240.0,
    "exchange": 240.0,
    "grouping": 240.0,
    "mqtt_fleet": 240.0,
    "robust": 240.0,
}
ARGUMENTS: Final = {
    "coordinator_memory": ("--devices", "4", "16"),
    "exchange": ("--seeds", "1", "--rounds", "8"),
    "mqtt_fleet": ("--rounds", "5"),
    "mqtt_round": ("--rounds", "100"),
    "robust": ("--seeds", "1"),
}
"""Where a script by itself measures more than there is time for: all of them are to take under a quarter of an hour."""
_IMPORTED: Final = re.compile(r"^from report import [^\n]*\barguments\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A script that measures something."""

    script: Path
    limit_s: float = LIMIT_S
    """How long it may take before it is ended and counts as failed."""
    arguments: tuple[str, ...] = ()
    """What it is called with."""

    @property
    def name(self) -> str:
        """That of the script, and of its results."""
        return self.script.stem


def benchmarks() -> list[Benchmark]:
    """Return all of them, by name: the scripts that have the options of `report.arguments`."""
    return [
        Benchmark(path, LIMITS_S.get(path.stem, LIMIT_S), ARGUMENTS.get(path.stem, ()))
        for path in sorted(FOLDER.glob("*.py"))
        if _IMPORTED.search(path.read_text("utf-8"))
    ]
