"""What a device's machine asks of whoever drives it; see `tierwise.core.agent`."""

import msgspec

from tierwise.core import messages as m
from tierwise.core.ids import BlobHash, CohortId, GroupId, ModelVersion
from tierwise.core.work import Job


class Send(msgspec.Struct, frozen=True):
    """Send a message with its body."""

    message: m.DeviceMessage
    body: bytes | memoryview = b""


class Follow(msgspec.Struct, frozen=True):
    """Listen to the topics of these groups and to no other's: our own, and those whose guest we may be.

    What is retained there is wanted, also when we do already.
    """

    group: GroupId
    also: tuple[GroupId, ...] = ()


class StartJob(msgspec.Struct, frozen=True):
    """Do a job, then call `AgentMachine.job_done` or `AgentMachine.job_failed`."""

    job: Job


class StopJob(msgspec.Struct, frozen=True):
    """Stop the running job; what it still says is ignored.

    ``overdue`` tells that its round is over, and had been for it: the device was too slow.
    """

    cohort: CohortId
    overdue: bool = False


class KeepTarget(msgspec.Struct, frozen=True):
    """Keep a target model; its frame's hash is ``model``."""

    group: GroupId
    version: ModelVersion
    model: BlobHash
    frame: bytes
    reason: str


class Leave(msgspec.Struct, frozen=True):
    """Nothing more will come; ``refused`` tells that the device was never let in."""

    reason: str
    refused: bool


Action = Send | Follow | StartJob | StopJob | KeepTarget | Leave
