"""Robust reducers that look at each weight by itself.

Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
https://arxiv.org/abs/1803.01498, definitions 1 and 2. Samples do not count: else a single device that claims many of
them would outweigh all others.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import Need
from tierwise.core.weights import Buffer
from tierwise.ext import coordinate_median, trimmed_mean
from tierwise.plugins.aggregation._attackers import Attackers


class MedianReducer:
    """The coordinate-wise median: of each weight the middle of what the devices sent; samples do not count.

    It bears wrong updates as long as they are fewer than half. Of an even number it is halfway between the middle two.
    Yin et al. 2018, https://arxiv.org/abs/1803.01498, definition 1.
    """

    @property
    def need(self) -> Need:
        """Every update: `Need.INDIVIDUAL`."""
        return Need.INDIVIDUAL

    def reduce(self, updates: Sequence[Buffer], samples: NDArray[np.int64], out: Buffer) -> None:
        """Combine one block."""
        del samples
        coordinate_median(updates, out)


class TrimmedMeanOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `TrimmedMeanReducer`.

    Attributes
    ----------
    trim
        The share of the updates that is left out at each end (the paper's beta): so many wrong ones are borne. Rounded
        up; one update, or two of an even number, are always kept.
    """

    trim: Annotated[float, msgspec.Meta(ge=0, lt=0.5)] = 0.2


class TrimmedMeanReducer:
    """The coordinate-wise trimmed mean: of each weight the mean without the least and the greatest values.

    Samples do not count. Yin et al. 2018, https://arxiv.org/abs/1803.01498, definition 2.
    """

    def __init__(self, options: TrimmedMeanOptions) -> None:
        self._trimmed = Attackers("trimmed-mean", options.trim, lambda count: (count - 1) // 2)

    @property
    def need(self) -> Need:
        """Every update: `Need.INDIVIDUAL`."""
        return Need.INDIVIDUAL

    def reduce(self, updates: Sequence[Buffer], samples: NDArray[np.int64], out: Buffer) -> None:
        """Combine one block."""
        del samples
        trimmed_mean(updates, out, trim=self._trimmed.among(len(updates)))
