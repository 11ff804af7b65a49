"""Server optimizers with a learning rate for each weight.

Reddi et al. 2021, "Adaptive Federated Optimization", https://arxiv.org/abs/2003.00295, algorithm 2. All three are one
algorithm; they differ in how the second moment ``v`` follows the squares of the updates. The first moment ``m`` begins
with 0 and ``v`` with ``adaptivity ** 2`` (the paper allows that or more), and as in the paper nothing is corrected for
that beginning.
"""

from abc import ABC, abstractmethod
from typing import Annotated, Final

import msgspec
import numpy as np

from tierwise.core.aggregation import OptimizerState
from tierwise.core.weights import Buffer

BLOCK: Final = 1 << 15
"""Elements that are worked on at a time: what a step reads and writes of them stays in a core's cache."""

_Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class AdaptiveOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `AdamOptimizer` and `YogiOptimizer`.

    Attributes
    ----------
    learning_rate
        How far a weight goes in a round, about, whose updates keep their direction; of the weights' own size. It is
        what has to be tuned: try factors of 3.
    beta1
        How much of the first moment goes on to the next round.
    beta2
        How much of the second moment goes on to the next round.
    adaptivity
        The paper's tau: a weight whose updates are much smaller than this is moved in proportion to them, as in
        federated averaging, and one whose updates are larger by the learning rate.
    """

    learning_rate: _Positive = 0.03
    beta1: _Share = 0.9
    beta2: _Share = 0.99
    adaptivity: _Positive = 1e-3


class AdagradOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `AdagradOptimizer`; the paper's experiments have no first moment with it, so ``beta1`` is 0.

    Attributes
    ----------
    learning_rate, beta1, adaptivity
        As of `AdaptiveOptions`; the steps become smaller from round to round.
    """

    learning_rate: _Positive = 0.03
    beta1: _Share = 0.0
    adaptivity: _Positive = 1e-3


class _Adaptive(ABC):
    """``m = beta1 * m + (1 - beta1) * reduced``, then ``model + learning_rate * m / (sqrt(v) + adaptivity)``."""

    def __init__(self, options: AdaptiveOptions | AdagradOptions) -> None:
        self._learning_rate = np.float32(options.learning_rate)
        self._kept = np.float32(options.beta1)
        self._added = np.float32(1 - options.beta1)
        self._adaptivity = np.float32(options.adaptivity)
        self._first_v = np.float32(options.adaptivity**2)

    @abstractmethod
    def _follow(self, v: Buffer | np.float32, square: Buffer, out: Buffer) -> None:
        """Write the next second moment of a block to ``out``; ``square`` may be written to."""

    def step(self, state: OptimizerState, model: Buffer, reduced: Buffer) -> tuple[Buffer, OptimizerState]:
        """Return the next model, and the moments ``m`` and ``v``."""
        following, m, v = (np.empty_like(model) for _ in range(3))
        for start in range(0, model.size, BLOCK):
            block = slice(start, start + BLOCK)
            last_m, last_v = (state["m"][block], state["v"][block]) if state else (np.float32(0), self._first_v)
            self._step_block(last_m, last_v, model[block], reduced[block], m[block], v[block], following[block])
        return following, {"m": m, "v": v}

    def _step_block(
        self,
        last_m: Buffer | np.float32,
        last_v: Buffer | np.float32,
        model: Buffer,
        reduced: Buffer,
        m: Buffer,
        v: Buffer,
        following: Buffer,
    ) -> None:
        # ``following`` holds what is needed on the way, until the model goes in.
        np.square(reduced, out=following)
        self._follow(last_v, following, v)
        np.multiply(reduced, self._added, out=following)
        np.multiply(last_m, self._kept, out=m)
        m += following
        np.sqrt(v, out=following)
        following += self._adaptivity
        np.divide(m, following, out=following)
        following *= self._learning_rate
        following += model


class AdagradOptimizer(_Adaptive):
    """FedAdagrad: ``v + reduced ** 2``, so that steps become smaller for good."""

    def __init__(self, options: AdagradOptions) -> None:
        super().__init__(options)

    def _follow(self, v: Buffer | np.float32, square: Buffer, out: Buffer) -> None:
        np.add(v, square, out=out)


class AdamOptimizer(_Adaptive):
    """FedAdam: ``beta2 * v + (1 - beta2) * reduced ** 2``, which forgets old rounds."""

    def __init__(self, options: AdaptiveOptions) -> None:
        super().__init__(options)
        self._v_kept = np.float32(options.beta2)
        self._v_added = np.float32(1 - options.beta2)

    def _follow(self, v: Buffer | np.float32, square: Buffer, out: Buffer) -> None:
        np.multiply(v, self._v_kept, out=out)
        square *= self._v_added
        out += square


class YogiOptimizer(_Adaptive):
    """FedYogi: ``v - (1 - beta2) * reduced ** 2 * sign(v - reduced ** 2)``.

    Like Adam, but the second moment sinks slowly when updates become small at once, so that steps do not jump.
    """

    def __init__(self, options: AdaptiveOptions) -> None:
        super().__init__(options)
        self._v_added = np.float32(1 - options.beta2)

    def _follow(self, v: Buffer | np.float32, square: Buffer, out: Buffer) -> None:
        np.subtract(square, v, out=out)
        np.sign(out, out=out)
        square *= self._v_added
        out *= square
        out += v
