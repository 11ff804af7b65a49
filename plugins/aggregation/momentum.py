"""The server optimizer that keeps some of its last step."""

from typing import Annotated

import msgspec
import numpy as np

from tierwise.core.aggregation import OptimizerState
from tierwise.core.weights import Buffer


class MomentumOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `MomentumOptimizer`.

    Attributes
    ----------
    learning_rate
        What the velocity is multiplied by. Updates that all point the same way add up to ``1 / (1 - momentum)`` of
        one, so with a momentum of 0.9 a learning rate of 0.1 comes to the steps of federated averaging.
    momentum
        How much of the velocity goes on to the next round; 0 is federated averaging.
    """

    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9


class MomentumOptimizer:
    """FedAvgM: ``velocity = momentum * velocity + reduced``, then ``model + learning_rate * velocity``.

    Hsu et al. 2019, "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification",
    https://arxiv.org/abs/1909.06335, section 4.3; the velocity is 0 before the first step.
    """

    def __init__(self, options: MomentumOptions) -> None:
        self._learning_rate = np.float32(options.learning_rate)
        self._momentum = np.float32(options.momentum)

    def step(self, state: OptimizerState, model: Buffer, reduced: Buffer) -> tuple[Buffer, OptimizerState]:
        """Return the next model, and the velocity."""
        if state:
            velocity = np.multiply(state["velocity"], self._momentum)
            velocity += reduced
        else:
            velocity = reduced.copy()
        following = np.multiply(velocity, self._learning_rate)
        following += model
        return following, {"velocity": velocity}
