"""A reducer: the coordinate-wise trimmed mean.

Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", definition 2,
https://arxiv.org/abs/1803.01498.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import Need
from tierwise.core.weights import Buffer


class TrimmedMeanOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `TrimmedMeanReducer`.

    Attributes
    ----------
    share
        Of the updates to leave out at each end (the paper's beta): as many wrong ones are borne. Rounded down, so
        a cohort smaller than ``1 / share`` is averaged as it is.
    """

    share: Annotated[float, msgspec.Meta(ge=0, lt=0.5)] = 0.2


class TrimmedMeanReducer:
    """Leaves out the smallest and the largest values of each coordinate and averages the rest.

    Samples do not count: else a single device that claims many of them would outweigh all others.
    """

    need = Need.INDIVIDUAL

    def __init__(self, options: TrimmedMeanOptions) -> None:
        self._share = options.share

    def reduce(self, updates: Sequence[Buffer], samples: NDArray[np.int64], out: Buffer) -> None:
        """Combine one block."""
        del samples
        values = np.sort(np.stack(updates), axis=0)
        cut = int(self._share * len(updates))
        out[...] = values[cut : len(updates) - cut].mean(axis=0, dtype=np.float64)
