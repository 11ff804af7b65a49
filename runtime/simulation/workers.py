"""Who does the jobs of simulated devices: the contract, and the simulation's own thread.

A job is begun when its device begins it, in virtual time, and its result is taken when it is due. In between, other
processes may compute; the simulation waits for a result that is due and not there yet, so that the clock never passes
it. What a job gives is the same whoever does it, so who does it decides nothing but how long that takes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.ids import DeviceId
from tierwise.core.learning import FitStopped, Learner, LocalData, StopToken
from tierwise.core.tiers import Tier
from tierwise.core.work import Job, JobDone, ModelReader, UpdateNamer, content_name, perform
from tierwise.runtime.exceptions import told_to_coordinator


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A job that gave nothing, and why, as the coordinator is told."""

    reason: str


class BegunJob(Protocol):
    """A job that was begun, and is then either taken or dropped."""

    def take(self) -> JobDone | JobFailed:
        """Return what it gave, once; wait for it if need be.

        Raises
        ------
        FitStopped
            If the simulation was told to stop.
        FederationError
            If whoever did it is gone.
        """
        ...

    def drop(self) -> None:
        """Let nobody compute it who has not begun to; nothing of it is wanted any more."""
        ...


class Workers(Protocol):
    """Do jobs of simulated devices."""

    def begin(self, device: DeviceId, job: Job, due_at: float) -> BegunJob:
        """Take a job on.

        Parameters
        ----------
        device
            Whose data it is for.
        job
            What to do.
        due_at
            When it is taken, by the simulation's clock, if it is not dropped before: what is due first is done first.
        """
        ...


class InThread:
    """Does a job in the simulation's own thread when it is taken: what is dropped is never computed.

    Parameters
    ----------
    data
        Each device's own, as its models get it.
    make_learner, coding_of
        Give the learner of a tier, and how its updates are coded; one serves all devices, since they are pure.
    stop
        Ends the training when told to.
    name
        Names updates.
    """

    def __init__(
        self,
        data: Mapping[DeviceId, LocalData],
        make_learner: Callable[[Tier], Learner],
        coding_of: Callable[[Tier], CodedUpdates],
        stop: StopToken,
        name: UpdateNamer = content_name,
    ) -> None:
        self._data = data
        self._make_learner = make_learner
        self._coding_of = coding_of
        self._stop = stop
        self._read = ModelReader()
        self._name = name

    def begin(self, device: DeviceId, job: Job, due_at: float) -> BegunJob:  # noqa: ARG002  (nobody computes ahead)
        """Keep it in mind."""
        return _Postponed(self, device, job)

    def do(self, device: DeviceId, job: Job) -> JobDone | JobFailed:
        """Do a job now."""
        return attempt(job, self._make_learner, self._coding_of, self._data[device], self._stop, self._read, self._name)


@dataclass(slots=True, eq=False)
class _Postponed:
    workers: InThread
    device: DeviceId
    job: Job

    def take(self) -> JobDone | JobFailed:
        return self.workers.do(self.device, self.job)

    def drop(self) -> None:
        pass


def attempt(
    job: Job,
    make_learner: Callable[[Tier], Learner],
    coding_of: Callable[[Tier], CodedUpdates],
    data: LocalData,
    stop: StopToken,
    read: ModelReader,
    name: UpdateNamer,
) -> JobDone | JobFailed:
    """Do a job; as on a real device, a learner's mistake is told to the coordinator.

    Parameters
    ----------
    job, make_learner, coding_of, data, stop
        What to do, with what, until it is told to stop.
    read
        Reads its model.
    name
        Names its update.

    Raises
    ------
    FitStopped
        If ``stop`` was told to.
    """
    try:
        return perform(job, make_learner(job.tier), coding_of(job.tier), data, stop, read=read, name=name)
    except FitStopped:
        raise
    except Exception as error:
        return JobFailed(told_to_coordinator(error))
