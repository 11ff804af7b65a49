"""How much room there is on the disk."""

import shutil
from pathlib import Path

import anyio.to_thread
import msgspec

from tierwise.core.hardware import Unmeasured


class StorageOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `StorageProbe`.

    Attributes
    ----------
    path
        Where to look: a file or directory on the disk that matters. By default where the agent was started.
    """

    path: str = "."


class StorageProbe:
    """Reads what is free on a disk.

    Quantity: ``storage_bytes``, what this process may still write there (what is kept for the system's own use does
    not count).
    """

    def __init__(self, options: StorageOptions) -> None:
        self._path = Path(options.path)

    async def measure(self) -> dict[str, float | Unmeasured]:
        """Ask the system in a worker thread: a disk that is far away may not answer."""
        return {"storage_bytes": await anyio.to_thread.run_sync(self._free, abandon_on_cancel=True)}

    def _free(self) -> float | Unmeasured:
        try:
            return float(shutil.disk_usage(self._path).free)
        except OSError as error:
            return Unmeasured(f"{self._path.absolute()} cannot be asked: {error.strerror}")
