"""Where the bytes of an envelope go."""

from typing import Protocol


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
    """Keeps an envelope in memory.

    Parameters
    ----------
    size
        Bytes of the envelope.
    """

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)

    def write(self, offset: int, data: memoryview) -> None:
        """Write at an offset."""
        self.data[offset : offset + len(data)] = data

    def discard(self) -> None:
        """Free the memory."""
        self.data = bytearray()
