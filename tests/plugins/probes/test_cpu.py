"""The probe of the processor."""

import itertools
import os

import anyio
import psutil
import pytest

from tierwise.plugins.probes import cpu
from tierwise.plugins.probes.cpu import CpuOptions, CpuProbe, measure_flops, usable_cores
from tierwise.plugins.testing import check_probe

QUICK = CpuProbe(CpuOptions(seconds=0.02))


def test_conformance() -> None:
    check_probe(QUICK)


def test_quantities_of_this_machine() -> None:
    found = anyio.run(QUICK.measure)
    assert found.keys() - {"cpu_frequency_hz"} == {"cpu_count", "cpu_flops"}
    assert 0 < found["cpu_count"] <= (os.cpu_count() or 1)
    assert found["cpu_flops"] > 1e6
    assert found.get("cpu_frequency_hz", 1e9) > 1e6


def test_a_quota_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "cpu_limit", lambda: 0.25)
    assert usable_cores() == 0.25


@pytest.mark.parametrize("error", [OSError, NotImplementedError])
def test_an_unknown_frequency_is_left_out(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(psutil, "cpu_freq", fails)
    assert "cpu_frequency_hz" not in anyio.run(QUICK.measure)


def test_a_system_that_tells_no_frequency_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    assert "cpu_frequency_hz" not in anyio.run(QUICK.measure)


def test_the_best_product_counts() -> None:
    # Each product takes the time between two ticks: the third one is the quickest, and then time is up.
    ticks = iter([0.0, 1.0, 5.0, 6.0, 9.0, 10.0, 10.5, 20.0, 30.0])
    assert measure_flops(25.0, lambda: next(ticks)) == 2 * 64**3 / 0.5


def test_a_slow_device_is_asked_for_one_small_product() -> None:
    ticks = itertools.count(0.0, 60.0)
    assert measure_flops(0.2, lambda: next(ticks)) == 2 * 64**3 / 60
