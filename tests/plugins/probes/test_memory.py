"""The probe of the memory."""

from math import inf
from types import SimpleNamespace

import anyio
import psutil
import pytest

from tierwise.plugins.probes import memory
from tierwise.plugins.probes.memory import MemoryProbe
from tierwise.plugins.testing import check_probe


def test_conformance() -> None:
    check_probe(MemoryProbe())


def test_quantities_of_this_machine() -> None:
    found = anyio.run(MemoryProbe().measure)
    assert found.keys() == {"memory_bytes", "memory_available_bytes", "memory_usable_bytes"}
    usable, available, total = (found[f"memory_{name}bytes"] for name in ("usable_", "available_", ""))
    assert 0 < usable <= available <= total <= psutil.virtual_memory().total


def test_a_container_has_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_limit", lambda: 1e6)
    monkeypatch.setattr(memory, "memory_room", lambda: 3e5)
    assert anyio.run(MemoryProbe().measure) == {
        "memory_bytes": 1e6,
        "memory_available_bytes": 1e6,
        "memory_usable_bytes": 3e5,
    }


def test_a_machine_without_control_groups_can_use_what_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_limit", lambda: inf)
    monkeypatch.setattr(memory, "memory_room", lambda: inf)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=500, available=200))
    assert anyio.run(MemoryProbe().measure) == {
        "memory_bytes": 500.0,
        "memory_available_bytes": 200.0,
        "memory_usable_bytes": 200.0,
    }
