"""Stop after a number of rounds."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from tierwise.core.stopping import RoundRecord


class RoundsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `RoundsRule`.

    Attributes
    ----------
    rounds
        Closed rounds after which a group stops; abandoned ones do not count.
    """

    rounds: Annotated[int, msgspec.Meta(ge=1)] = 30


class RoundsRule:
    """Stops a group that has closed so many rounds."""

    def __init__(self, options: RoundsOptions) -> None:
        self._rounds = options.rounds

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        """Count the closed rounds."""
        if len(history) < self._rounds:
            return None
        return f"{self._rounds} round{'' if self._rounds == 1 else 's'}"
