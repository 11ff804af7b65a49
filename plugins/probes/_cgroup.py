"""The limits that Linux control groups (version 2) put on this process, as they do in a container.

https://docs.kernel.org/admin-guide/cgroup-v2.html: a limit holds for a group and all groups below it, so the least
of all on the way to the root counts. Where there are no control groups, nothing limits.
"""

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Final

MEMBERSHIP: Final = Path("/proc/self/cgroup")
ROOT: Final = Path("/sys/fs/cgroup")


def cpu_limit(membership: Path = MEMBERSHIP, root: Path = ROOT) -> float:
    """Return how many cores' worth of time this process may use; infinity for no limit."""
    return min((_cores(text) for text in _read("cpu.max", membership, root)), default=inf)


def memory_limit(membership: Path = MEMBERSHIP, root: Path = ROOT) -> float:
    """Return how many bytes of memory this process may use; infinity for no limit."""
    return min((_number(text) for text in _read("memory.max", membership, root)), default=inf)


def _read(name: str, membership: Path, root: Path) -> Iterator[str]:
    """Yield a file's text in this process's group and in each group above it, where it is there."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if not line.startswith("0::"):  # the others belong to version 1
            continue
        group = root / line.removeprefix("0::").lstrip("/")
        for place in (group, *group.parents):
            if place != root and root not in place.parents:
                break
            try:
                yield (place / name).read_text()
            except OSError:  # the root group has no limits, and a container may not see those above its own
                continue


def _cores(text: str) -> float:
    """Read ``"<quota> <period>"`` in microseconds."""
    quota, _, period = text.strip().partition(" ")
    return _number(quota) / _number(period or "100000")


def _number(text: str) -> float:
    text = text.strip()
    return inf if text == "max" else float(text)
