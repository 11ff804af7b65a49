"""What has happened in a federation, for browsers that watch it."""

from collections.abc import AsyncGenerator
from typing import Final

import anyio
import msgspec

from tierwise.core import Event

KEEP_ALIVE_S: Final = 15.0
"""A comment is sent after so many seconds without an event, or proxies would take the connection for dead."""


class History:
    """A federation's events as a stream of server-sent events that any number of readers follow, each at its own pace.

    Event n has the id n, which is its record's number in the federation's log: a browser that was away tells the last
    one that it has seen, and goes on from there. A reader is but a place in the list, so a slow one costs nobody
    anything. The list takes some 300 bytes an event: models and updates are not in events.
    """

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._news = anyio.Event()
        self.ended = False

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, event: Event) -> None:
        """Append what has happened."""
        name = str(type(event).__struct_config__.tag)
        text = msgspec.json.encode(event)  # which has no line breaks
        self._frames.append(b"event: %s\nid: %d\ndata: %s\n\n" % (name.encode(), len(self._frames), text))
        self._tell()

    def end(self) -> None:
        """Let every reader come to its end."""
        self.ended = True
        self._tell()

    async def read(self, start: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield the events from one on, and then those to come, until the end."""
        while True:
            news = self._news
            while start < len(self._frames):
                yield self._frames[start]
                start += 1
            if self.ended:
                return
            with anyio.move_on_after(KEEP_ALIVE_S) as waiting:
                await news.wait()
            if waiting.cancelled_caught:
                yield b": nothing new\n\n"

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()
