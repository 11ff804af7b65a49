"""A reducer: the coordinate-wise winsorized mean.

The trimmed mean's sibling: what lies at an end is not left out, but brought to the nearest value that stays.
Wilcox 2012, "Introduction to Robust Estimation and Hypothesis Testing", section 3.3.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import Need
from tierwise.core.weights import Buffer


class WinsorizedMeanOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `WinsorizedMeanReducer`.

    Attributes
    ----------
    share
        Of the updates to bring nearer at each end: as many wrong ones are borne. Rounded down, so a cohort smaller than
        ``1 / share`` is averaged as it is.
    """

    share: Annotated[float, msgspec.Meta(ge=0, lt=0.5)] = 0.2


class WinsorizedMeanReducer:
    """Brings the smallest and the largest values of each coordinate to the next one that stays, and averages.

    Samples do not count: else a single device that claims many of them would outweigh all others.
    """

    need = Need.INDIVIDUAL

    def __init__(self, options: WinsorizedMeanOptions) -> None:
        self._share = options.share

    def reduce(self, updates: Sequence[Buffer], samples: NDArray[np.int64], out: Buffer) -> None:
        """Combine one block."""
        del samples
        values = np.sort(np.stack(updates), axis=0)
        cut = int(self._share * len(updates))
        low, high = values[cut], values[len(updates) - 1 - cut]
        out[...] = np.clip(values, low, high).mean(axis=0, dtype=np.float64)
