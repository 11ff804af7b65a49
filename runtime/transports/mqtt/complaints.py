"""What a person is told of once, however often it happens: whoever sends nonsense must not fill the log."""

import logging
from collections.abc import Hashable
from typing import Final

LIMIT: Final = 1000
"""Subjects of which a person is told."""


class Complaints:
    """Warns once of each subject; after that it is for debugging only.

    Parameters
    ----------
    log
        Where to.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: set[Hashable] = set()

    def tell(self, subject: Hashable, message: str, *args: object) -> None:
        """Tell, with the arguments of a log's method."""
        if subject in self._told or len(self._told) >= LIMIT:
            self._log.debug(message, *args)
            return
        self._told.add(subject)
        self._log.warning(f"{message} (more of this kind is only counted)", *args)
