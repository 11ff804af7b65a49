"""The probe of the memory."""

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
    assert found.keys() == {"memory_bytes", "memory_available_bytes"}
    assert 0 < found["memory_available_bytes"] <= found["memory_bytes"] <= psutil.virtual_memory().total


def test_a_container_has_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_limit", lambda: 1e6)
    assert anyio.run(MemoryProbe().measure) == {"memory_bytes": 1e6, "memory_available_bytes": 1e6}
