"""Python's search for circles of objects, which a simulation has reason to do without for longer."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_OBJECTS: Final = 50_000
"""Objects that are made between two searches: what a round makes, and mostly gives back by itself."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let the search be rarer: what each device has is looked at each time, and it is nearly never a circle."""
    found = gc.get_threshold()
    if found[0]:  # else it is switched off
        gc.set_threshold(max(found[0], _OBJECTS), *found[1:])
    try:
        yield
    finally:
        gc.set_threshold(*found)
