"""How much memory there is."""

import psutil

from tierwise.plugins.probes._cgroup import memory_limit, memory_room


class MemoryProbe:
    """Reads the device's memory.

    Quantities: ``memory_bytes``, the physical memory, or the limit of this process's control group if that is
    less; ``memory_available_bytes``, what of it the device could give now without swapping; ``memory_usable_bytes``,
    what this process may take of that: within a control group, no more than is left below its limit.
    """

    volatile = True

    async def measure(self) -> dict[str, float]:
        """Ask the system, which takes no time."""
        memory, limit = psutil.virtual_memory(), memory_limit()
        available = min(float(memory.available), limit)
        return {
            "memory_bytes": min(float(memory.total), limit),
            "memory_available_bytes": available,
            "memory_usable_bytes": min(available, memory_room()),
        }
