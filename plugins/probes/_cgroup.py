"""The limits that Linux control groups put on this process, as they do in a container.

https://docs.kernel.org/admin-guide/cgroup-v2.html and
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html: a limit holds for a group and all groups below it, so the
least of all on the way to the root counts. Version 1 has a tree of its own for each controller. Where there are no
control groups, nothing limits.
"""

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Final

MEMBERSHIP: Final = Path("/proc/self/cgroup")
ROOT: Final = Path("/sys/fs/cgroup")


def cpu_limit(membership: Path = MEMBERSHIP, root: Path = ROOT) -> float:
    """Return how many cores' worth of time this process may use; infinity for no limit."""
    limits = [inf]
    for version, group in _groups("cpu", membership, root):
        if version == 2:
            quota, _, period = _text(group / "cpu.max").partition(" ")
            limits.append(_number(quota) / (_number(period) if period else 100_000))
        else:
            limits.append(_number(_text(group / "cpu.cfs_quota_us")) / _number(_text(group / "cpu.cfs_period_us"), 1))
    return min(limits)


def memory_limit(membership: Path = MEMBERSHIP, root: Path = ROOT) -> float:
    """Return how many bytes of memory this process may use; infinity for no limit."""
    return min((limit for limit, _, _ in _memory(membership, root)), default=inf)


def memory_room(membership: Path = MEMBERSHIP, root: Path = ROOT) -> float:
    """Return how many bytes of memory are left below the limits; infinity for no limit.

    What a group's files take of the page cache, and were not used of late, is given back under pressure, so it counts
    as room.
    """
    rooms = (limit - max(used - reclaimable, 0) for limit, used, reclaimable in _memory(membership, root))
    return max(min(rooms, default=inf), 0)


def _memory(membership: Path, root: Path) -> Iterator[tuple[float, float, float]]:
    """Yield limit, use, and what of the use can be reclaimed, of each group on the way to the root, in bytes."""
    for version, group in _groups("memory", membership, root):
        names = ("memory.max", "memory.current", "inactive_file")
        if version == 1:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit = _number(_text(group / names[0]))
        yield limit, _number(_text(group / names[1]), 0), _counter(_text(group / "memory.stat"), names[2])


def _groups(controller: str, membership: Path, root: Path) -> Iterator[tuple[int, Path]]:
    """Yield this process's groups that a controller may be in, and each group above them, with their version."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        version, top = (1, root / controller) if controllers else (2, root)
        # A container may see its own group as the root, by a path that is not there below it.
        group = top if ".." in path else top / path.lstrip("/")
        for place in (group, *group.parents):
            yield version, place
            if place == top:
                break


def _text(path: Path) -> str:
    """Read a file; what is not there, or may not be seen, is empty."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(text: str, otherwise: float = inf) -> float:
    """Read a number; ``max`` is infinity, and so is -1 in version 1."""
    if text in ("max", "-1"):
        return inf
    try:
        return float(text)
    except ValueError:
        return otherwise


def _counter(text: str, name: str) -> float:
    """Read one of the lines ``name value``."""
    values = [value for key, _, value in (line.partition(" ") for line in text.splitlines()) if key == name]
    return _number(values[0], 0) if values else 0
