"""The robust reducer that has the least distance to all updates."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import Need, Reducer
from tierwise.core.weights import Buffer
from tierwise.plugins.aggregation._surveys import Combination, sq_distances

SMOOTHING: Final = 1e-6
"""Of the radius: what is nearer than that counts as so near."""
FAR: Final = 1e4
"""Radii. What float32 distances tell of a point between updates that lie farther apart than this is mostly rounding."""
HUGE: Final = 1e80
"""Greater than any squared distance in float32, and finite, so that sums of it can be compared."""
ROUNDS: Final = 1000
PRECISION: Final = 1e-9
"""Of the weights: when none changes by more, the next round would not show in a float32."""


class GeometricMedianReducer:
    """The geometric median: the point whose sum of distances to all updates is least; samples do not count.

    It bears wrong updates as long as they are fewer than half. It is a mean of the updates with weights of its own,
    which the smoothed Weiszfeld algorithm finds: Pillutla et al. 2022, "Robust Aggregation for Federated Learning",
    https://arxiv.org/abs/1912.13445, algorithm 2. Weights are equal at first, not by samples as there, since a device
    could claim any number of them. An update that is 10,000 times as far from the midst as half of all are has no
    weight.

    Notes
    -----
    The point ``z = sum over k of w_k x_k`` is never made on the way: with weights that add up to 1, its squared
    distance from an update is ``sum over k of w_k d_ik - sum over k, l of w_k w_l d_kl / 2`` of the squared distances d
    between the updates, which one survey gives.
    """

    @property
    def need(self) -> Need:
        """Every update: `Need.INDIVIDUAL`."""
        return Need.INDIVIDUAL

    def survey(self, blocks: Iterable[Sequence[Buffer]], samples: NDArray[np.int64]) -> Reducer:
        """Measure the distances, and find the weights."""
        return Combination(weiszfeld(sq_distances(blocks, len(samples))))


def weiszfeld(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each update's weight in the geometric median.

    It begins with the mean of the half that is nearest to its middle, from where wrong updates have little weight
    however far away they are.

    Parameters
    ----------
    distances
        Squared, between the updates, shape ``(n, n)``.
    """
    distances = np.minimum(distances, HUGE)
    half = len(distances) // 2 + 1
    nearest = np.sort(distances, axis=1)[:, half - 1]  # the radius around each that half of all are within
    middle = int(np.argmin(nearest))
    radius = np.sqrt(nearest[middle])
    weights: NDArray[np.float64] = (distances[middle] <= nearest[middle]).astype(np.float64)
    weights /= weights.sum()
    if radius == 0:  # more than half agree to the last bit: no other point has a smaller sum
        return weights
    counted = distances[middle] <= (FAR * radius) ** 2
    among = distances[np.ix_(counted, counted)]
    found = weights[counted]
    for _ in range(ROUNDS):
        apart = among @ found
        apart -= found @ apart / 2
        following = 1 / np.maximum(np.sqrt(np.maximum(apart, 0)), SMOOTHING * radius)
        following /= following.sum()
        change = np.abs(following - found).max()
        found = following
        if change < PRECISION:
            break
    weights[counted] = found
    return weights
