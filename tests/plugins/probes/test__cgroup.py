"""Limits of control groups, read from a tree of files like the kernel's."""

from math import inf
from pathlib import Path

import pytest

from tierwise.plugins.probes._cgroup import cpu_limit, memory_limit, memory_room


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    (tmp_path / "root" / "pod" / "box").mkdir(parents=True)
    path = tmp_path / "membership"
    path.write_text("3:cpuset:/elsewhere\n0::/pod/box\n")
    return path


def test_the_least_limit_on_the_way_to_the_root_counts(tmp_path: Path, membership: Path) -> None:
    root = tmp_path / "root"
    (root / "pod" / "cpu.max").write_text("150000 100000\n")
    (root / "pod" / "box" / "cpu.max").write_text("max 100000\n")
    (root / "pod" / "memory.max").write_text("max\n")
    (root / "pod" / "box" / "memory.max").write_text("268435456\n")
    assert cpu_limit(membership, root) == 1.5
    assert memory_limit(membership, root) == 268435456


def test_files_above_the_root_are_not_read(tmp_path: Path, membership: Path) -> None:
    (tmp_path / "memory.max").write_text("1\n")
    assert memory_limit(membership, tmp_path / "root") == inf


def test_a_container_with_a_namespace_of_its_own_finds_its_limit_at_the_root(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("0::/\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cpu_limit(membership, tmp_path) == 0.5


def test_no_control_groups_no_limit(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path / "missing", tmp_path) == inf
    assert memory_limit(tmp_path / "missing", tmp_path) == inf


def test_room_is_what_the_tightest_limit_leaves_and_cold_files_count_as_room(tmp_path: Path, membership: Path) -> None:
    root = tmp_path / "root"
    for group, limit, used in (("pod", "900", "850"), ("pod/box", "500", "300")):
        (root / group / "memory.max").write_text(f"{limit}\n")
        (root / group / "memory.current").write_text(f"{used}\n")
    (root / "pod" / "memory.stat").write_text("anon 700\ninactive_file 100\nactive_file 50\n")
    assert memory_room(membership, root) == 150
    (root / "pod" / "memory.current").write_text("2000\n")  # above its limit, for a moment
    assert memory_room(membership, root) == 0


def test_without_a_limit_there_is_any_room(tmp_path: Path, membership: Path) -> None:
    (tmp_path / "root" / "pod" / "memory.current").write_text("850\n")
    (tmp_path / "root" / "pod" / "memory.max").write_text("max\n")
    assert memory_room(membership, tmp_path / "root") == inf
    assert memory_room(tmp_path / "missing", tmp_path) == inf


# -- version 1


@pytest.fixture
def old(tmp_path: Path) -> tuple[Path, Path]:
    """Return membership and root of a process in groups of version 1, beside an empty tree of version 2."""
    membership, root = tmp_path / "membership", tmp_path / "root"
    membership.write_text("4:memory:/pod/box\n3:cpu,cpuacct:/pod\n2:cpuset:/pod\n0::/\n")
    for place in ("memory/pod/box", "cpu/pod", "cpuset/pod", "unified"):
        (root / place).mkdir(parents=True)
    return membership, root


def test_limits_of_version_1_count_as_well(old: tuple[Path, Path]) -> None:
    membership, root = old
    (root / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    (root / "cpu/cpu.cfs_period_us").write_text("100000\n")
    (root / "cpu/pod/cpu.cfs_quota_us").write_text("25000\n")
    (root / "cpu/pod/cpu.cfs_period_us").write_text("50000\n")
    (root / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    (root / "memory/pod/memory.limit_in_bytes").write_text("1000\n")
    (root / "memory/pod/memory.usage_in_bytes").write_text("700\n")
    (root / "memory/pod/memory.stat").write_text("inactive_file 10\ntotal_inactive_file 200\n")
    assert cpu_limit(membership, root) == 0.5
    assert memory_limit(membership, root) == 1000
    assert memory_room(membership, root) == 500


def test_a_container_that_does_not_see_its_path_finds_its_limit_at_the_controllers_root(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    membership = tmp_path / "membership"
    (tmp_path / "memory/memory.limit_in_bytes").write_text("5000\n")
    for path in ("/docker/4f1a", "/../../docker/4f1a"):
        membership.write_text(f"4:memory:{path}\n")
        assert memory_limit(membership, tmp_path) == 5000


@pytest.mark.parametrize("line", ["", "4", "4:memory", "::", "garbage"])
def test_what_is_no_membership_limits_nothing(tmp_path: Path, line: str) -> None:
    membership = tmp_path / "membership"
    membership.write_text(f"{line}\n")
    assert memory_limit(membership, tmp_path / "root") == inf


def test_without_files_there_is_no_limit(old: tuple[Path, Path]) -> None:
    membership, root = old
    assert cpu_limit(membership, root) == inf
    assert memory_limit(membership, root) == inf
