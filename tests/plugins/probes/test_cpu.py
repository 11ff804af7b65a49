"""The probe of the processor."""

import itertools
import os
from types import SimpleNamespace

import anyio
import psutil
import pytest

from tierwise.core.hardware import Unmeasured
from tierwise.plugins.probes import cpu
from tierwise.plugins.probes.cpu import CpuOptions, CpuProbe, measure_flops, usable_cores
from tierwise.plugins.testing import check_probe

QUICK = CpuProbe(CpuOptions(seconds=0.02))


def test_conformance() -> None:
    check_probe(QUICK)


def test_quantities_of_this_machine() -> None:
    found = anyio.run(QUICK.measure)
    assert found.keys() == {"cpu_count", "cpu_frequency_hz", "cpu_flops", "sgd_step_s"}
    assert 0 < found["cpu_count"] <= (os.cpu_count() or 1)
    assert found["cpu_flops"] > 1e6
    assert 1e-7 < found["sgd_step_s"] < 10
    frequency = found["cpu_frequency_hz"]
    assert isinstance(frequency, Unmeasured) or frequency > 1e6


def test_a_quota_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "cpu_limit", lambda: 0.25)
    assert usable_cores() == 0.25


UNKNOWN = Unmeasured("the system does not tell it")


@pytest.mark.parametrize("error", [OSError, NotImplementedError, RuntimeError])
def test_an_unknown_frequency_has_its_reason(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(psutil, "cpu_freq", fails)
    assert anyio.run(QUICK.measure)["cpu_frequency_hz"] == UNKNOWN


@pytest.mark.parametrize(
    "told", [None, SimpleNamespace(current=None, min=0, max=0), SimpleNamespace(current=0.0, min=0, max=None)]
)
def test_a_system_that_tells_no_frequency_is_no_fault(monkeypatch: pytest.MonkeyPatch, told: object) -> None:
    monkeypatch.setattr(psutil, "cpu_freq", lambda: told)
    assert anyio.run(QUICK.measure)["cpu_frequency_hz"] == UNKNOWN


def test_a_psutil_without_the_function_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil, "cpu_freq")
    assert anyio.run(QUICK.measure)["cpu_frequency_hz"] == UNKNOWN


def test_the_best_product_counts() -> None:
    # Each product takes the time between two ticks: the third one is the quickest, and then time is up.
    ticks = iter([0.0, 1.0, 5.0, 6.0, 9.0, 10.0, 10.5, 20.0, 30.0])
    assert measure_flops(25.0, lambda: next(ticks)) == 2 * 64**3 / 0.5


def test_a_slow_device_is_asked_for_one_small_product() -> None:
    ticks = itertools.count(0.0, 60.0)
    assert measure_flops(0.2, lambda: next(ticks)) == 2 * 64**3 / 60
