"""Groups of equal size, cut from the devices in the order of one quantity."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from tierwise.core.grouping import MINIMUM, Grouping
from tierwise.core.tiers import RoundLimits, Tier
from tierwise.plugins.grouping._fleet import Comparable

if TYPE_CHECKING:
    import polars as pl


class QuantileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `QuantilePolicy`.

    Attributes
    ----------
    groups
        How many groups; a fleet of fewer than three times as many devices gets fewer.
    by
        The quantity that orders the devices, one of which more is better.
    """

    groups: Annotated[int, msgspec.Meta(ge=1)] = 3
    by: str = "cpu_flops"


class QuantilePolicy:
    """Cuts the fleet into groups whose sizes differ by one at the most; the weaker groups are the larger ones.

    Devices that are equal in the quantity are ordered by id, and a cut may fall between them: equal devices can
    come into different groups, since sizes count here, not likeness. Devices without the quantity are unplaced.
    """

    def __init__(self, options: QuantileOptions) -> None:
        self._options = options

    def group(self, fleet: "pl.DataFrame", offers: Sequence[Tier], limits: RoundLimits) -> Grouping:  # noqa: ARG002
        """Divide the fleet, whatever is on offer.

        Raises
        ------
        ConfigurationError
            If no device has the quantity.
        """
        comparable = Comparable.of(fleet, (self._options.by,), "quantile")
        devices = len(comparable.devices)
        if devices < MINIMUM:
            return comparable.too_few()
        amounts = comparable.values[:, 0]
        order = np.argsort(amounts, kind="stable")  # stable: ties stay in the order of ids
        places = np.empty_like(order)
        places[order] = np.arange(devices)
        groups = np.array_split(order, min(self._options.groups, devices // MINIMUM))

        def tell(row: int, _group: int) -> str:
            return f"number {places[row] + 1} of {devices} by {self._options.by}, {amounts[row]:.3g}, the least first"

        return comparable.grouped(groups, tell)
