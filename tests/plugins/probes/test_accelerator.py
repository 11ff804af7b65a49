"""The probe of accelerators: NVIDIA's own bindings, over their library where there is none, and with one played."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from tests.plugins.probes.trees import tree
from tierwise.core.hardware import Unmeasured
from tierwise.plugins.probes.accelerator import AcceleratorProbe
from tierwise.plugins.testing import check_probe

pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed: `pip install 'tierwise[nvidia]'`")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a driver shows itself."""
    return tree(tmp_path, {"proc/driver/nvidia/version": "NVRM version: 580.95"})


@pytest.fixture
def measured(root: Path) -> Callable[[], tuple[float | str, float | str]]:
    return partial(ask, root)


def ask(root: Path) -> tuple[float | str, float | str]:
    found = anyio.run(AcceleratorProbe(root).measure)
    assert list(found) == ["accelerator_count", "accelerator_memory_bytes"]
    plain = [one.reason if isinstance(one, Unmeasured) else one for one in found.values()]
    return plain[0], plain[1]


def test_conformance(root: Path) -> None:
    check_probe(AcceleratorProbe())
    check_probe(AcceleratorProbe(root))


def test_where_no_driver_shows_itself_nothing_is_imported(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert ask(tmp_path / "empty") == (0.0, "there is no driver of NVIDIA's")


def test_elsewhere_the_library_is_asked_for_itself(monkeypatch, tmp_path: Path) -> None:
    Library(monkeypatch, 7)
    monkeypatch.setattr(sys, "platform", "win32")
    assert ask(tmp_path / "empty") == (1.0, 7.0)


class Library:
    """Plays NVML behind its bindings; tells whether it was left."""

    def __init__(self, monkeypatch, *memories: int, init=None, count=None) -> None:
        self.entered = 0
        self._init, self._count = init, count
        self._memories = memories
        monkeypatch.setattr(pynvml, "nvmlInit", self._enter)
        monkeypatch.setattr(pynvml, "nvmlShutdown", self._leave)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", self._counted)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda index: SimpleNamespace(total=memories[index]))

    def _enter(self):
        if self._init is not None:
            raise pynvml.NVMLError(self._init)
        self.entered += 1

    def _leave(self):
        self.entered -= 1

    def _counted(self):
        if self._count is not None:
            raise pynvml.NVMLError(self._count)
        return len(self._memories)


def test_two_of_them(measured, monkeypatch) -> None:
    library = Library(monkeypatch, 8_000_000_000, 24_000_000_000)
    assert measured() == (2.0, 24e9)
    assert library.entered == 0


@pytest.mark.parametrize("error", ["NVML_ERROR_LIBRARY_NOT_FOUND", "NVML_ERROR_DRIVER_NOT_LOADED"])
def test_without_a_driver_there_is_none(measured, monkeypatch, error) -> None:
    Library(monkeypatch, init=getattr(pynvml, error))
    assert measured() == (0.0, "there is no driver of NVIDIA's")


def test_a_driver_without_a_card(measured, monkeypatch) -> None:
    library = Library(monkeypatch)
    assert measured() == (0.0, "there is no accelerator")
    assert library.entered == 0


def test_a_driver_that_does_not_answer_is_not_none(measured, monkeypatch) -> None:
    Library(monkeypatch, init=pynvml.NVML_ERROR_NO_PERMISSION)
    reason = "NVIDIA's driver does not answer: Insufficient Permissions"
    assert measured() == (reason, reason)
    library = Library(monkeypatch, 1, count=pynvml.NVML_ERROR_UNKNOWN)
    assert measured()[0] == "NVIDIA's driver does not answer: Unknown Error"
    assert library.entered == 0


def test_without_the_package_the_way_to_it_is_told(measured, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    reason = "nvidia-ml-py is not installed: pip install 'tierwise[nvidia]'"
    assert measured() == (reason, reason)
