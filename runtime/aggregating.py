"""Reducing a cohort's spooled updates and stepping the model, block by block."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tierwise.core.aggregation import OptimizerState, Reducer, ServerOptimizer
from tierwise.core.errors import PluginFailedError
from tierwise.core.weights import Buffer, Role, Weights

BLOCK: Final = 1 << 20
"""Elements of a block at the most: 4 MiB of each update."""
BLOCKS: Final = 1 << 24
"""Elements of the blocks of all updates together, so that memory stays the same however many updates there are."""
SMALLEST: Final = 1 << 12
"""Elements of a block at the least: below that, calling the reducer takes longer than what it does."""


def aggregate(
    reducer: Reducer,
    optimizer: ServerOptimizer,
    model: Weights,
    state: OptimizerState,
    updates: Sequence[Buffer],
    samples: Sequence[int],
    between: Callable[[], None] = lambda: None,
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
    between
        Called after each block: no update's block is needed any more.

    Raises
    ------
    PluginFailedError
        If the optimizer's answer does not have the model's shape and dtype, or a value is not finite.
    """
    before = model.layout.aggregated
    old = _read_only(model.part(Role.AGGREGATE).buffer)
    reduced = np.empty(before.size, np.float32)
    counts = np.asarray(samples, np.int64)
    length = min(BLOCK, max(SMALLEST, BLOCKS // max(len(updates), 1)))
    for start in range(0, before.size, length):
        block = slice(start, min(start + length, before.size))
        reducer.reduce([_read_only(update[block]) for update in updates], counts, reduced[block])
        between()
    after, next_state = optimizer.step(state, old, _read_only(reduced))
    _check_arrays(before.size, {"the model": after, **{f"its state {name!r}": a for name, a in next_state.items()}})
    return model.replaced(Weights(before, np.ascontiguousarray(after))), next_state


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
        if not np.isfinite(array).all():
            raise PluginFailedError(f"the server optimizer returned {what} with values that are not finite")
