"""A grouping policy: bands of memory."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tierwise.core.grouping import MINIMUM, Grouping
from tierwise.core.ids import DeviceId
from tierwise.core.tiers import RoundLimits, Tier

if TYPE_CHECKING:
    import polars as pl


class MemoryBandsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `MemoryBandsPolicy`.

    Attributes
    ----------
    bounds_bytes
        Where one band ends and the next begins, from small to large.
    """

    bounds_bytes: tuple[float, ...] = (1e9, 4e9, 16e9)

    def __post_init__(self) -> None:
        if list(self.bounds_bytes) != sorted(set(self.bounds_bytes)):
            raise ValueError(f"bounds_bytes go from small to large, got {list(self.bounds_bytes)}")


class MemoryBandsPolicy:
    """Puts devices with about as much memory into one group.

    A band of fewer than three devices joins the next weaker group, whose model they carry easily; the weakest
    band has none to join, so the next stronger devices come down to it.
    """

    def __init__(self, options: MemoryBandsOptions) -> None:
        self._bounds = options.bounds_bytes

    def group(self, fleet: "pl.DataFrame", offers: Sequence[Tier], limits: RoundLimits) -> Grouping:
        """Divide the fleet by memory alone; offers and limits do not matter."""
        del offers, limits
        bands: list[list[DeviceId]] = [[] for _ in range(len(self._bounds) + 1)]
        for device, memory in fleet.select("device", "memory_bytes").iter_rows():
            bands[bisect_right(self._bounds, memory)].append(device)
        groups: list[list[DeviceId]] = []
        for band in bands:
            if groups and (len(band) < MINIMUM or len(groups[-1]) < MINIMUM):
                groups[-1] += band
            elif band:
                groups.append(band)
        return Grouping(groups=tuple(tuple(sorted(group)) for group in groups))
