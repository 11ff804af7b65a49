"""What a simulation and its worker processes say to each other, and where in shared memory the rest of it is."""

from typing import Final

import msgspec

from tierwise.core.events import Purpose
from tierwise.core.ids import BlobHash, CohortId, DeviceId, TierName
from tierwise.core.learning import FitBudget
from tierwise.core.metrics import Metrics
from tierwise.core.tiers import Tier


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Bytes in a segment of shared memory."""

    segment: str
    start: int
    size: int


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """What a round asks of all its devices, as in a `tierwise.core.work.Job`; its tier was told before."""

    cohort: CohortId
    purpose: Purpose
    tier: TierName
    base: BlobHash
    model: Place
    budget: FitBudget


class Order(msgspec.Struct, frozen=True, array_like=True):
    """A job of one device.

    Attributes
    ----------
    ticket
        Names it in the answer, and the flag that says that nobody wants it any more.
    device, seed
        As in the job.
    ask
        Which one of the batch's.
    local
        The frame of the device's *local* tensors, if it has some.
    lost
        What coding has lost of earlier updates, if that is kept.
    body, trained_local, still_lost
        Where the update's frame goes, that of the *local* tensors as trained, and what coding has lost then; None where
        there will be none.
    """

    ticket: int
    device: DeviceId
    seed: int
    ask: int
    local: Place | None
    lost: Place | None
    body: Place | None
    trained_local: Place | None
    still_lost: Place | None


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Orders to be done one after the other, and tiers that the process does not know."""

    tiers: list[Tier]
    asks: list[Ask]
    orders: list[Order]


class Result(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A job was done; the update, if there is one, is where the order said, so many bytes of it."""

    metrics: Metrics
    blob: BlobHash | None
    samples: int
    body_size: int
    local_size: int
    lost_size: int


class Failed(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A job gave nothing, as the coordinator shall be told."""

    reason: str


class Stopped(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A job was stopped, or not begun any more."""


class Unmade(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The tier's learner cannot be made in the process."""

    reason: str


class Broken(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """What came of a job cannot be told."""

    reason: str


Outcome = Result | Failed | Stopped | Unmade | Broken


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What came of an order, and how long it took, in seconds of the process's clock."""

    ticket: int
    seconds: float
    outcome: Outcome


ENCODER: Final = msgspec.msgpack.Encoder()
BATCHES: Final = msgspec.msgpack.Decoder(Batch)
ANSWERS: Final = msgspec.msgpack.Decoder(list[Answer])
