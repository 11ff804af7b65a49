"""Sends what the machines of the link give, when the network can take it."""

import asyncio
from collections.abc import Awaitable, Callable

import anyio

from tierwise.runtime.transports.mqtt.connection import Connection

Sending = Callable[[], Awaitable[object]]
"""Sends one message."""


class Pump:
    """Draws and sends, one message at a time, as long as there is a connection.

    A message is drawn when the one before it has been written to the network: a slow network slows the machines, and
    nothing piles up.

    Parameters
    ----------
    connection
        Without it, nothing is drawn.
    draw
        Lets the machines do what is due, and returns how to send what comes next, or None if there is nothing.
    due_at
        Tells when to draw again if nothing happens before, by the event loop's clock; None for never.
    """

    def __init__(
        self, connection: Connection, draw: Callable[[float], Sending | None], due_at: Callable[[], float | None]
    ) -> None:
        self._connection = connection
        self._draw = draw
        self._due_at = due_at
        self._woken = anyio.Event()

    def wake(self) -> None:
        """Say that there may be something to draw."""
        self._woken.set()

    async def run(self) -> None:
        """Draw and send, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._connection.wait_connected()
            self._woken = anyio.Event()
            send = self._draw(loop.time())
            if send is not None:
                await send()
                continue
            due_at = self._due_at()
            with anyio.move_on_after(None if due_at is None else max(due_at - loop.time(), 0)):
                await self._woken.wait()
