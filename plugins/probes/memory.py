"""How much memory there is."""

import psutil

from tierwise.plugins.probes._cgroup import memory_limit


class MemoryProbe:
    """Reads the device's memory.

    Quantities: ``memory_bytes``, the physical memory, or the limit of this process's control group if that is
    less; ``memory_available_bytes``, what of it can be had now without swapping.
    """

    async def measure(self) -> dict[str, float]:
        """Ask the system, which takes no time."""
        memory, limit = psutil.virtual_memory(), memory_limit()
        return {
            "memory_bytes": min(float(memory.total), limit),
            "memory_available_bytes": min(float(memory.available), limit),
        }
