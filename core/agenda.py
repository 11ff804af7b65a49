"""What a device has to do: one job at a time, its own group's before any other's.

A job of the own group is begun at once. One that runs for a group where the device is a guest is stopped for it, and
begun anew afterwards, if there is time for it then: a job is a pure function, and gives the same again. A guest's job
that cannot be done in time any more, as far as the prediction tells, is given up before it is begun.
"""

from dataclasses import dataclass

from tierwise.core.actions import Action, StartJob, StopJob
from tierwise.core.ids import CohortId, GroupId
from tierwise.core.work import Job


@dataclass(slots=True)
class Task:
    """A job and its time, by the device's clock in seconds.

    Attributes
    ----------
    job, group
        What is to be done, for whom.
    until
        When its round is over.
    needs_s
        What it takes to compute and to send, as predicted.
    begun_at
        When it was begun; of one that runs.
    """

    job: Job
    group: GroupId
    until: float
    needs_s: float
    begun_at: float = 0.0


class Agenda:
    """The job that runs, and those that wait for it: one of each group at the most.

    Attributes
    ----------
    own
        The group that the device is a member of.
    running
        The job that runs.
    """

    def __init__(self) -> None:
        self.own: GroupId | None = None
        self.running: Task | None = None
        self._waiting: list[Task] = []

    @property
    def due_at(self) -> float | None:
        """When to look whether a round is over, or a job that waits comes too late; None for never."""
        if not self._waiting:
            return None if self.running is None else self.running.until
        due_at = min(_latest_start(task) for task in self._waiting)
        return due_at if self.running is None else min(due_at, self.running.until)

    @property
    def waits(self) -> bool:
        """Tell whether any job waits."""
        return bool(self._waiting)

    def prolong(self, cohort: CohortId, until: float) -> bool:
        """Set when a round is over; tell whether there is a job for it."""
        for task in self._all():
            if task.job.cohort == cohort:
                task.until = until
                return True
        return False

    def add(self, task: Task) -> tuple[Action, ...]:
        """Take a job, which `begin` begins; one of the own group has what runs stopped."""
        if task.group != self.own:
            self._waiting.append(task)
            return ()
        interrupted, self.running = self.running, None
        if interrupted is None:
            self._waiting.insert(0, task)
            return ()
        self._waiting[:0] = [task, interrupted]
        return (StopJob(interrupted.job.cohort),)

    def begin(self, now: float) -> tuple[Action, ...]:
        """Begin what comes next, if nothing runs."""
        if self.running is not None or not self._waiting:
            return ()
        self.running = self._waiting.pop(0)
        self.running.begun_at = now
        return (StartJob(self.running.job),)

    def give_up(self, now: float) -> list[Task]:
        """Take out, and return, the guest's jobs that cannot be done in time after those before them."""
        ahead_s = 0.0 if self.running is None else _left_s(self.running, now)
        kept: list[Task] = []
        hopeless: list[Task] = []
        for task in self._waiting:
            if task.group != self.own and now >= _latest_start(task) - ahead_s:
                hopeless.append(task)
            else:
                kept.append(task)
                ahead_s += task.needs_s
        self._waiting = kept
        return hopeless

    def finish(self, cohort: CohortId) -> Task | None:
        """Take out the job that runs, if it is for this cohort: it has come to its end."""
        if self.running is None or self.running.job.cohort != cohort:
            return None
        finished, self.running = self.running, None
        return finished

    def drop(self, group: GroupId, *, overdue: bool = False) -> tuple[Action, ...]:
        """Forget a group's job; ``overdue`` if its round is over."""
        self._waiting = [task for task in self._waiting if task.group != group]
        if self.running is None or self.running.group != group:
            return ()
        return self._stop(overdue=overdue)

    def expire(self, now: float) -> tuple[Action, ...]:
        """Stop what runs when its round is over."""
        if self.running is None or now < self.running.until:
            return ()
        return self._stop(overdue=True)

    def clear(self) -> tuple[Action, ...]:
        """Forget everything."""
        self._waiting = []
        return self._stop()

    def _stop(self, *, overdue: bool = False) -> tuple[Action, ...]:
        stopped, self.running = self.running, None
        return () if stopped is None else (StopJob(stopped.job.cohort, overdue),)

    def _all(self) -> list[Task]:
        return self._waiting if self.running is None else [self.running, *self._waiting]


def _latest_start(task: Task) -> float:
    return task.until - task.needs_s


def _left_s(task: Task, now: float) -> float:
    return max(task.begun_at + task.needs_s - now, 0.0)
