"""What a device has said to rounds, and says again until it is received.

It sends one thing at a time, its own group's first: over a thin link two uploads at once would each take twice as long,
and the transport may carry one alone. What comes next is sent when the receipt of the one before is there.
"""

from tierwise.core.actions import Send
from tierwise.core.ids import CohortId, GroupId
from tierwise.core.insistence import AgentSettings, Insistence


class Replies:
    """The latest answer to each group.

    Parameters
    ----------
    settings
        How the device insists.

    Attributes
    ----------
    own
        The group that the device is a member of.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self.own: GroupId | None = None
        self._settings = settings
        self._answered: dict[GroupId, CohortId] = {}
        """The latest cohort that was given an answer."""
        self._unreceived: dict[GroupId, tuple[CohortId, Send]] = {}
        """What jobs gave, until their receipts."""
        self._declined: dict[GroupId, tuple[CohortId, Send]] = {}
        """The last refusal: it has no receipt, so it is said again whenever the round is announced again."""
        self._insisting: tuple[GroupId, Insistence] | None = None
        """What is under way of what has no receipt."""

    @property
    def insistence(self) -> Insistence | None:
        """What is to be repeated, and when."""
        return None if self._insisting is None else self._insisting[1]

    @property
    def under_way(self) -> tuple[Send, ...]:
        """What has been sent and has no receipt."""
        return () if self._insisting is None else (self._insisting[1].send,)

    def answered(self, group: GroupId, cohort: CohortId) -> bool:
        """Tell whether a cohort was given an answer."""
        return self._answered.get(group) == cohort

    def deliver(self, group: GroupId, cohort: CohortId, send: Send, now: float) -> tuple[Send, ...]:
        """Note what a job gave, and return what to send."""
        self.supersede(group)
        self._answered[group] = cohort
        self._unreceived[group] = cohort, send
        return self.go_on(now)

    def decline(self, group: GroupId, cohort: CohortId, send: Send) -> None:
        """Note that the device has said that nothing will come."""
        self._answered[group] = cohort
        self._declined[group] = cohort, send

    def again(self, group: GroupId, cohort: CohortId) -> tuple[Send, ...]:
        """Return the answer to a round that is announced again: the coordinator may not have it."""
        for said in (self._unreceived, self._declined):
            latest, send = said.get(group, (None, None))
            if latest == cohort and send is not None:
                waits = said is self._unreceived and (self._insisting is None or self._insisting[0] != group)
                return () if waits else (send,)
        return ()

    def receive(self, cohort: CohortId) -> bool:
        """Take a receipt; tell whether anything was waiting for it."""
        for group, (latest, _) in self._unreceived.items():
            if latest == cohort:
                self.supersede(group)
                return True
        return False

    def supersede(self, group: GroupId) -> None:
        """Forget what has no receipt: nobody waits for an older round's update any more."""
        self._unreceived.pop(group, None)
        if self._insisting is not None and self._insisting[0] == group:
            self._insisting = None

    def go_on(self, now: float) -> tuple[Send, ...]:
        """Return what to send next, if that is not under way already."""
        if not self._unreceived:
            return ()
        group = self.own if self.own in self._unreceived else next(iter(self._unreceived))
        if self._insisting is not None and self._insisting[0] == group:
            return ()
        send = self._unreceived[group][1]
        self._insisting = group, Insistence(send, self._settings, now)
        return (send,)

    def end(self) -> None:
        """Insist on nothing any more."""
        self._unreceived.clear()
        self._insisting = None

    def forget(self) -> None:
        """Forget everything: the rounds come again, under the same names."""
        self.end()
        self._answered.clear()
        self._declined.clear()
