"""The server optimizer that only adds."""

from typing import Annotated

import msgspec
import numpy as np

from tierwise.core.aggregation import OptimizerState
from tierwise.core.weights import Buffer


class PlainOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `PlainOptimizer`.

    Attributes
    ----------
    learning_rate
        What the reduced update is multiplied by; 1 is federated averaging.
    """

    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class PlainOptimizer:
    """``model + learning_rate * reduced``, without state.

    Reddi et al. 2021, https://arxiv.org/abs/2003.00295, algorithm 1 with gradient descent as the server's optimizer.
    """

    def __init__(self, options: PlainOptions) -> None:
        self._learning_rate = np.float32(options.learning_rate)

    def step(self, state: OptimizerState, model: Buffer, reduced: Buffer) -> tuple[Buffer, OptimizerState]:
        """Return the next model, and the state as it came."""
        following = np.multiply(reduced, self._learning_rate)
        np.add(model, following, out=following)
        return following, state
