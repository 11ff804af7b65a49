"""The device's machine: an agent without network, clock, disk or threads.

Every method takes what happened and the time (any monotonic clock, in seconds) and returns the actions that follow.
Whoever drives it performs them in order, and calls `tick` at `due_at`.

A device works for one cohort at a time: its own group's, and when that leaves it time, those of weaker groups whose
guest it is (`tierwise.core.agenda`). What it sends for a cohort it keeps, byte for byte, until the coordinator's
receipt comes; when the receipt does not come, it sends the same bytes again (`tierwise.core.replies`). An answer is
made once: a transport may repeat and reorder what is announced, and a round that was answered, or that is older than
the latest one of its group, starts no second job.

Anything may be lost on the way, also what nobody insists on: the word that a device is in another group, a round, a
target model, the end. So a device that waits and hears nothing asks where it stands, and for what its group was told
last; and one that is dismissed before it has its target model asks for that.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from tierwise.core import messages as m
from tierwise.core.actions import Action, Follow, KeepTarget, Leave, Send
from tierwise.core.agenda import Agenda, Task
from tierwise.core.envelope import SPOKEN
from tierwise.core.events import Refusal
from tierwise.core.feedback import Feedback
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId
from tierwise.core.insistence import AgentSettings, Insistence
from tierwise.core.replies import Replies
from tierwise.core.seeds import derive_seed
from tierwise.core.tiers import Tier
from tierwise.core.weights import Weights
from tierwise.core.work import Job, JobDone

_TOO_LITTLE_TIME: Final = "the work of its own group leaves it too little time, by the prediction"


class AgentStage(StrEnum):
    """Where a device stands."""

    JOINING = "joining"
    """No `Welcome` yet."""
    JOINED = "joined"
    REFUSED = "refused"
    DISMISSED = "dismissed"


@dataclass(slots=True)
class _Farewell:
    """A dismissal that waits for the target model."""

    reason: str
    target: BlobHash
    until: float | None


class AgentMachine:
    """A device's side of the protocol.

    Parameters
    ----------
    device
        Its id.
    schema_hash
        Of its data's task.
    profile
        What its probes measured.
    settings
        How it insists.
    """

    def __init__(
        self, device: DeviceId, schema_hash: str, profile: HardwareProfile, settings: AgentSettings | None = None
    ) -> None:
        self.device = device
        self.stage = AgentStage.JOINING
        self.assignment: m.Assignment | None = None
        self._hello = Send(m.Hello(schema_hash=schema_hash, profile=profile, speaks=SPOKEN, visits=True))
        self._profile = profile
        self._settings = settings or AgentSettings()
        self._also: dict[GroupId, m.Assignment] = {}
        """The weaker groups whose guest it may be."""
        self._agenda = Agenda()
        self._greeting: Insistence | None = None
        """The `Hello`, until it is answered by a place in the federation."""
        self._replies = Replies(self._settings)
        self._latest: dict[GroupId, int] = {}
        """The latest round of each group that was announced."""
        self._local: dict[GroupId, Weights] = {}
        self._feedback = Feedback(device)
        self._target: tuple[GroupId, BlobHash] | None = None
        """The target model that was kept last, and whose it is."""
        self._farewell: _Farewell | None = None
        self._told_at = 0.0
        """When the coordinator last said something to us."""
        self._told_order = 0
        """The highest order of what it said about our group since we greeted it."""
        self._highest_order = 0
        """The highest of all; an answer to a greeting that is below it is from who has forgotten something."""
        self._set_aside: dict[GroupId, tuple[m.RoundAnnounced, memoryview]] = {}
        """What was announced last while we wait for that answer, which may change what we make of it."""

    @property
    def due_at(self) -> float | None:
        """When `tick` has something to do; None for never."""
        due_at = self._agenda.due_at
        if self._settings.retry_s is not None:
            for insistence in self._insisting():
                due_at = _sooner(due_at, insistence.due_at)
        if self._farewell is not None:
            due_at = _sooner(due_at, self._farewell.until)
        return due_at if self._settings.poll_s is None else _sooner(due_at, self._poll_at)

    def start(self, now: float) -> tuple[Action, ...]:
        """Say hello: at the start, and after every reconnection."""
        if self.stage in (AgentStage.REFUSED, AgentStage.DISMISSED):
            return ()
        self._greeting = Insistence(self._hello, self._settings, now)
        self._told_order = 0  # it may be another coordinator, that counts anew
        return (self._hello, *self._follow(), *self._replies.under_way)  # the last may have been missed, too

    def report(self, profile: HardwareProfile) -> tuple[Action, ...]:
        """Tell that the hardware has changed; every later hello tells it, too, so nobody insists on this one."""
        if self.stage in (AgentStage.REFUSED, AgentStage.DISMISSED):
            return ()
        self._hello = Send(replace(self._hello.message, profile=profile))
        self._profile = profile
        if self._greeting is not None:
            self._greeting.send = self._hello
        return (self._hello,)

    def tick(self, now: float) -> tuple[Action, ...]:
        """Do what is due: repeat what was not answered, stop a job whose round is over, ask where we stand."""
        if self._farewell is not None and self._farewell.until is not None and now >= self._farewell.until:
            return self._leave(AgentStage.DISMISSED, self._farewell.reason)
        actions: list[Action] = []
        if expired := self._agenda.expire(now):
            actions += expired
            self._told_at = now  # what comes next is announced about now
        actions += self._go_on(now)
        if self._settings.retry_s is not None:
            for insistence in self._insisting():
                if now >= insistence.due_at:
                    actions.append(insistence.repeat(now))
        if (poll_at := self._poll_at) is not None and now >= poll_at:
            actions += self._ask(now)
        return tuple(actions)

    def receive(self, message: m.CoordinatorMessage, body: memoryview, now: float) -> tuple[Action, ...]:
        """Take a message of the coordinator's."""
        if self.stage in (AgentStage.REFUSED, AgentStage.DISMISSED):
            return ()
        actions = self._take(message, body, now)
        if actions or not isinstance(message, m.RoundAnnounced):
            self._told_at = now  # but a round without us may mean that the coordinator believes us lost
        return actions

    def _take(self, message: m.CoordinatorMessage, body: memoryview, now: float) -> tuple[Action, ...]:
        match message:
            case m.RoundAnnounced():
                return self._join_round(message, body, now)
            case m.Receipt():
                return self._note_receipt(message, now)
            case m.Welcome() | m.Assigned():
                return self._answer_to_greeting(message, now)
            case m.TargetAnnounced():
                return self._keep_target(message, body, now)
            case m.Refused():
                return self._leave(AgentStage.REFUSED, message.reason)
            case m.Dismissed():
                return self._say_farewell(message, now)
            case _:
                return ()

    def job_done(self, cohort: CohortId, done: JobDone, now: float) -> tuple[Action, ...]:
        """Send what a job gave; ignored if the job was stopped meanwhile."""
        task = self._agenda.finish(cohort)
        if task is None:
            return ()
        job = task.job
        if done.trained is None:
            sent = Send(m.EvaluationSent(cohort=cohort, base=job.base, metrics=done.metrics))
        else:
            trained = done.trained
            if trained.local is not None:
                self._local[task.group] = trained.local
            self._feedback.send(task.group, cohort, trained.lost)
            message = m.UpdateSent(
                cohort=cohort, base=job.base, blob=trained.blob, samples=trained.samples, metrics=done.metrics
            )
            sent = Send(message, trained.body)
        return (*self._replies.deliver(task.group, cohort, sent, now), *self._go_on(now))

    def job_failed(self, cohort: CohortId, reason: str, now: float) -> tuple[Action, ...]:
        """Tell the coordinator that nothing will come for a cohort; ignored if the job was stopped meanwhile."""
        task = self._agenda.finish(cohort)
        if task is None:
            return ()
        return (self._decline(task, reason), *self._go_on(now))

    # -- how it takes each message

    def _answer_to_greeting(self, message: m.Welcome | m.Assigned, now: float) -> tuple[Action, ...]:
        """Take the first word since a greeting, which tells how much the coordinator knows, or a later one."""
        if self._greeting is not None and message.order < self._highest_order:
            # It knows less than it did: its memory or disk was lost, or put back from a backup. Rounds that we have
            # done come again, under the same names.
            self._latest.clear()
            self._replies.forget()
            self._feedback.forget()
            self._highest_order = message.order
        set_aside, self._set_aside = self._set_aside, {}
        match message:
            case m.Welcome():
                actions = self._welcome(message, now)
            case m.Assigned():
                actions = self._assign(message.assignment, message, now)
        rounds = [action for announced in set_aside.values() for action in self._join_round(*announced, now)]
        return (*actions, *rounds)

    def _welcome(self, message: m.Welcome, now: float) -> tuple[Action, ...]:
        self.stage = AgentStage.JOINED
        if message.assignment is not None:
            return self._assign(message.assignment, message, now)
        if self._greeting is not None and self.assignment is None:
            # The word that groups were formed may be lost: until it comes, ask now and then where we stand.
            self._greeting.slow_down(now)
        else:
            self._end_greeting()
        return ()

    def _assign(self, assignment: m.Assignment, told: m.Welcome | m.Assigned, now: float) -> tuple[Action, ...]:
        if told.order < self._told_order:
            return ()  # the transport was slow with it, or repeated it
        self._told_order = told.order
        self._highest_order = max(told.order, self._highest_order)
        if self.stage is AgentStage.JOINED:
            self._end_greeting()
        also = {one.group: one for one in told.also if one.group != assignment.group}
        if assignment == self.assignment and also == self._also:
            return ()
        left = None if self.assignment is None else self.assignment.group
        self.assignment, self._also = assignment, also
        self._agenda.own = self._replies.own = assignment.group
        stopped: tuple[Action, ...] = ()
        if left is not None and left != assignment.group:
            stopped = self._agenda.drop(left)
            self._feedback.drop(left)
        return (*stopped, *self._follow(), *self._go_on(now))

    def _join_round(self, message: m.RoundAnnounced, body: memoryview, now: float) -> tuple[Action, ...]:
        assignment, number = self._assignment_to(message.group), message.number
        if assignment is None or number is None:
            return ()
        self._highest_order = max(message.order, self._highest_order)
        if self._greeting is not None:
            self._set_aside[message.group] = message, body
        if number < self._latest.get(message.group, number):
            return ()  # over long since: the transport repeated it
        self._latest[message.group] = number
        self._feedback.settle(message)
        if self._replies.answered(message.group, message.cohort):
            return self._replies.again(message.group, message.cohort)
        if self._agenda.prolong(message.cohort, now + message.deadline_in_s):
            return self._go_on(now)  # a coordinator that was away has as much time left
        stopped = self._agenda.drop(message.group, overdue=True)  # an older round of this group is over
        if self._invited(message):
            self._replies.supersede(message.group)
            task = self._task(message, body, assignment.tier, now)
            stopped += (*self._replies.go_on(now), *self._agenda.add(task))
        return (*stopped, *self._go_on(now))

    def _invited(self, message: m.RoundAnnounced) -> bool:
        member = self.assignment is not None and message.group == self.assignment.group
        chosen = message.participants is None or self.device in message.chosen
        return (member and chosen) or self.device in message.guests

    def _task(self, message: m.RoundAnnounced, body: memoryview, tier: Tier, now: float) -> Task:
        job = Job(
            cohort=message.cohort,
            purpose=message.purpose,
            tier=tier,
            base=message.model,
            model=body,
            budget=message.budget,
            seed=derive_seed(message.seed, self.device),
            local=self._local.get(message.group),
            lost=self._feedback.of(message.group),
        )
        most = message.budget.max_samples  # as the coordinator reckons, who does not know how many samples we have
        compute_s = tier.cost.compute_s(self._profile, fit_samples=most, evaluate_samples=most)
        until = now + message.deadline_in_s
        return Task(job, message.group, until, needs_s=compute_s + tier.cost.upload_s(self._profile))

    def _note_receipt(self, message: m.Receipt, now: float) -> tuple[Action, ...]:
        if not self._replies.receive(message.cohort):
            return ()
        self._feedback.receive(message)
        next_one = self._replies.go_on(now)
        if message.refusal is Refusal.UNKNOWN_DEVICE:  # the coordinator lost its memory: introduce ourselves again
            self.stage = AgentStage.JOINING
            return self.start(now)
        return next_one

    def _keep_target(self, message: m.TargetAnnounced, body: memoryview, now: float) -> tuple[Action, ...]:
        stopped = self._agenda.drop(message.group)
        if self.assignment is None or message.group != self.assignment.group:
            return (*stopped, *self._go_on(now))
        self._target = (message.group, message.model)
        kept = KeepTarget(
            group=message.group,
            version=message.version,
            model=message.model,
            frame=bytes(body),
            reason=message.reason,
        )
        if self._farewell is not None and self._farewell.target == message.model:
            return (*stopped, kept, *self._leave(AgentStage.DISMISSED, self._farewell.reason))
        return (*stopped, kept, *self._go_on(now))

    def _say_farewell(self, message: m.Dismissed, now: float) -> tuple[Action, ...]:
        """Leave, unless the target model is still on its way, or lost on it: then ask for it first."""
        has_it = self._target is not None and self._target[1] == message.target
        if message.target is None or has_it:
            return self._leave(AgentStage.DISMISSED, message.reason)
        if self._farewell is not None:
            return ()
        stopped = self._agenda.clear()
        self._replies.end()
        if self._settings.retry_s is None:  # it cannot be lost
            self._farewell = _Farewell(message.reason, message.target, until=None)
            return stopped
        self._farewell = _Farewell(message.reason, message.target, now + self._settings.farewell_s)
        return (*stopped, *self.start(now))

    def _leave(self, stage: AgentStage, reason: str) -> tuple[Action, ...]:
        self.stage = stage
        self._greeting = self._farewell = None
        self._replies.end()
        return (*self._agenda.clear(), Leave(reason, refused=stage is AgentStage.REFUSED))

    # -- the pieces

    @property
    def _poll_at(self) -> float | None:
        """When to ask where we stand, if nothing comes until then; None while we do or insist on something."""
        busy = self._agenda.running is not None or self._insisting() or self._farewell is not None
        if self._settings.poll_s is None or self.stage is not AgentStage.JOINED or busy:
            return None
        return self._told_at + self._settings.poll_s

    def _ask(self, now: float) -> tuple[Action, ...]:
        """Ask the coordinator where we stand, and our groups' topics for what is retained there."""
        self._greeting = Insistence(self._hello, self._settings, now)
        group = None if self.assignment is None else self.assignment.group
        has_target = self._target is not None and self._target[0] == group  # nothing else will be retained there
        return (self._hello,) if has_target and not self._also else (self._hello, *self._follow())

    def _follow(self) -> tuple[Action, ...]:
        return () if self.assignment is None else (Follow(self.assignment.group, tuple(self._also)),)

    def _assignment_to(self, group: GroupId) -> m.Assignment | None:
        if self.assignment is not None and self.assignment.group == group:
            return self.assignment
        return self._also.get(group)

    def _end_greeting(self) -> None:
        if self._farewell is None:  # else it asks for the target model, and the welcome comes before that
            self._greeting = None

    def _insisting(self) -> list[Insistence]:
        both = (self._greeting, self._replies.insistence)
        return [insistence for insistence in both if insistence is not None]

    def _go_on(self, now: float) -> tuple[Action, ...]:
        """Say of which rounds nothing will come, and begin the next job."""
        if not self._agenda.waits:
            return ()
        declined = [self._decline(task, _TOO_LITTLE_TIME) for task in self._agenda.give_up(now)]
        return (*declined, *self._agenda.begin(now))

    def _decline(self, task: Task, reason: str) -> Send:
        sent = Send(m.TaskRefused(cohort=task.job.cohort, reason=reason))
        self._replies.decline(task.group, task.job.cohort, sent)
        return sent


def _sooner(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
