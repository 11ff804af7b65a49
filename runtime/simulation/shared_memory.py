"""Memory that a simulation shares with its worker processes: made, lent out and removed by the simulation alone.

Segments have names, which a process opens when it first hears of them. Places in them are lent out again after use, so
that a model of the next round goes where one of the last round was: memory that is touched for the first time costs
more than what is written there.
"""

import errno
import os
import secrets
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Final

from tierwise.core.errors import ConfigurationError
from tierwise.runtime.simulation.orders import Place

_GRAIN: Final = 4096
"""Places have a multiple of so many bytes: a page, so that their floats are aligned."""
_SEGMENT: Final = 1 << 20
"""Bytes of a segment for places that are smaller; larger ones have one each."""
_FILES: Final = Path("/dev/shm")  # noqa: S108  (where Linux has the segments, not a place for temporary files)


class OwnMemory:
    """The segments that this process made."""

    def __init__(self) -> None:
        self._segments: dict[str, SharedMemory] = {}
        self._free: defaultdict[int, list[Place]] = defaultdict(list)

    def make(self, size: int) -> str:
        """Make a segment, and return its name.

        Raises
        ------
        ConfigurationError
            If there is not so much memory to be shared.
        """
        try:
            segment = SharedMemory(f"tierwise-{os.getpid()}-{secrets.token_hex(6)}", create=True, size=size)
            self._segments[segment.name] = segment
            _reserve(segment)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.ENOMEM):
                raise
            raise ConfigurationError(
                f"{size:,} bytes of shared memory are needed for worker processes, and there are not so many left. "
                "Simulate with workers = 1, which needs none, or allow more of it (a container: docker run --shm-size)",
                key="workers",
            ) from error
        return segment.name

    def whole(self, name: str) -> memoryview:
        """Return a segment; views of it have to be gone when it is removed."""
        return _buffer(self._segments[name])

    def lend(self, size: int) -> Place:
        """Return a place for so many bytes that nobody else has; what is in it is left from others."""
        grains = max(-(-size // _GRAIN), 1) * _GRAIN
        free = self._free[grains]
        if not free:
            size = max(grains, _SEGMENT // grains * grains)
            name = self.make(size)
            free += (Place(name, start, grains) for start in range(0, size, grains))
        return free.pop()

    def take_back(self, place: Place) -> None:
        """Let others have a place that nobody reads or writes any more."""
        self._free[place.size].append(place)

    def write(self, place: Place, data: bytes | memoryview) -> Place:
        """Fill a place, and return the part of it that was filled."""
        self.whole(place.segment)[place.start : place.start + len(data)] = data
        return Place(place.segment, place.start, len(data))

    def read(self, place: Place, size: int) -> bytes:
        """Return a copy of a place's first bytes."""
        return bytes(self.whole(place.segment)[place.start : place.start + size])

    def remove(self) -> None:
        """Remove all segments; nobody uses them any more."""
        for segment in self._segments.values():
            with suppress(FileNotFoundError):
                segment.unlink()
            with suppress(BufferError):  # an exception's traceback may still hold a view: it goes with that
                segment.close()
        self._segments.clear()
        self._free.clear()


class OthersMemory:
    """The segments of another process, opened when they are first asked for."""

    def __init__(self) -> None:
        self._segments: dict[str, SharedMemory] = {}

    def whole(self, name: str) -> memoryview:
        """Return a segment."""
        if name not in self._segments:
            with _untracked():
                self._segments[name] = SharedMemory(name)
        return _buffer(self._segments[name])

    def view(self, place: Place) -> memoryview:
        """Return a place, to read or write there."""
        return self.whole(place.segment)[place.start : place.start + place.size]


def _buffer(segment: SharedMemory) -> memoryview:
    assert segment.buf is not None  # it is open
    return segment.buf


def _reserve(segment: SharedMemory) -> None:
    """Have the system set memory aside: to write where there is none would end the process without a word."""
    file = _FILES / segment.name
    if hasattr(os, "posix_fallocate") and file.exists():
        descriptor = os.open(file, os.O_RDWR)
        try:
            os.posix_fallocate(descriptor, 0, segment.size)
        finally:
            os.close(descriptor)


@contextmanager
def _untracked() -> Iterator[None]:
    """Leave a segment's removal to who made it: until Python 3.13, each who opens one takes it on to be removed."""
    tracker: Any = resource_tracker
    register = tracker.register
    tracker.register = lambda *_: None
    try:
        yield
    finally:
        tracker.register = register
