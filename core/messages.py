"""What devices and the coordinator say to each other.

A message is a header (one of these classes) and, where the class says so, a body: a frame of weights
(`tierwise.core.framing`). `tierwise.core.envelope` puts both into bytes. Who sent a device's message is the
transport's knowledge, not the message's.
"""

from functools import cached_property

import msgspec

from tierwise.core.events import Purpose, Refusal
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, ModelVersion, RoundNumber, cohort_id, round_number
from tierwise.core.learning import FitBudget
from tierwise.core.metrics import Metrics
from tierwise.core.task import Task
from tierwise.core.tiers import Tier


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """A header."""


# -- from a device


class DeviceMessage(Message, frozen=True, kw_only=True):
    """Said by a device."""


class Hello(DeviceMessage, frozen=True, kw_only=True, tag="hello"):
    """I want to join, or am back, or ask where I stand. Repeated until the `Welcome`.

    ``speaks`` are the oldest and the newest version of the protocol that I speak. ``visits``: I can take part in rounds
    of weaker groups, as a guest.
    """

    schema_hash: str
    profile: HardwareProfile
    speaks: tuple[int, int] = (1, 1)
    visits: bool = False


class UpdateSent(DeviceMessage, frozen=True, kw_only=True, tag="update"):
    """My update for a cohort; its body is the delta, repeated byte for byte until the `Receipt`.

    ``base`` is the hash of the model that it started from, ``blob`` the hash of the body, ``metrics`` the ones of
    ``base`` on my hold-out.
    """

    cohort: CohortId
    base: BlobHash
    blob: BlobHash
    samples: int
    metrics: Metrics


class EvaluationSent(DeviceMessage, frozen=True, kw_only=True, tag="evaluation"):
    """My evaluation of a final model."""

    cohort: CohortId
    base: BlobHash
    metrics: Metrics


class TaskRefused(DeviceMessage, frozen=True, kw_only=True, tag="task-refused"):
    """I will not deliver for this cohort."""

    cohort: CohortId
    reason: str


class Goodbye(DeviceMessage, frozen=True, kw_only=True, tag="goodbye"):
    """I leave for now; a `Hello` brings me back."""

    reason: str


# -- from the coordinator


class CoordinatorMessage(Message, frozen=True, kw_only=True):
    """Said by the coordinator."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A device's group, and the tier that it computes with.

    ``task`` is what the coordinator wants learned and measured, of the same data as the device's own task; None from
    one that does not tell, which means the device's own.
    """

    group: GroupId
    tier: Tier
    task: Task | None = None


class Welcome(CoordinatorMessage, frozen=True, kw_only=True, tag="welcome"):
    """You are in; ``assignment`` is None until groups are formed.

    ``version`` of the protocol is what we speak from now on; ``order`` and ``also`` as in `Assigned`.
    """

    federation: str
    assignment: Assignment | None
    version: int = 1
    order: int = 0
    also: tuple[Assignment, ...] = ()


class Refused(CoordinatorMessage, frozen=True, kw_only=True, tag="refused"):
    """You are not in, and why."""

    refusal: Refusal
    reason: str


class Assigned(CoordinatorMessage, frozen=True, kw_only=True, tag="assigned"):
    """You are in this group from now on.

    ``order`` is the length of the coordinator's log. Of two of these messages, the one with the higher order is the
    newer, and the other says nothing any more. An answer to a `Hello` with a lower order than anything before comes
    from a coordinator whose log was put back, and whose rounds come again.

    ``also`` are the weaker groups, and their tiers, in whose rounds you may be a guest.
    """

    assignment: Assignment
    order: int = 0
    also: tuple[Assignment, ...] = ()


class RoundAnnounced(CoordinatorMessage, frozen=True, kw_only=True, tag="round", dict=True):
    """A round is open for a group; the body is the group's model, whose hash is ``model``.

    ``participants`` is None for the whole group. ``guests`` of stronger groups take part, too: they train the model
    when their own group's work leaves them the time, and refuse the task at once when it does not. ``deadline_in_s``
    counts from the sending, by the coordinator's clock, which alone decides. ``order`` as in `Assigned`.

    Where updates are coded, ``made_by`` is the cohort whose updates made the model, None before the first; and
    ``left_out`` are those of its participants whose updates did not come into it.
    """

    group: GroupId
    cohort: CohortId
    purpose: Purpose
    model: BlobHash
    participants: tuple[DeviceId, ...] | None
    budget: FitBudget
    seed: int
    deadline_in_s: float
    order: int = 0
    guests: tuple[DeviceId, ...] = ()
    made_by: CohortId | None = None
    left_out: tuple[DeviceId, ...] = ()

    @cached_property
    def number(self) -> RoundNumber | None:
        """The number of the round; None if no round of the group has the cohort's name."""
        number = round_number(self.cohort)
        return number if number >= 1 and self.cohort == cohort_id(self.group, number) else None

    @cached_property
    def chosen(self) -> frozenset[DeviceId]:
        """The participants, where they are not the whole group."""
        return frozenset(self.participants or ())


class Receipt(CoordinatorMessage, frozen=True, kw_only=True, tag="receipt"):
    """I have your update or evaluation, in the log; or it does not count, and why (``refusal``)."""

    cohort: CohortId
    refusal: Refusal | None
    reason: str


class TargetAnnounced(CoordinatorMessage, frozen=True, kw_only=True, tag="target"):
    """Your group has its target model, which is the body."""

    group: GroupId
    version: ModelVersion
    model: BlobHash
    reason: str


class Dismissed(CoordinatorMessage, frozen=True, kw_only=True, tag="dismissed"):
    """The federation has ended, or you were removed: nothing more will come.

    ``target`` is the hash of the target model that you end with; who does not have it yet may still ask, with a
    `Hello`. None if there is none for you.
    """

    reason: str
    target: BlobHash | None = None
