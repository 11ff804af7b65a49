"""Tells of samples that a data source left out since they lack a value."""

from typing import Final

from tierwise.core.describing import Dropping
from tierwise.core.learning import DataSource

_TOLD: Final = 5
"""How many files are named."""


def left_out(source: DataSource) -> str | None:
    """Say which samples the data source left out, if any, the files with the most first."""
    dropped = source.dropped() if isinstance(source, Dropping) else ()
    if not dropped:
        return None
    most = sorted(dropped, key=lambda one: -one.samples)
    more = sum(one.samples for one in most[_TOLD:])
    return "; ".join(map(str, most[:_TOLD])) + (f"; {more} more of {len(most) - _TOLD} others" if more else "")
