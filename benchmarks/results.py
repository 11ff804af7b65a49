"""What is kept of a run of a benchmark: its rows, and where, when and of what they were measured."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from report import Row

COMMITTED: Final = Path(__file__).parent / "results"
PACKAGES: Final = ("numpy", "polars", "scikit-learn", "msgspec", "anyio", "aiomqtt", "sqlalchemy", "cryptography")
"""Those on which a figure can hang."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One benchmark, run once. The names of the fields are the keys of its JSON file."""

    benchmark: str
    title: str
    date: str
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    seconds: float
    load_before: float
    load_after: float
    """How many processes wanted a processor in the minute before it, and in its last one."""
    rows: tuple[Row, ...]

    @classmethod
    def load(cls, path: Path) -> "Result":
        """Read a file.

        Raises
        ------
        ValueError
            If it is not one that `save` wrote.
        """
        try:
            found = json.loads(path.read_text("utf-8"))
            return cls(**{**found, "rows": tuple(Row(**row) for row in found["rows"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} has no results of `make bench`: {error}") from error

    def save(self, folder: Path) -> None:
        """Write it into a folder, over what the same benchmark left there before."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"
        (folder / f"{self.benchmark}.json").write_text(text, "utf-8")


def results(folder: Path) -> dict[str, Result]:
    """Read a folder; by the names of the benchmarks, in their order.

    Raises
    ------
    ValueError
        If a file in it has no results, or those of a benchmark of another name.
    """
    found = {path.stem: Result.load(path) for path in sorted(folder.glob("*.json"))}
    for name, one in found.items():
        if one.benchmark != name:
            raise ValueError(f"{folder / name}.json has the results of {one.benchmark!r}")
    return found


def machine() -> dict[str, str]:
    """Describe this machine, without its name."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
    }


def versions() -> dict[str, str]:
    """Return what is installed of the packages that decide the figures, and of Python."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}


def commit() -> str:
    """Return the commit that is measured; with a plus if files have changed since; or `unknown`."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # Results are what a run changes; the page and its pictures come from them.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/benchmarks/results", ":!/docs")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def today() -> str:
    """Return the date, as the results have it."""
    return datetime.now(UTC).date().isoformat()


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
