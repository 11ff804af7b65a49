"""Which accelerators there are."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from tierwise.core.hardware import Unmeasured

_TRACES: Final = ("proc/driver/nvidia", "dev/nvidiactl", "dev/dxg")
"""What NVIDIA's driver shows on Linux; the last in Windows's subsystem for it, where it may be another's."""

_NO_DRIVER: Final = "there is no driver of NVIDIA's"


class AcceleratorProbe:
    """Counts NVIDIA's graphics processors, through their management library (NVML).

    Quantities: ``accelerator_count``, 0 where there is no driver of NVIDIA's; ``accelerator_memory_bytes``, the memory
    of the one that has the most, since a model has to fit into one of them.

    Where there is a driver, it needs the package ``nvidia-ml-py``: ``pip install 'tierwise[nvidia]'``.

    Parameters
    ----------
    root
        Of the file system, where the driver is looked for.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    async def measure(self) -> dict[str, float | Unmeasured]:
        """Ask in a worker thread: a driver that wakes up takes its time."""
        return await anyio.to_thread.run_sync(self._measure, abandon_on_cancel=True)

    def _measure(self) -> dict[str, float | Unmeasured]:
        # Where there is none, nothing is imported: the bindings take 4 MB, and most boards have no such thing.
        if sys.platform == "linux" and not any((self._root / trace).exists() for trace in _TRACES):
            return _none(_NO_DRIVER)
        return _asked()


def _asked() -> dict[str, float | Unmeasured]:
    try:
        nvml = import_module("pynvml")
    except ImportError:
        reason = Unmeasured("nvidia-ml-py is not installed: pip install 'tierwise[nvidia]'")
        return {"accelerator_count": reason, "accelerator_memory_bytes": reason}
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded):
        return _none(_NO_DRIVER)
    except nvml.NVMLError as error:
        return _failed(error)
    try:
        return _count(nvml)
    except nvml.NVMLError as error:
        return _failed(error)
    finally:
        nvml.nvmlShutdown()


def _count(nvml: Any) -> dict[str, float | Unmeasured]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    if not handles:
        return _none("there is no accelerator")
    memories = [float(nvml.nvmlDeviceGetMemoryInfo(handle).total) for handle in handles]
    return {"accelerator_count": float(len(handles)), "accelerator_memory_bytes": max(memories)}


def _none(reason: str) -> dict[str, float | Unmeasured]:
    return {"accelerator_count": 0.0, "accelerator_memory_bytes": Unmeasured(reason)}


def _failed(error: Exception) -> dict[str, float | Unmeasured]:
    reason = Unmeasured(f"NVIDIA's driver does not answer: {error}")
    return {"accelerator_count": reason, "accelerator_memory_bytes": reason}
