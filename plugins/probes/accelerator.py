"""Which accelerators there are."""

from importlib import import_module
from typing import Any

import anyio.to_thread

from tierwise.core.hardware import Unmeasured


class AcceleratorProbe:
    """Counts NVIDIA's graphics processors, through their management library (NVML).

    Quantities: ``accelerator_count``, 0 where there is no driver of NVIDIA's; ``accelerator_memory_bytes``, the memory
    of the one that has the most, since a model has to fit into one of them.

    It needs the package ``nvidia-ml-py``: ``pip install 'tierwise[nvidia]'``.
    """

    async def measure(self) -> dict[str, float | Unmeasured]:
        """Ask in a worker thread: a driver that wakes up takes its time."""
        return await anyio.to_thread.run_sync(_measure, abandon_on_cancel=True)


def _measure() -> dict[str, float | Unmeasured]:
    try:
        nvml = import_module("pynvml")
    except ImportError:
        reason = Unmeasured("nvidia-ml-py is not installed: pip install 'tierwise[nvidia]'")
        return {"accelerator_count": reason, "accelerator_memory_bytes": reason}
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded):
        return _none("there is no driver of NVIDIA's")
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
