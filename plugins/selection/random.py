"""Some take part, drawn anew for each round."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Annotated, Final

import msgspec
import numpy as np

from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId

_FRACTION: Final = 0.5


class RandomOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `RandomSelector`: one of the two at the most.

    Attributes
    ----------
    fraction
        The share of the candidates that takes part, rounded up; half of them when neither option is given.
    count
        How many take part, or all candidates when there are fewer.
    """

    fraction: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    count: Annotated[int, msgspec.Meta(ge=MINIMUM)] | None = None

    def __post_init__(self) -> None:
        if self.fraction is not None and self.count is not None:
            raise ValueError(
                f"fraction = {self.fraction} and count = {self.count} exclude each other: give only one of them"
            )


class RandomSelector:
    """Draws participants without replacement, all candidates equally likely, and never fewer than three."""

    def __init__(self, options: RandomOptions) -> None:
        self._options = options

    def select(self, candidates: Mapping[DeviceId, HardwareProfile], *, seed: int) -> Sequence[DeviceId]:
        """Return the participants, sorted by id."""
        devices = sorted(candidates)
        wanted = self._options.count
        if wanted is None:
            fraction = _FRACTION if self._options.fraction is None else self._options.fraction
            wanted = ceil(fraction * len(devices))
        number = min(max(wanted, MINIMUM), len(devices))
        drawn = np.random.default_rng(seed).choice(len(devices), number, replace=False)
        return [devices[index] for index in np.sort(drawn)]
