"""Stop rules: when a group's federation ends."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tierwise.core.ids import ModelVersion, RoundNumber
from tierwise.core.metrics import Metrics


class RoundRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A closed round of a group.

    Attributes
    ----------
    round
        Its number; abandoned rounds leave gaps.
    version
        Of the model that the round made.
    metrics
        Of the model that it started from (version ``version - 1``), on the survivors' hold-outs.
    opened_at, closed_at
        In seconds of federation time.
    devices
        How many updates went into the model.
    samples
        The sum of their weights.
    download_bytes, upload_bytes
        Traffic of all participants together: the model to each, the updates that were accepted.
    test
        Metrics of the model that the round made, on the coordinator's own test set; empty without one.
    """

    round: RoundNumber
    version: ModelVersion
    metrics: Metrics
    opened_at: float
    closed_at: float
    devices: int
    samples: int
    download_bytes: int
    upload_bytes: int
    test: Metrics = {}


class StopRule(Protocol):
    """Decides when a group has learned enough: a plugin, made as ``Class(options)`` or ``Class()``."""

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        """Return why the group should stop, for people (``"30 rounds"``), or None.

        A pure function, called after each closed round.

        Parameters
        ----------
        history
            The group's closed rounds, the first one first; at least one.
        """
        ...
