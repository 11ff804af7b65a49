"""Watching a federation."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import anyio

from tierwise.core import events as e
from tierwise.core.bus import EventBus, Subscription

Happening = e.Event | e.Notice


@dataclass(slots=True)
class _Reading:
    subscription: Subscription[Happening] | None = None


class EventStream(AsyncIterator[Happening]):
    """What happens in a federation, from the first step of the iteration on; it ends with the federation.

    Parameters
    ----------
    bus
        Where it happens.
    types
        Which events and notices.
    lossless
        Whether the federation waits for this reader.
    """

    def __init__(self, bus: EventBus, types: tuple[type[Happening], ...], *, lossless: bool) -> None:
        # No reference from the generator back to here: who breaks out of the loop drops both at once, and the
        # federation no longer waits for him.
        self._reading = _Reading()
        self._happenings = _read(bus, types, lossless, self._reading)

    @property
    def dropped(self) -> int:
        """How many events an observer has missed because it was slow."""
        subscription = self._reading.subscription
        return 0 if subscription is None else subscription.dropped

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> Happening:
        return await anext(self._happenings)

    async def aclose(self) -> None:
        """Stop watching."""
        await self._happenings.aclose()


async def _read(
    bus: EventBus, types: tuple[type[Happening], ...], lossless: bool, reading: _Reading
) -> AsyncGenerator[Happening, None]:
    with suppress(anyio.ClosedResourceError):  # the federation has ended already
        async with bus.subscribe(*types, observer=not lossless, name="events()") as reading.subscription:
            async for happening in reading.subscription:
                yield happening
