"""How many updates of a cohort may be wrong."""

import logging
import math
from collections.abc import Callable
from typing import Final

_LOG: Final = logging.getLogger(__name__)


def share_of(share: float, count: int) -> int:
    """Return a share of some updates, rounded up: of 0.2 and 9 updates it is 2."""
    return math.ceil(round(share * count, 9))  # 0.07 * 100 is 7.000000000000001


class Attackers:
    """The number of attackers that a reducer reckons with.

    Parameters
    ----------
    reducer
        Its name.
    share
        Of a cohort's updates.
    borne
        The most that the reducer bears, by the number of updates.
    """

    def __init__(self, reducer: str, share: float, borne: Callable[[int], int]) -> None:
        self._reducer = reducer
        self._share = share
        self._borne = borne
        self._told: set[int] = set()

    def among(self, count: int) -> int:
        """Return the share of ``count`` updates, or as many as are borne of so few, which is logged once."""
        wanted, borne = share_of(self._share, count), max(self._borne(count), 0)
        if borne < wanted and count not in self._told:
            self._told.add(count)
            _LOG.warning(
                "reducer %r bears %d wrong updates among %d, and the share %g of them is %d: larger groups bear more",
                self._reducer, borne, count, self._share, wanted,
            )  # fmt: skip
        return min(wanted, borne)
