"""What the coding of a device's updates has lost, until it is sent after all.

A codec with *feedback* rounds, or leaves values out; the device keeps the difference and adds it to its next update
(`tierwise.core.coding.Codec.feedback`). What is kept must follow from what the coordinator has: an update that never
became part of a model took nothing with it.

So what an update would leave behind is *pending* until the group's next round is announced. The announcement tells
which cohort made the model, and whose updates were left out of it. Where a later cohort made it, because the device was
away for a while, the receipt decides; and without one the update is taken not to count, so that something may be sent
twice but nothing is lost. What was trained in a round that did not count is lost, as it is without a codec.

An update that was refused for what is in it takes everything with it: what it held would be refused again.
"""

from dataclasses import dataclass

from tierwise.core.events import Refusal
from tierwise.core.ids import CohortId, DeviceId, GroupId, round_number
from tierwise.core.messages import Receipt, RoundAnnounced
from tierwise.core.weights import Buffer


@dataclass(slots=True)
class _Pending:
    cohort: CohortId
    lost: Buffer
    received: bool = False


class Feedback:
    """What a device keeps for each group.

    Parameters
    ----------
    device
        Whose it is.
    """

    def __init__(self, device: DeviceId) -> None:
        self._device = device
        self._lost: dict[GroupId, Buffer] = {}
        self._pending: dict[GroupId, _Pending] = {}

    def of(self, group: GroupId) -> Buffer | None:
        """Return what to add to a group's next update; None for nothing."""
        return self._lost.get(group)

    def send(self, group: GroupId, cohort: CohortId, lost: Buffer | None) -> None:
        """Note what an update leaves behind, if it counts."""
        if lost is not None:
            self._pending[group] = _Pending(cohort, lost)

    def receive(self, receipt: Receipt) -> None:
        """Note whether an update was taken."""
        for group, pending in list(self._pending.items()):
            if pending.cohort == receipt.cohort:
                pending.received = receipt.refusal is None
                if receipt.refusal is Refusal.MALFORMED:
                    self.drop(group)

    def settle(self, announced: RoundAnnounced) -> None:
        """Take what a group's next round tells of the update before."""
        pending = self._pending.get(announced.group)
        if pending is None or pending.cohort == announced.cohort:
            return
        del self._pending[announced.group]
        if self._counts(pending, announced):
            self._lost[announced.group] = pending.lost

    def _counts(self, pending: _Pending, announced: RoundAnnounced) -> bool:
        if announced.made_by == pending.cohort:
            return self._device not in announced.left_out
        made_before = announced.made_by is None or round_number(announced.made_by) < round_number(pending.cohort)
        return pending.received and not made_before

    def drop(self, group: GroupId) -> None:
        """Keep nothing more for a group."""
        self._lost.pop(group, None)
        self._pending.pop(group, None)

    def forget(self) -> None:
        """Leave open what is pending: the rounds come again, under the same names."""
        self._pending.clear()
