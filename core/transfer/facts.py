"""What has come of a transfer: the answers of `receive` and `tick`."""

from dataclasses import dataclass

from tierwise.core.transfer.outline import TransferId
from tierwise.core.transfer.sink import Sink


@dataclass(frozen=True, slots=True)
class Received:
    """The coordinator has a sender's envelope, whole and verified; said once.

    Attributes
    ----------
    sender, transfer, size
        Whose, which, and its bytes.
    sink
        What it was written to; the caller's from now on.
    last_chunk_at
        When its last chunk arrived: what a deadline is compared with.
    """

    sender: str
    transfer: TransferId
    size: int
    sink: Sink
    last_chunk_at: float


@dataclass(frozen=True, slots=True)
class Repeated:
    """A sender offers again what was received: it knows that it arrived, or will, but misses an answer to it.

    Whoever took the envelope answers again, or calls `UploadDesk.forget`, and it is sent anew.
    """

    sender: str
    transfer: TransferId


@dataclass(frozen=True, slots=True)
class Refused:
    """A sender's offer is above a limit, and was dropped."""

    sender: str
    transfer: TransferId
    reason: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A sender's upload was given up: nothing new came for too long. Its sink was discarded."""

    sender: str
    transfer: TransferId
    arrived: int
    count: int


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The coordinator says that it has the device's envelope; said once for each offer. It is no receipt."""

    transfer: TransferId


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The device has a broadcast envelope, whole and verified; said once.

    Attributes
    ----------
    transfer, tag, size
        Which, what for, and its bytes.
    sink
        What it was written to; the caller's from now on.
    """

    transfer: TransferId
    tag: str
    size: int
    sink: Sink
