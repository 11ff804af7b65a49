"""The contracts of the edges: transports, stores, compute. What has the network, the disk and the threads."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, runtime_checkable

import msgspec

from tierwise.core.envelope import Letter
from tierwise.core.events import Record
from tierwise.core.ids import BlobHash, DeviceId, GroupId

T = TypeVar("T")


class Arrived(msgspec.Struct, frozen=True):
    """An envelope that a device sent.

    Attributes
    ----------
    device
        Its sender, as the transport knows it.
    data
        The envelope; a view of a large one may be of a file. A `Letter` from a `LetterTransport`.
    at
        When its last byte came, by the event loop's clock in seconds: what a deadline is compared with. None where
        that is when it is yielded.
    """

    device: DeviceId
    data: bytes | memoryview | Letter
    at: float | None = None


class ConnectionLost(msgspec.Struct, frozen=True):
    """A device's connection broke.

    Attributes
    ----------
    device, reason
        Whose, and why.
    shut_out
        Whether nothing more is taken from it: it should be told so, or it would wait for an answer for ever.
    """

    device: DeviceId
    reason: str
    shut_out: bool = False


class Reconnected(msgspec.Struct, frozen=True):
    """A device's own connection broke and is there again, or the coordinator is a new one: it should say hello."""


class CoordinatorTransport(Protocol):
    """The coordinator's end. It carries envelopes, and may lose, repeat and reorder them."""

    def connect(self) -> AbstractAsyncContextManager[None]:
        """Be connected as long as the context lasts."""
        ...

    def receive(self) -> AsyncGenerator[Arrived | ConnectionLost, None]:
        """Yield what devices send, while connected."""
        ...

    def arriving_since(self) -> float | None:
        """Return when the oldest came of what is complete and was not yielded yet, by the event loop's clock.

        No deadline after that is judged before it is yielded. None if there is nothing, or if that does not take long.
        """
        ...

    async def send(self, device: DeviceId, data: bytes) -> None:
        """Send an envelope to one device."""
        ...

    async def broadcast(self, group: GroupId, data: bytes) -> None:
        """Send an envelope once for all devices that follow the group's topic.

        It is retained: who follows the group later gets the latest one.
        """
        ...


@runtime_checkable
class LetterTransport(Protocol):
    """The coordinator's end, in the place of a `CoordinatorTransport`, where devices share its memory.

    What is said passes as it is, at once, and nothing is encoded or copied. All else is as there.
    """

    def connect(self) -> AbstractAsyncContextManager[None]:
        """See `CoordinatorTransport.connect`."""
        ...

    def receive(self) -> AsyncGenerator[Arrived | ConnectionLost, None]:
        """See `CoordinatorTransport.receive`."""
        ...

    def arriving_since(self) -> float | None:
        """See `CoordinatorTransport.arriving_since`."""
        ...

    def hand(self, device: DeviceId, letter: Letter) -> None:
        """Let one device have a letter."""
        ...

    def hand_round(self, group: GroupId, letter: Letter) -> None:
        """Let all devices that follow the group's topic have a letter, and who follows it later the latest one."""
        ...


class AgentTransport(Protocol):
    """A device's end."""

    def connect(self) -> AbstractAsyncContextManager[None]:
        """Be connected as long as the context lasts."""
        ...

    def receive(self) -> AsyncGenerator[bytes | memoryview | Reconnected, None]:
        """Yield the envelopes for this device and for the groups that it follows, and each reconnection."""
        ...

    async def send(self, data: bytes) -> None:
        """Send an envelope to the coordinator."""
        ...

    async def follow(self, group: GroupId, *also: GroupId) -> None:
        """Listen to the topics of these groups, and to no other's; the first is the device's own group.

        The envelopes retained there arrive, also if the groups are followed already and one did not arrive then.
        """
        ...

    def link(self) -> Mapping[str, float]:
        """Return what the transport has learnt of its link from what it has carried.

        Any of these quantities, empty where it has learnt nothing: ``round_trip_s``, the time to the other side of
        the link and back; ``uplink_bytes_per_s`` and ``downlink_bytes_per_s``, the rate that large envelopes reached.
        """
        ...


class Store(Protocol):
    """The federation's disk: the log, and content-addressed blobs beside it.

    One coordinator at a time has it.
    """

    def open(self) -> AbstractAsyncContextManager[None]:
        """Hold the store as long as the context lasts.

        Raises
        ------
        StoreError
            If another coordinator holds it, or it is damaged.
        """
        ...

    async def append(self, records: Sequence[Record]) -> None:
        """Write records, all or none; when this returns they are there for good."""
        ...

    async def records(self) -> Sequence[Record]:
        """Return the log from its beginning."""
        ...

    async def put(self, data: bytes | memoryview) -> BlobHash:
        """Keep a blob and return its address; one that is there already stays as it is.

        It is there for good when the next `append` returns, at the latest.
        """
        ...

    async def get(self, blob: BlobHash) -> memoryview:
        """Return a blob, read-only.

        Raises
        ------
        BlobMissingError
            If it is not there.
        """
        ...

    async def get_all(self, blobs: Sequence[BlobHash]) -> Sequence[memoryview]:
        """Return blobs, read-only, in that order: the updates of a cohort are many, and wanted together.

        Raises
        ------
        BlobMissingError
            If one of them is not there.
        """
        ...

    async def delete(self, blobs: Sequence[BlobHash]) -> None:
        """Forget blobs; those that are not there are left out."""
        ...

    async def blobs(self) -> Sequence[BlobHash]:
        """Return the addresses of all blobs, sorted."""
        ...


@runtime_checkable
class HoldingStore(Store, Protocol):
    """A store that also holds what is in memory already, as it is."""

    def hold(self, data: memoryview, blob: BlobHash) -> None:
        """Keep a blob under a name that its maker vouches for; nobody writes to it any more."""
        ...


class Compute(Protocol):
    """Where work that takes long is done: worker threads, or right here."""

    async def run(self, function: Callable[[], T]) -> T:
        """Call ``function`` and return its result; when cancelled, what it still computes is abandoned."""
        ...
