"""An envelope being put together: a bit for each chunk, the outline, and a sink. The bytes are never kept here."""

from collections.abc import Callable, Iterator

from tierwise.core.transfer.counters import LinkCounters
from tierwise.core.transfer.outline import Outline, chunk_hash
from tierwise.core.transfer.sink import Sink


class Reassembly:
    """Takes verified chunks in any order and passes them on at once.

    Parameters
    ----------
    outline
        What the envelope is made of.
    open_sink
        Gives the sink; called when there is something to write.
    counters
        Where each chunk is counted.
    """

    def __init__(self, outline: Outline, open_sink: Callable[[], Sink], counters: LinkCounters) -> None:
        self.outline = outline
        self.arrived = 0
        self._open_sink = open_sink
        self._counters = counters
        self._sink: Sink | None = None
        self._bits = bytearray(-(-outline.count // 8))

    def __contains__(self, index: int) -> bool:
        return bool(self._bits[index >> 3] & (1 << (index & 7)))

    @property
    def complete(self) -> bool:
        """Whether every chunk has arrived."""
        return self.arrived == self.outline.count

    @property
    def sink(self) -> Sink:
        """What was written to; there is none before the first chunk."""
        assert self._sink is not None
        return self._sink

    def take(self, index: int, data: memoryview) -> bool:
        """Write a chunk if it is new and right, count it in any case, and tell whether it was."""
        if index >= self.outline.count:
            self._counters.out_of_range += 1
        elif index in self:
            self._counters.duplicate += 1
        elif len(data) < self.outline.length(index):
            self._counters.truncated += 1
        elif len(data) > self.outline.length(index):
            self._counters.oversized += 1
        elif chunk_hash(data) != self.outline.hash(index):
            self._counters.wrong_hash += 1
        else:
            if self._sink is None:
                self._sink = self._open_sink()
            self._sink.write(self.outline.offset(index), data)
            self._bits[index >> 3] |= 1 << (index & 7)  # only now: what a sink did not take comes again
            self.arrived += 1
            self._counters.accepted += 1
            return True
        return False

    def missing(self) -> Iterator[int]:
        """Yield what has not arrived, ascending."""
        return (index for index in range(self.outline.count) if index not in self)

    def discard(self) -> None:
        """Forget what was written."""
        if self._sink is not None:
            self._sink.discard()


def above_limits(outline: Outline, size: int, chunk_size: int, count: int) -> str:
    """Return why an outline is not accepted, or an empty text."""
    if outline.size > size:
        return f"an envelope of {outline.size} bytes, {size} are allowed"
    if outline.chunk_size > chunk_size:
        return f"chunks of {outline.chunk_size} bytes, {chunk_size} are allowed"
    if outline.count > count:
        return f"an envelope of {outline.count} chunks, {count} are allowed: use larger ones"
    return ""
