"""A cohort's spooled updates, read one block of each after the other."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.coding import SumsCoded
from tierwise.core.weights import Buffer
from tierwise.runtime.pages import Window, can_bring, is_mapped, let_go

BLOCK: Final = 1 << 20
"""Elements of a block at the most: 4 MiB of each update."""
BLOCKS: Final = 1 << 23
"""Elements of the blocks of all updates together: 32 MiB."""
SHOWN: Final = 1 << 24
"""Likewise of mapped files: 64 MiB, which the system takes back when it needs them. Twice as many blocks would be twice
the work with pages."""
SMALLEST: Final = 1 << 12
"""Elements of a block at the least: below that, calling the reducer takes longer than what it does. All blocks but the
last have a multiple of it, so that a survey that adds up stretches of an update adds up the same whatever the block."""
TOGETHER: Final = 16
"""Coded updates that are summed at once: a system may bring 2 MB of a mapped file for each byte that is read."""


class UpdateBlocks:
    """Reads updates as a device sent them, block by block.

    Values that nobody coded are read where they are. Of mapped files no more than a block of each is in memory, so that
    it stays the same however many there are; where a system has no way to keep to that, blocks are copied, one file
    after the other, which takes two to four times as long.

    Parameters
    ----------
    coding
        How they are coded.
    frames
        What was sent, checked, in the order in which it is reduced; they may be mapped files.
    """

    def __init__(self, coding: CodedUpdates, frames: Sequence[bytes | memoryview]) -> None:
        self._coding = coding
        self._frames = frames
        self._mapped: Sequence[bytes | memoryview] = frames if any(map(is_mapped, frames)) else ()
        self._updates = []
        for number, frame in enumerate(frames):
            self._updates.append(coding.read(frame, "an update"))
            self._let_go(slice(number, number + 1))  # nothing of it has to be in memory yet
        self._plain: list[Buffer] | None = None
        self._windows: list[Window] = []
        if coding.plain and (can_bring() or not self._mapped):
            self._plain = [next(iter(arrays.values())) for arrays in self._updates]
            self._windows = [
                Window(frame, values)
                for frame, values in zip(frames, self._plain, strict=True)
                if is_mapped(frame) and not values.flags.owndata  # it stood askew, and is a copy
            ]
        share = (SHOWN if self._windows else BLOCKS) // max(len(frames), 1) // SMALLEST * SMALLEST
        self._length = min(BLOCK, max(SMALLEST, share))
        self._room: NDArray[np.float32] | None = None

    def slices(self) -> list[slice]:
        """Return the blocks of an update, in order."""
        size = self._coding.layout.size
        return [slice(start, min(start + self._length, size)) for start in range(0, size, self._length)]

    def read(self, block: slice) -> list[Buffer]:
        """Return a block of each update, read-only; those of the block before are not valid any more."""
        if self._plain is not None:
            for window in self._windows:
                window.show(block)
            return [update[block] for update in self._plain]
        if self._room is None:
            self._room = np.empty((len(self._frames), min(self._length, self._coding.layout.size)), np.float32)
        rows = self._room[:, : block.stop - block.start]
        for number, (row, arrays) in enumerate(zip(rows, self._updates, strict=True)):
            self._coding.codec.decode(arrays, block, row)
            self._let_go(slice(number, number + 1))
        return [_read_only(row) for row in rows]

    def let_go(self) -> None:
        """Have nothing of them in memory any more, until something is read again."""
        self._room = None
        self._let_go()

    @property
    def sums(self) -> bool:
        """Whether `weighted_sum` is there: updates that nobody coded need no way of their own."""
        return not self._coding.plain and isinstance(self._coding.codec, SumsCoded)

    def weighted_sum(self, weights: NDArray[np.int64], block: slice, out: Buffer, *, divisor: int) -> None:
        """Set ``out`` to a block of ``sum over k of weights[k] / divisor * updates[k]``, if the codec `sums` itself.

        The codec sums so many updates as may be in memory together; such sums are added pairwise, so that rounding
        grows with the logarithm of their number.
        """
        sums: list[Buffer] = []
        for count, start in enumerate(range(0, len(self._updates), TOGETHER), start=1):
            room = out if start == 0 else np.empty_like(out)
            self._sum(slice(start, start + TOGETHER), weights, block, room, divisor)
            sums.append(room)
            while count % 2 == 0:  # each trailing zero bit of the count is a pair that is complete
                _add_last(sums)
                count //= 2
        while len(sums) > 1:
            _add_last(sums)

    def _sum(self, some: slice, weights: NDArray[np.int64], block: slice, out: Buffer, divisor: int) -> None:
        codec = self._coding.codec
        assert isinstance(codec, SumsCoded), "sums tells"
        codec.weighted_sum(self._updates[some], weights[some], block, out, divisor=divisor)
        self._let_go(some)

    def _let_go(self, some: slice = slice(None)) -> None:
        for frame in self._mapped[some]:
            let_go(frame)


def _add_last(sums: list[Buffer]) -> None:
    """Add the last sum to the one before it."""
    last = sums.pop()
    sums[-1] += last


def _read_only(buffer: Buffer) -> Buffer:
    view = buffer.view()
    view.flags.writeable = False
    return view
