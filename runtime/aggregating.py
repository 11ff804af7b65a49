"""Reducing a cohort's spooled updates and stepping the model, block by block."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierwise.core.aggregation import (
    AnyReducer,
    Need,
    OptimizerState,
    ServerOptimizer,
    SurveyingReducer,
    Weighing,
)
from tierwise.core.errors import PluginFailedError
from tierwise.core.weights import Buffer, Role, Weights, all_finite
from tierwise.runtime.blocks import UpdateBlocks


def aggregate(
    reducer: AnyReducer,
    optimizer: ServerOptimizer,
    model: Weights,
    state: OptimizerState,
    updates: UpdateBlocks,
    samples: Sequence[int],
) -> tuple[Weights, OptimizerState]:
    """Return a group's next model, and the server optimizer's next state.

    Parameters
    ----------
    reducer, optimizer
        The aggregator.
    model
        What the updates started from.
    state
        What the optimizer's last step returned; empty at first.
    updates
        Ordered by device id; each of the layout of the model's aggregated part.
    samples
        The updates' weights, in the same order.

    Raises
    ------
    PluginFailedError
        If the optimizer's answer does not have the model's shape and dtype, or a value is not finite.
    """
    before = model.layout.aggregated
    old = _read_only(model.part(Role.AGGREGATE).buffer)
    reduced = np.empty(before.size, np.float32)
    counts = np.asarray(samples, np.int64)
    blocks = updates.slices()
    weighed = _weighed(reducer, updates, counts)
    if isinstance(reducer, SurveyingReducer):
        reducer = reducer.survey((updates.read(block) for block in blocks), counts)
    for block in blocks:
        if weighed is None:
            reducer.reduce(updates.read(block), counts, reduced[block])
        else:
            updates.weighted_sum(weighed[0], block, reduced[block], divisor=weighed[1])
    updates.let_go()  # before there is a second model in memory
    after, next_state = optimizer.step(state, old, _read_only(reduced))
    _check_arrays(before.size, {"the model": after, **{f"its state {name!r}": a for name, a in next_state.items()}})
    return model.replaced(Weights(before, np.ascontiguousarray(after))), next_state


def _weighed(
    reducer: AnyReducer, updates: UpdateBlocks, samples: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int] | None:
    """Return the weights and the divisor of a sum that the codec can take of what devices sent; None if it cannot."""
    if updates.sums and isinstance(reducer, Weighing) and reducer.need is Need.SUM:
        return reducer.weights(samples)
    return None


def _read_only(buffer: Buffer) -> Buffer:
    view = buffer.view()
    view.flags.writeable = False
    return view


def _check_arrays(size: int, arrays: dict[str, Buffer]) -> None:
    for what, array in arrays.items():
        if array.shape != (size,) or array.dtype != np.float32:
            raise PluginFailedError(
                f"the server optimizer returned {what} with shape {array.shape} and dtype {array.dtype}, "
                f"expected ({size},) and float32"
            )
        if not all_finite(array):
            raise PluginFailedError(f"the server optimizer returned {what} with values that are not finite")
