"""The probe of the disk."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from tierwise.core.hardware import Unmeasured
from tierwise.plugins.probes import storage
from tierwise.plugins.probes.storage import StorageOptions, StorageProbe
from tierwise.plugins.testing import check_probe


def test_conformance() -> None:
    check_probe(StorageProbe(StorageOptions()))


def test_it_looks_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    disks = {Path(): 7, tmp_path: 5}
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda path: SimpleNamespace(free=disks[path]))
    assert anyio.run(StorageProbe(StorageOptions()).measure) == {"storage_bytes": 7.0}
    assert anyio.run(StorageProbe(StorageOptions(path=str(tmp_path))).measure) == {"storage_bytes": 5.0}


def test_a_real_disk_has_no_more_free_than_the_system_says(tmp_path: Path) -> None:
    found = anyio.run(StorageProbe(StorageOptions(path=str(tmp_path))).measure)
    assert 0 < found["storage_bytes"] <= shutil.disk_usage(tmp_path).total


def test_a_disk_that_is_not_there_is_named(tmp_path: Path) -> None:
    found = anyio.run(StorageProbe(StorageOptions(path=str(tmp_path / "gone"))).measure)
    reason = f"{tmp_path / 'gone'} cannot be asked: No such file or directory"
    assert found == {"storage_bytes": Unmeasured(reason)}
