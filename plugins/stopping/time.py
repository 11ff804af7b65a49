"""Stop after some time."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from tierwise.core.stopping import RoundRecord


class TimeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `TimeRule`.

    Attributes
    ----------
    seconds
        Of federation time, which leaves out the time that the coordinator was down.
    """

    seconds: Annotated[float, msgspec.Meta(gt=0)] = 3600.0


class TimeRule:
    """Stops a group at the first round that closes so long after the group's first closed round was opened.

    It is called between rounds, so the last round is always finished, and the group takes longer by a part of it.
    """

    def __init__(self, options: TimeOptions) -> None:
        self._seconds = options.seconds

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        """Compare the times of the first and the last closed round."""
        passed = history[-1].closed_at - history[0].opened_at
        return f"{passed:.6g} s of {self._seconds:.6g} s" if passed >= self._seconds else None
