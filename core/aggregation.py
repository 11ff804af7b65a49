"""Aggregation: a reducer combines a cohort's updates, a server optimizer applies the result to the model."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tierwise.core.weights import Buffer


class Need(StrEnum):
    """What a reducer must see."""

    SUM = "sum"
    """Only the weighted sum of the updates: it works when nobody can see a single one (*additive*)."""
    INDIVIDUAL = "individual"
    """Every update by itself (median, Krum); it cannot be had together with secure sums."""


class Reducer(Protocol):
    """Combines the updates of a cohort, block by block: a plugin, made as ``Class(options)`` or ``Class()``.

    Laws, which `tierwise.plugins.testing.check_reducer` tests: equal updates reduce to themselves; the result does
    not depend on how the updates are cut into blocks; the inputs stay as they are. Who needs only the `Need.SUM`
    also keeps: all samples multiplied by one factor change nothing.
    """

    @property
    def need(self) -> Need:
        """What it must see."""
        ...

    def reduce(self, updates: Sequence[Buffer], samples: NDArray[np.int64], out: Buffer) -> None:
        """Combine one block.

        Parameters
        ----------
        updates
            The same block of each update, ordered by device id; shape ``(n,)``, float32, read-only.
        samples
            The updates' weights, each at least 1, in the same order.
        out
            Where the result goes; shape ``(n,)``, float32, its content undefined before.
        """
        ...


@runtime_checkable
class SurveyingReducer(Protocol):
    """A reducer that must know something of whole updates before it reduces a block: their norms, their distances.

    A plugin of the same kind, made in the same way. It has the laws of a `Reducer`, and `check_reducer` tests them:
    what is said there of reducing is said here of a survey and what it returns.
    """

    @property
    def need(self) -> Need:
        """What it must see; of what a survey returns it is the same."""
        ...

    def survey(self, blocks: Iterable[Sequence[Buffer]], samples: NDArray[np.int64]) -> Reducer:
        """Read all of a cohort's updates once, and return the reducer of this cohort.

        A pure function: nothing of one cohort stays in the plugin. The updates are then read again, in whatever blocks,
        by what it returns.

        Parameters
        ----------
        blocks
            The updates from their beginning to their end: one block of each at a time, as `Reducer.reduce` gets it. A
            block is valid until the next one is asked for. All but the last one have a multiple of 4096 elements.
        samples
            As there.
        """
        ...


AnyReducer = Reducer | SurveyingReducer
"""What a plugin of the kind may be."""


@runtime_checkable
class Weighing(Protocol):
    """What a `Reducer` also has whose result is a weighted sum of the updates.

    Then nobody has to decode them first: codecs can sum what devices sent as it is (`tierwise.core.coding.SumsCoded`).
    """

    def weights(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
        """Return weights and a divisor, such that `reduce` gives ``sum over k of weights[k] / divisor * updates[k]``.

        Parameters
        ----------
        samples
            As for `Reducer.reduce`.
        """
        ...


OptimizerState = Mapping[str, Buffer]
"""Named arrays, each of shape ``(n,)`` and dtype float32; empty before the first step."""


class ServerOptimizer(Protocol):
    """Applies a reduced update to a model: a plugin, made as ``Class(options)`` or ``Class()``.

    Reddi et al. 2021, "Adaptive Federated Optimization", https://arxiv.org/abs/2003.00295, algorithm 1: the reduced
    update is the pseudo-gradient's negative.
    """

    def step(self, state: OptimizerState, model: Buffer, reduced: Buffer) -> tuple[Buffer, OptimizerState]:
        """Return the next model and state.

        A pure function: the arguments stay as they are, and all that must live from one round to the next is in
        the returned state (it is hashed into the log, so a restarted coordinator goes on from it).

        Parameters
        ----------
        state
            What the last step returned.
        model, reduced
            Shape ``(n,)``, float32, read-only.
        """
        ...
