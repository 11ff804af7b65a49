"""The coordinator's machine: a federation without network, disk, clock or threads.

Its three faces::

    decide(input, now) -> events     judges an input; may reject it, and then changes nothing
    apply(record)                    changes the state; total, and all that replay runs
    outstanding() -> commands        what the state calls for

Whoever drives it repeats one small step: decide, log, apply, publish, perform what is outstanding. Applying the
logged records to a fresh machine gives the same state, so a restarted coordinator performs the same list.
"""

from collections.abc import Iterator, Sequence

from tierwise.core.commanding import commands
from tierwise.core.commands import Command
from tierwise.core.deciding import Rejected, judge
from tierwise.core.deciding.consequences import due_at, stirs
from tierwise.core.errors import FederationError, StoreError
from tierwise.core.events import SCHEMA_VERSION, Event, Record, UpdateAccepted
from tierwise.core.ids import BlobHash, DeviceId, GroupId
from tierwise.core.inputs import DeviceInput, Input
from tierwise.core.state import FederationState, Stage
from tierwise.core.transitions import transition

__all__ = ["Federation", "Rejected"]


class Federation:
    """A federation: `decide`, `apply`, `outstanding`.

    Attributes
    ----------
    state
        For reading only; `apply` alone changes it.
    sequence
        Of the next record.
    stirred
        Set when a record was applied after which a tick may decide something before its time (`due_at`) comes, or
        something may be outstanding that was not before. Who has ticked and looked clears it.
    """

    def __init__(self) -> None:
        self.state = FederationState()
        self.sequence = 0
        self.stirred = False
        self._latest_at = 0.0

    def decide(self, given: Input, now: float) -> tuple[Record, ...]:
        """Judge an input.

        Parameters
        ----------
        given
            What the world says.
        now
            Federation time in seconds; an earlier time than the latest record's counts as that.

        Returns
        -------
        tuple of Record
            What was decided, to be logged together or not at all, then applied one by one. Empty when the input
            changes nothing and is no mistake either.

        Raises
        ------
        Rejected
            If the input is to be refused; nothing has changed.
        """
        return self._decide(given, max(now, self._latest_at), self.sequence)

    def decide_together(self, inputs: Sequence[DeviceInput], now: float) -> list[tuple[Record, ...] | Rejected]:
        """Judge inputs about different devices, for which a log needs one commit.

        What comes of each is what would come of it alone, in any order.

        Parameters
        ----------
        inputs
            No two of them are about one device.
        now
            As for `decide`.

        Returns
        -------
        list
            For each input its records, or why it is refused. All records together are to be logged in this order or
            not at all, then applied one by one.
        """
        assert len({given.device for given in inputs}) == len(inputs), "what is said about one device has an order"
        at, sequence = max(now, self._latest_at), self.sequence
        decided: list[tuple[Record, ...] | Rejected] = []
        for given in inputs:
            try:
                records = self._decide(given, at, sequence)
            except Rejected as rejected:
                decided.append(rejected)
            else:
                decided.append(records)
                sequence += len(records)
        return decided

    def _decide(self, given: Input, at: float, sequence: int) -> tuple[Record, ...]:
        events = judge(self.state, given, at)
        return tuple(Record(sequence=number, at=at, event=event) for number, event in enumerate(events, sequence))

    def apply(self, record: Record) -> Event:
        """Change the state by a decided record, and return its event.

        Raises
        ------
        StoreError
            If the record is not the next one, or of a newer schema: the log is damaged or not ours.
        """
        if record.sequence != self.sequence:
            raise StoreError(f"the log's next record is {self.sequence}, found {record.sequence}")
        if record.schema > SCHEMA_VERSION:
            raise StoreError(
                f"record {record.sequence} has schema {record.schema}, this tierwise reads up to {SCHEMA_VERSION}: "
                "upgrade tierwise to read this log"
            )
        transition(self.state, record.event, record.at)
        self.sequence += 1
        self._latest_at = record.at
        self.stirred = self.stirred or stirs(self.state, record.event)
        return record.event

    def outstanding(self) -> Iterator[Command]:
        """Yield the commands that the state calls for; the same state gives the same ones."""
        return commands(self.state)

    @property
    def due_at(self) -> float | None:
        """The next federation time (seconds) at which a tick has consequences of its own; None for never."""
        return due_at(self.state)

    @property
    def latest_at(self) -> float:
        """Federation time of the latest record, in seconds: where a restarted coordinator's clock goes on."""
        return self._latest_at

    @property
    def ended(self) -> bool:
        """Tell whether the federation has finished or failed."""
        return self.state.stage in (Stage.FINISHED, Stage.FAILED)

    def members(self, group: GroupId) -> list[DeviceId]:
        """Return a group's devices, sorted by id.

        Raises
        ------
        FederationError
            If there is no such group.
        """
        if group not in self.state.groups:
            raise FederationError(f"there is no group {group!r}, only {sorted(self.state.groups)}")
        return sorted(self.state.groups[group].members)

    def live_blobs(self) -> set[BlobHash]:
        """Return the blobs that the state still needs; a store may delete all others."""
        live: set[BlobHash] = set()
        for group in self.state.groups.values():
            live.update(blob for blob in (group.model, group.optimizer_state) if blob is not None)
            live.update(blob for _, blob in group.peers.values())
            if group.cohort is not None:
                accepted = group.cohort.accepted.values()
                live.update(one.blob for one in accepted if isinstance(one, UpdateAccepted))
                live.add(group.cohort.opened.model)
        return live
