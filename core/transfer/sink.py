"""Where the bytes of an envelope go."""

from typing import Protocol

from tierwise.core.envelope import ALIGNMENT, lead


class Sink(Protocol):
    """Takes an envelope chunk by chunk, in any order, each byte once.

    What it raises comes out of the machine's `receive`, with the chunk not taken: it comes again.
    """

    def write(self, offset: int, data: memoryview) -> None:
        """Write at an offset. The view is good for this call only."""
        ...

    def discard(self) -> None:
        """Forget everything: the envelope will not be completed. Called at most once, and last."""
        ...


class BufferSink:
    """Keeps an envelope in memory; in such a place, if it comes from its beginning on, that its body is aligned.

    Parameters
    ----------
    size
        Bytes of the envelope.

    Attributes
    ----------
    data
        The envelope.
    """

    def __init__(self, size: int) -> None:
        self._room = bytearray(size + ALIGNMENT - 1)
        self._empty = True
        self._size = size
        self.data = memoryview(self._room)[:size]

    def write(self, offset: int, data: memoryview) -> None:
        """Write at an offset."""
        if self._empty and offset == 0:
            begin = lead(data)
            self.data = memoryview(self._room)[begin : begin + self._size]
        self._empty = False
        self.data[offset : offset + len(data)] = data

    def discard(self) -> None:
        """Free the memory."""
        self._room = bytearray()
        self.data = memoryview(self._room)
