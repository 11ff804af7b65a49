"""Reducing a cohort's spooled updates and stepping the model, block by block."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from tierwise.core.aggregation import AnyReducer, OptimizerState, ServerOptimizer, SurveyingReducer
from tierwise.core.errors import PluginFailedError
from tierwise.core.weights import Buffer, Role, Weights
from tierwise.runtime.pages import is_mapped, let_go

BLOCK: Final = 1 << 20
"""Elements of a block at the most: 4 MiB of each update."""
BLOCKS: Final = 1 << 23
"""Elements of the blocks of all updates together: 32 MiB."""
SMALLEST: Final = 1 << 12
"""Elements of a block at the least: below that, calling the reducer takes longer than what it does. All blocks but the
last have a multiple of it, so that a survey that adds up stretches of an update adds up the same whatever the block."""
FEW: Final = BLOCKS // BLOCK
"""Updates up to which mapped files are read where they are. A system may bring 2 MB of a file for each byte that is
read, so of more of them the blocks are copied, one file after the other, and memory stays the same however many there
are. That takes twice as long; receiving them took a hundred times as long."""


def aggregate(
    reducer: AnyReducer,
    optimizer: ServerOptimizer,
    model: Weights,
    state: OptimizerState,
    updates: Sequence[Buffer],
    samples: Sequence[int],
    frames: Sequence[bytes | memoryview] = (),
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
    frames
        What the updates are views of, if they may be mapped files.

    Raises
    ------
    PluginFailedError
        If the optimizer's answer does not have the model's shape and dtype, or a value is not finite.
    """
    before = model.layout.aggregated
    old = _read_only(model.part(Role.AGGREGATE).buffer)
    reduced = np.empty(before.size, np.float32)
    counts = np.asarray(samples, np.int64)
    length = min(BLOCK, max(SMALLEST, BLOCKS // max(len(updates), 1) // SMALLEST * SMALLEST))
    read = _Blocks(updates, frames, length)
    blocks = [slice(start, min(start + length, before.size)) for start in range(0, before.size, length)]
    if isinstance(reducer, SurveyingReducer):
        reducer = reducer.survey((read(block) for block in blocks), counts)
    for block in blocks:
        reducer.reduce(read(block), counts, reduced[block])
    after, next_state = optimizer.step(state, old, _read_only(reduced))
    _check_arrays(before.size, {"the model": after, **{f"its state {name!r}": a for name, a in next_state.items()}})
    return model.replaced(Weights(before, np.ascontiguousarray(after))), next_state


class _Blocks:
    """Reads one block of each update after the other."""

    def __init__(self, updates: Sequence[Buffer], frames: Sequence[bytes | memoryview], length: int) -> None:
        self._updates = updates
        self._frames = frames
        many = len(updates) > FEW and any(is_mapped(frame) for frame in frames)
        self._copies = np.empty((len(updates), length), np.float32) if many else None

    def __call__(self, block: slice) -> list[Buffer]:
        """Return a block of each update; those of the block before are not valid any more."""
        if self._copies is None:
            for frame in self._frames:
                let_go(frame)  # the block before
            return [_read_only(update[block]) for update in self._updates]
        copies = self._copies[:, : block.stop - block.start]
        for copy, update, frame in zip(copies, self._updates, self._frames, strict=True):
            copy[:] = update[block]
            let_go(frame)
        return [_read_only(copy) for copy in copies]


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
