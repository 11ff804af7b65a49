"""Limits of control groups, read from a tree of files like the kernel's."""

from math import inf
from pathlib import Path

import pytest

from tierwise.plugins.probes._cgroup import cpu_limit, memory_limit


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


def test_version_1_alone_is_no_limit(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("1:cpu:/\n")
    assert cpu_limit(membership, tmp_path) == inf
