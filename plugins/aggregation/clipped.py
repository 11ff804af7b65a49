"""The mean of updates that are no longer than a bound."""

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import Need, Reducer
from tierwise.core.weights import Buffer
from tierwise.plugins.aggregation._surveys import Combination, norms


class ClippedMeanOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `ClippedMeanReducer`.

    Attributes
    ----------
    max_norm
        The Euclidean norm that an update is scaled down to if it is larger; by default the median of the norms of all
        updates of the cohort.
    """

    max_norm: Annotated[float, msgspec.Meta(gt=0)] | None = None


class ClippedMeanReducer:
    """Norm clipping: the mean of the updates, each scaled down to a norm if it is larger; samples do not count.

    It takes from an attacker the strength, not the direction: updates that are only large do no harm, many that point
    the same wrong way still do. Sun et al. 2019, "Can You Really Backdoor Federated Learning?",
    https://arxiv.org/abs/1911.07963, section 4.
    """

    def __init__(self, options: ClippedMeanOptions) -> None:
        self._max_norm = options.max_norm

    @property
    def need(self) -> Need:
        """Every update: `Need.INDIVIDUAL`."""
        return Need.INDIVIDUAL

    def survey(self, blocks: Iterable[Sequence[Buffer]], samples: NDArray[np.int64]) -> Reducer:
        """Measure the norms."""
        found = norms(blocks, len(samples))
        bound = float(np.median(found)) if self._max_norm is None else self._max_norm
        factors = np.minimum(1.0, bound / np.maximum(found, np.finfo(np.float64).tiny))
        factors[np.isinf(found)] = 0  # squares beyond float32
        return Combination(factors / len(found))
