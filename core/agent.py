"""The device's machine: an agent without network, clock, disk or threads.

Every method takes what happened and the time (any monotonic clock, in seconds) and returns the actions that follow.
Whoever drives it performs them in order, and calls `tick` at `due_at`.

A device works for one cohort at a time. What it sends for a cohort it keeps, byte for byte, until the coordinator's
receipt comes; when the receipt does not come, it sends the same bytes again. An answer is made once: a transport may
repeat and reorder what is announced, and a round that was answered, or that is older than the latest one, starts no
second job.

Anything may be lost on the way, also what nobody insists on: the word that a device is in another group, a round, a
target model, the end. So a device that waits and hears nothing asks where it stands, and for what its group was told
last; and one that is dismissed before it has its target model asks for that.
"""

from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from tierwise.core import messages as m
from tierwise.core.actions import Action, Follow, KeepTarget, Leave, Send, StartJob, StopJob
from tierwise.core.envelope import SPOKEN
from tierwise.core.events import Refusal
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, cohort_id, round_number
from tierwise.core.insistence import AgentSettings, Insistence
from tierwise.core.seeds import derive_seed
from tierwise.core.weights import Weights
from tierwise.core.work import Job, JobDone


class AgentStage(StrEnum):
    """Where a device stands."""

    JOINING = "joining"
    """No `Welcome` yet."""
    JOINED = "joined"
    REFUSED = "refused"
    DISMISSED = "dismissed"


@dataclass(slots=True)
class _Running:
    job: Job
    group: GroupId
    until: float


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
        self._hello = Send(m.Hello(schema_hash=schema_hash, profile=profile, speaks=SPOKEN))
        self._settings = settings or AgentSettings()
        self._running: _Running | None = None
        self._greeting: Insistence | None = None
        """The `Hello`, until it is answered by a place in the federation."""
        self._delivering: tuple[CohortId, Insistence] | None = None
        """What a job gave, until its receipt."""
        self._declined: tuple[CohortId, Send] | None = None
        """The last refusal: it has no receipt, so it is said again whenever the round is announced again."""
        self._answered: dict[GroupId, CohortId] = {}
        """The latest cohort of each group that was given an answer."""
        self._latest: dict[GroupId, int] = {}
        """The latest round of each group that was announced."""
        self._local: dict[GroupId, Weights] = {}
        self._target: tuple[GroupId, BlobHash] | None = None
        """The target model that was kept last, and whose it is."""
        self._farewell: _Farewell | None = None
        self._told_at = 0.0
        """When the coordinator last said something to us."""
        self._told_order = 0
        """The highest order of what it said about our group since we greeted it."""
        self._highest_order = 0
        """The highest of all; an answer to a greeting that is below it is from who has forgotten something."""
        self._set_aside: tuple[m.RoundAnnounced, memoryview] | None = None
        """What was announced last while we wait for that answer, which may change what we make of it."""

    @property
    def due_at(self) -> float | None:
        """When `tick` has something to do; None for never."""
        dues = []
        if self._settings.retry_s is not None:
            dues += [insistence.due_at for insistence in self._insisting()]
        if self._running is not None:
            dues.append(self._running.until)
        if self._farewell is not None and self._farewell.until is not None:
            dues.append(self._farewell.until)
        if (poll_at := self._poll_at) is not None:
            dues.append(poll_at)
        return min(dues, default=None)

    def start(self, now: float) -> tuple[Action, ...]:
        """Say hello: at the start, and after every reconnection."""
        if self.stage in (AgentStage.REFUSED, AgentStage.DISMISSED):
            return ()
        self._greeting = Insistence(self._hello, self._settings, now)
        self._told_order = 0  # it may be another coordinator, that counts anew
        following = () if self.assignment is None else (Follow(self.assignment.group),)
        delivery = () if self._delivering is None else (self._delivering[1].send,)  # it may have been missed, too
        return (self._hello, *following, *delivery)

    def report(self, profile: HardwareProfile) -> tuple[Action, ...]:
        """Tell that the hardware has changed; every later hello tells it, too, so nobody insists on this one."""
        if self.stage in (AgentStage.REFUSED, AgentStage.DISMISSED):
            return ()
        self._hello = Send(replace(self._hello.message, profile=profile))
        if self._greeting is not None:
            self._greeting.send = self._hello
        return (self._hello,)

    def tick(self, now: float) -> tuple[Action, ...]:
        """Do what is due: repeat what was not answered, stop a job whose round is over, ask where we stand."""
        if self._farewell is not None and self._farewell.until is not None and now >= self._farewell.until:
            return self._leave(AgentStage.DISMISSED, self._farewell.reason)
        actions: list[Action] = []
        if self._running is not None and now >= self._running.until:
            actions += self._stop_running(overdue=True)
            self._told_at = now  # what comes next is announced about now
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
            case m.Welcome() | m.Assigned():
                return self._answer_to_greeting(message, now)
            case m.RoundAnnounced():
                return self._join_round(message, body, now)
            case m.Receipt():
                return self._note_receipt(message, now)
            case m.TargetAnnounced():
                return self._keep_target(message, body)
            case m.Refused():
                return self._leave(AgentStage.REFUSED, message.reason)
            case m.Dismissed():
                return self._say_farewell(message, now)
            case _:
                return ()

    def job_done(self, cohort: CohortId, done: JobDone, now: float) -> tuple[Action, ...]:
        """Send what a job gave; ignored if the job was stopped meanwhile."""
        job = self._take_running(cohort)
        if job is None:
            return ()
        if done.trained is None:
            sent = Send(m.EvaluationSent(cohort=cohort, base=job.base, metrics=done.metrics))
        else:
            trained = done.trained
            if trained.local is not None and self.assignment is not None:
                self._local[self.assignment.group] = trained.local
            message = m.UpdateSent(
                cohort=cohort, base=job.base, blob=trained.blob, samples=trained.samples, metrics=done.metrics
            )
            sent = Send(message, trained.body)
        self._delivering = (cohort, Insistence(sent, self._settings, now))
        return (sent,)

    def job_failed(self, cohort: CohortId, reason: str) -> tuple[Action, ...]:
        """Tell the coordinator that nothing will come for a cohort; ignored if the job was stopped meanwhile."""
        if self._take_running(cohort) is None:
            return ()
        sent = Send(m.TaskRefused(cohort=cohort, reason=reason))
        self._declined = (cohort, sent)
        return (sent,)

    # -- how it takes each message

    def _answer_to_greeting(self, message: m.Welcome | m.Assigned, now: float) -> tuple[Action, ...]:
        """Take the first word since a greeting, which tells how much the coordinator knows, or a later one."""
        if self._greeting is not None and message.order < self._highest_order:
            # It knows less than it did: its memory or disk was lost, or put back from a backup. Rounds that we have
            # done come again, under the same names.
            self._latest.clear()
            self._answered.clear()
            self._delivering = self._declined = None
            self._highest_order = message.order
        set_aside, self._set_aside = self._set_aside, None
        match message:
            case m.Welcome():
                actions = self._welcome(message, now)
            case m.Assigned():
                actions = self._assign(message.assignment, message.order)
        return actions if set_aside is None else (*actions, *self._join_round(*set_aside, now))

    def _welcome(self, message: m.Welcome, now: float) -> tuple[Action, ...]:
        self.stage = AgentStage.JOINED
        if message.assignment is not None:
            return self._assign(message.assignment, message.order)
        if self._greeting is not None and self.assignment is None:
            # The word that groups were formed may be lost: until it comes, ask now and then where we stand.
            self._greeting.slow_down(now)
        else:
            self._end_greeting()
        return ()

    def _assign(self, assignment: m.Assignment, order: int) -> tuple[Action, ...]:
        if order < self._told_order:
            return ()  # the transport was slow with it, or repeated it
        self._told_order = order
        self._highest_order = max(order, self._highest_order)
        if self.stage is AgentStage.JOINED:
            self._end_greeting()
        if assignment == self.assignment:
            return ()
        moved = self.assignment is not None and assignment.group != self.assignment.group
        self.assignment = assignment
        return (*(self._stop_running() if moved else ()), Follow(assignment.group))

    def _join_round(self, message: m.RoundAnnounced, body: memoryview, now: float) -> tuple[Action, ...]:
        if self.assignment is None or message.group != self.assignment.group:
            return ()
        number = round_number(message.cohort)
        if number < 1 or message.cohort != cohort_id(message.group, number):
            return ()  # no round of this group has that name
        self._highest_order = max(message.order, self._highest_order)
        self._set_aside = (message, body) if self._greeting is not None else None
        if number < self._latest.get(message.group, number):
            return ()  # over long since: the transport repeated it
        self._latest[message.group] = number
        if message.cohort == self._answered.get(message.group):
            return self._answer_again(message.cohort)
        if self._running is not None and self._running.job.cohort == message.cohort:
            self._running.until = now + message.deadline_in_s  # a coordinator that was away has as much time left
            return ()
        stopped = self._stop_running(overdue=True)  # an older round of this group is over
        if message.participants is not None and self.device not in message.participants:
            return stopped
        job = Job(
            cohort=message.cohort,
            purpose=message.purpose,
            tier=self.assignment.tier,
            base=message.model,
            model=body,
            budget=message.budget,
            seed=derive_seed(message.seed, self.device),
            local=self._local.get(message.group),
        )
        self._delivering = None  # nobody waits for an older round's update any more
        self._running = _Running(job, message.group, now + message.deadline_in_s)
        return (*stopped, StartJob(job))

    def _answer_again(self, cohort: CohortId) -> tuple[Action, ...]:
        """Repeat the answer to a round that is announced again: the coordinator may not have it."""
        if self._delivering is not None and self._delivering[0] == cohort:
            return (self._delivering[1].send,)
        if self._declined is not None and self._declined[0] == cohort:
            return (self._declined[1],)
        return ()

    def _note_receipt(self, message: m.Receipt, now: float) -> tuple[Action, ...]:
        if self._delivering is None or self._delivering[0] != message.cohort:
            return ()
        self._delivering = None
        if message.refusal is Refusal.UNKNOWN_DEVICE:  # the coordinator lost its memory: introduce ourselves again
            self.stage = AgentStage.JOINING
            return self.start(now)
        return ()

    def _keep_target(self, message: m.TargetAnnounced, body: memoryview) -> tuple[Action, ...]:
        if self.assignment is None or message.group != self.assignment.group:
            return ()
        stopped = self._stop_running()
        self._target = (message.group, message.model)
        kept = KeepTarget(
            group=message.group,
            version=message.version,
            model=message.model,
            frame=bytes(body),
            reason=message.reason,
        )
        left: tuple[Action, ...] = ()
        if self._farewell is not None and self._farewell.target == message.model:
            left = self._leave(AgentStage.DISMISSED, self._farewell.reason)
        return (*stopped, kept, *left)

    def _say_farewell(self, message: m.Dismissed, now: float) -> tuple[Action, ...]:
        """Leave, unless the target model is still on its way, or lost on it: then ask for it first."""
        has_it = self._target is not None and self._target[1] == message.target
        if message.target is None or has_it:
            return self._leave(AgentStage.DISMISSED, message.reason)
        if self._farewell is not None:
            return ()
        stopped = self._stop_running()
        self._delivering = None
        if self._settings.retry_s is None:  # it cannot be lost
            self._farewell = _Farewell(message.reason, message.target, until=None)
            return stopped
        self._farewell = _Farewell(message.reason, message.target, now + self._settings.farewell_s)
        return (*stopped, *self.start(now))

    def _leave(self, stage: AgentStage, reason: str) -> tuple[Action, ...]:
        self.stage = stage
        self._greeting = self._delivering = self._farewell = None
        return (*self._stop_running(), Leave(reason, refused=stage is AgentStage.REFUSED))

    # -- the pieces

    @property
    def _poll_at(self) -> float | None:
        """When to ask where we stand, if nothing comes until then; None while we do or insist on something."""
        busy = self._running is not None or self._insisting() or self._farewell is not None
        if self._settings.poll_s is None or self.stage is not AgentStage.JOINED or busy:
            return None
        return self._told_at + self._settings.poll_s

    def _ask(self, now: float) -> tuple[Action, ...]:
        """Ask the coordinator where we stand, and our group's topic for what is retained there."""
        self._greeting = Insistence(self._hello, self._settings, now)
        group = None if self.assignment is None else self.assignment.group
        has_target = self._target is not None and self._target[0] == group  # nothing else will be retained there
        return (self._hello,) if group is None or has_target else (self._hello, Follow(group))

    def _end_greeting(self) -> None:
        if self._farewell is None:  # else it asks for the target model, and the welcome comes before that
            self._greeting = None

    def _insisting(self) -> list[Insistence]:
        delivery = None if self._delivering is None else self._delivering[1]
        return [insistence for insistence in (self._greeting, delivery) if insistence is not None]

    def _stop_running(self, *, overdue: bool = False) -> tuple[Action, ...]:
        if self._running is None:
            return ()
        cohort = self._running.job.cohort
        self._running = None
        return (StopJob(cohort, overdue),)

    def _take_running(self, cohort: CohortId) -> Job | None:
        """Return the job that was running, whose cohort has its answer now."""
        if self._running is None or self._running.job.cohort != cohort:
            return None
        running, self._running = self._running, None
        self._answered[running.group] = cohort
        return running.job
