"""Stop rules: when a group's federation ends."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from tierwise.core.ids import ModelVersion, RoundNumber
from tierwise.core.metrics import Metrics
from tierwise.core.task import Task


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
    participants
        How many devices were to take part, so that each moved ``download_bytes / participants`` and, if its update
        counts, ``upload_bytes / devices``.
    energy_j
        Predicted joules of the devices whose updates count and whose power is known, together; None if none's is.
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
    participants: int = 0
    energy_j: float | None = None
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

        Raises
        ------
        NeverStopsError
            If the history shows that it can never stop the group: that ends the group, with this reason, instead of
            letting it run for ever.
        """
        ...


@runtime_checkable
class ChecksTask(Protocol):
    """What a stop rule may have besides: it goes with some tasks only, and can say so before anything starts."""

    def check_task(self, task: Task) -> None:
        """Look at what the devices will report.

        Raises
        ------
        ConfigurationError
            If the rule could never stop a group that learns this.
        """
        ...
