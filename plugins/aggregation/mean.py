"""Federated averaging's mean."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import Need
from tierwise.core.weights import Buffer
from tierwise.ext import weighted_sum


class MeanReducer:
    """The mean of the updates, weighted by samples.

    McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    https://arxiv.org/abs/1602.05629, algorithm 1: ``sum over k of n_k / n * w_k``, here over what the devices
    changed instead of what they ended with, which comes to the same.
    """

    @property
    def need(self) -> Need:
        """Additive: `Need.SUM`."""
        return Need.SUM

    def reduce(self, updates: Sequence[Buffer], samples: NDArray[np.int64], out: Buffer) -> None:
        """Average one block in the order given; the kernel's law of summation fixes the rounding."""
        weights, divisor = self.weights(samples)
        weighted_sum(updates, weights, out, divisor=divisor)

    def weights(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
        """Return the samples, and their sum."""
        return samples, int(samples.sum())
