"""A TCP proxy that is a bad network: it can be cut, hold everything back, be slow, and be far away."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HOST = "127.0.0.1"
PIECE_BYTES = 2048
"""Read at once: small, so that a slow link is slow evenly."""
WINDOW_BYTES = 128 * 1024
"""Of the sockets' own buffers: what a link holds beside what its ends do. With less than a segment, it crawls."""
_Pieces = asyncio.Queue[tuple[float, bytes]]


class Proxy:
    """Carries connections to one server until it is told otherwise. Its methods may be called from any thread.

    Attributes
    ----------
    port
        Of `HOST`; the same over all cuts.
    carried_bytes
        What it has passed on, both ways.
    sent_bytes
        What of that went to the server.
    connections
        How many were made through it.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.carried_bytes = 0
        self.sent_bytes = 0
        self.connections = 0
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._bytes_per_s: float | None = None
        self._delay_s = 0.0

    # -- what a network does

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self._do(self._close)

    def mend(self) -> None:
        """Be a good network again; what was held back comes through."""
        self._bytes_per_s, self._delay_s = None, 0.0
        self._do(self._listen)
        self._loop.call_soon_threadsafe(self._flowing.set)

    def stall(self) -> None:
        """Take what comes and pass nothing on, without a word to either end."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def slow_down(self, bytes_per_s: float) -> None:
        """Pass on so many bytes a second, of each connection and in each direction."""
        self._bytes_per_s = bytes_per_s

    def delay(self, seconds: float) -> None:
        """Pass everything on that much later, in each direction."""
        self._delay_s = seconds

    # -- its own life

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Carry connections as long as the context lasts."""
        thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        thread.start()
        try:
            self._loop.call_soon_threadsafe(self._flowing.set)
            self._do(self._listen)
            yield self
        finally:
            self._do(self._close)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def _do(self, what: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(what(), self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, limit=PIECE_BYTES)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._carry(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writers = [writer]
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target, limit=PIECE_BYTES)
            writers.append(there_writer)
            for one in writers:
                one.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
                one.transport.set_write_buffer_limits(0)
            both = ((reader, there_writer, True), (there_reader, writer, False))
            ways = [asyncio.create_task(self._way(*way)) for way in both]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)  # whoever leaves, both do
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the server is not there
        finally:
            for one in writers:
                one.transport.abort()

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        pieces: _Pieces = asyncio.Queue(64)
        filling = asyncio.create_task(self._fill(reader, pieces))
        try:
            while True:
                due_at, piece = await pieces.get()
                await asyncio.sleep(max(due_at - self._loop.time(), 0))
                if self._bytes_per_s is not None:
                    await asyncio.sleep(len(piece) / self._bytes_per_s)
                await self._flowing.wait()
                if not piece:
                    return
                self.carried_bytes += len(piece)
                self.sent_bytes += len(piece) if up else 0
                writer.write(piece)
                await writer.drain()
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    async def _fill(self, reader: asyncio.StreamReader, pieces: _Pieces) -> None:
        piece = b"-"
        while piece:
            try:
                piece = await reader.read(PIECE_BYTES)
            except OSError:
                piece = b""  # broken off is an end, too
            await pieces.put((self._loop.time() + self._delay_s, piece))
