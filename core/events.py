"""Facts: what the federation's machine decided, in the past tense.

A class is at once the event on the bus, the record in the log and its schema. Only what the machine decided is an
`Event`; what passes by without changing the federation (a rejected input, a subscriber that failed) is a `Notice`,
which goes over the same bus and is never logged.
"""

from enum import StrEnum
from functools import reduce
from operator import or_
from typing import Final, get_args

import msgspec

from tierwise.core.hardware import HardwareEnvelope, HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, ModelVersion, RoundNumber
from tierwise.core.metrics import Metrics
from tierwise.core.settings import FederationSettings
from tierwise.core.tiers import OptionValues, Tier

SCHEMA_VERSION: Final = 1
"""Of the records in a log; a reader refuses a newer one."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """A fact that the machine decided."""


class Notice(msgspec.Struct, frozen=True, kw_only=True, tag_field="notice"):
    """Something that happened without changing the federation."""


class PluginUsed(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that a run uses, and where it came from.

    Attributes
    ----------
    kind, name
        Which one: ``stop rule``, ``rounds``.
    distribution, version
        The installed package that has it.
    """

    kind: str
    name: str
    distribution: str
    version: str


class Purpose(StrEnum):
    """What a cohort is asked for."""

    DESCRIBE = "describe"
    """To sum up its features, in the opening round of a federation that standardises them."""
    FIT = "fit"
    """To evaluate the model on the hold-out, then to train it."""
    EVALUATE = "evaluate"
    """Only to evaluate it: the closing evaluation of a model that is final."""


class Refusal(StrEnum):
    """Why the machine rejected an input."""

    WRONG_TASK = "wrong task"
    WRONG_VERSION = "wrong version"
    REMOVED = "removed"
    QUARANTINED = "quarantined"
    UNKNOWN_DEVICE = "unknown device"
    UNKNOWN_COHORT = "unknown cohort"
    NOT_SELECTED = "not selected"
    DUPLICATE = "duplicate"
    LATE = "late"
    WRONG_BASE = "wrong base model"
    MALFORMED = "malformed"
    STALE = "stale"
    OUT_OF_PLACE = "out of place"


class FederationOpened(Event, frozen=True, kw_only=True, tag="federation-opened"):
    """The first record of a log."""

    settings: FederationSettings
    plugins: tuple[PluginUsed, ...] = ()
    exchanges: bool = False
    """Whether groups learn from each other."""
    tests: bool = False
    """Whether the coordinator measures each model on a test set of its own."""
    policies: OptionValues | None = None
    """Who decides what, with all options, as the tables of a configuration; None in a log of an older version."""


class PoliciesChanged(Event, frozen=True, kw_only=True, tag="policies-changed"):
    """The operator allowed that the federation goes on with other options; ``policies`` as in `FederationOpened`."""

    policies: OptionValues
    plugins: tuple[PluginUsed, ...] = ()


class DeviceEnrolled(Event, frozen=True, kw_only=True, tag="device-enrolled"):
    """A device joined; its task's schema hash is the federation's.

    ``visits`` tells that the federation works `downward <tierwise.core.guests>`, and that the device can be a guest.
    """

    device: DeviceId
    visits: bool = False


class HardwareReported(Event, frozen=True, kw_only=True, tag="hardware-reported"):
    """A device told its hardware profile, for the first time or anew."""

    device: DeviceId
    profile: HardwareProfile


class DeviceLost(Event, frozen=True, kw_only=True, tag="device-lost"):
    """A device cannot be reached; it stays in its group."""

    device: DeviceId
    reason: str


class DeviceReturned(Event, frozen=True, kw_only=True, tag="device-returned"):
    """A lost device can be reached again, or is another program now; ``visits`` as in `DeviceEnrolled`."""

    device: DeviceId
    visits: bool = False


class DeviceRemoved(Event, frozen=True, kw_only=True, tag="device-removed"):
    """A device was taken out of the federation for good."""

    device: DeviceId
    reason: str


class DeviceFaulted(Event, frozen=True, kw_only=True, tag="device-faulted"):
    """A device sent something that cannot be used: for ``cohort``, which no longer waits for it, or at all (None)."""

    device: DeviceId
    cohort: CohortId | None
    refusal: Refusal
    reason: str


class DeviceQuarantined(Event, frozen=True, kw_only=True, tag="device-quarantined"):
    """A device kept sending what cannot be used: until it is released, it takes no part and is not listened to."""

    device: DeviceId
    reason: str


class DeviceReleased(Event, frozen=True, kw_only=True, tag="device-released"):
    """The operator took a device out of quarantine."""

    device: DeviceId


class GroupingOpened(Event, frozen=True, kw_only=True, tag="grouping-opened"):
    """Enrolment ended; these devices are to be grouped."""

    devices: tuple[DeviceId, ...]


class GroupFormed(msgspec.Struct, frozen=True, kw_only=True):
    """One group of `GroupsFormed`: its devices sorted by id, and what their hardware has in common."""

    group: GroupId
    devices: tuple[DeviceId, ...]
    envelope: HardwareEnvelope


class GroupsFormed(Event, frozen=True, kw_only=True, tag="groups-formed"):
    """The grouping policy's answer: groups from the weakest to the strongest, and who is in none, and why."""

    groups: tuple[GroupFormed, ...]
    unplaced: dict[DeviceId, str]


class DevicePlaced(Event, frozen=True, kw_only=True, tag="device-placed"):
    """A late joiner got a group."""

    device: DeviceId
    group: GroupId


class DeviceUnplaced(Event, frozen=True, kw_only=True, tag="device-unplaced"):
    """A late joiner fits no group."""

    device: DeviceId
    reason: str


class TierAssigned(Event, frozen=True, kw_only=True, tag="tier-assigned"):
    """A group got its tier; ``model`` is its initial model (version 0)."""

    group: GroupId
    tier: Tier
    model: BlobHash


class RoundOpened(Event, frozen=True, kw_only=True, tag="round-opened"):
    """A group's model is published to a cohort.

    ``deadline_at`` is in seconds of federation time; every participant's seed is derived from ``seed``. Those of the
    ``participants`` who are no members of the group but its guests are listed in ``guests`` again.
    """

    group: GroupId
    round: RoundNumber
    cohort: CohortId
    purpose: Purpose
    version: ModelVersion
    model: BlobHash
    participants: tuple[DeviceId, ...]
    deadline_at: float
    seed: int
    guests: tuple[DeviceId, ...] = ()


class RoundPostponed(Event, frozen=True, kw_only=True, tag="round-postponed"):
    """Too few of a group's devices may take part now; the selector is asked again when its devices change."""

    group: GroupId
    reason: str


class UpdateAccepted(Event, frozen=True, kw_only=True, tag="update-accepted"):
    """A device's update counts; ``metrics`` are of the model that it started from.

    ``arrived_at`` is when its last byte came, in seconds of federation time: by its cohort's deadline. None where that
    is the record's own time.
    """

    arrived_at: float | None = None
    cohort: CohortId
    device: DeviceId
    blob: BlobHash
    size_bytes: int
    samples: int
    metrics: Metrics


class EvaluationAccepted(Event, frozen=True, kw_only=True, tag="evaluation-accepted"):
    """A device evaluated a final model; ``arrived_at`` as in `UpdateAccepted`."""

    arrived_at: float | None = None
    cohort: CohortId
    device: DeviceId
    metrics: Metrics


class TaskDeclined(Event, frozen=True, kw_only=True, tag="task-declined"):
    """A participant will not deliver; its cohort no longer waits for it."""

    cohort: CohortId
    device: DeviceId
    reason: str


class CohortClosed(Event, frozen=True, kw_only=True, tag="cohort-closed"):
    """Nothing more is accepted; these survivors' updates are summed, in this order (by device id)."""

    group: GroupId
    cohort: CohortId
    survivors: tuple[DeviceId, ...]


class RoundAbandoned(Event, frozen=True, kw_only=True, tag="round-abandoned"):
    """A round ended without a new model; the group's model stays."""

    group: GroupId
    round: RoundNumber
    cohort: CohortId
    reason: str


class RoundClosed(Event, frozen=True, kw_only=True, tag="round-closed"):
    """A cohort's updates became the group's next model (``version``).

    ``metrics`` belong to the model before it, on the hold-outs of those survivors who are members of the group: the
    model is for them. Where fewer than three are, all counts are 0, since a sum would show a single device's figures.
    ``devices`` and ``samples`` count guests as well.
    """

    group: GroupId
    round: RoundNumber
    cohort: CohortId
    version: ModelVersion
    model: BlobHash
    optimizer_state: BlobHash | None
    devices: int
    samples: int
    metrics: Metrics


class ModelExchanged(Event, frozen=True, kw_only=True, tag="model-exchanged"):
    """A group learned from others: ``model`` takes the place of what its round made, as the same version.

    ``teachers`` are the versions of the models that it could learn from, its own among them.
    """

    group: GroupId
    version: ModelVersion
    model: BlobHash
    teachers: dict[GroupId, ModelVersion]


class ModelTested(Event, frozen=True, kw_only=True, tag="model-tested"):
    """The coordinator measured a group's model on its own test set."""

    group: GroupId
    version: ModelVersion
    metrics: Metrics


class ModelStandardised(Event, frozen=True, kw_only=True, tag="model-standardised"):
    """A group's initial model has the mean and deviation of each feature now, which its opening round found."""

    group: GroupId
    cohort: CohortId
    model: BlobHash


class StopChecked(Event, frozen=True, kw_only=True, tag="stop-checked"):
    """The stop rule answered after a round: why the group stops, or None to go on."""

    group: GroupId
    version: ModelVersion
    reason: str | None


class GroupShort(Event, frozen=True, kw_only=True, tag="group-short"):
    """A group has fewer than three reachable devices; it is merged at ``grace_until`` unless some return."""

    group: GroupId
    reachable: int
    grace_until: float


class GroupRecovered(Event, frozen=True, kw_only=True, tag="group-recovered"):
    """A short group has three reachable devices again."""

    group: GroupId


class GroupMerged(Event, frozen=True, kw_only=True, tag="group-merged"):
    """The devices of ``source`` went to ``target`` and its tier; ``source`` ends early with its latest model."""

    source: GroupId
    target: GroupId
    devices: tuple[DeviceId, ...]


class GroupFinished(Event, frozen=True, kw_only=True, tag="group-finished"):
    """A group has its target model.

    ``metrics`` are the closing evaluation's, empty when there was none; ``failed`` tells that the group ended
    because something went wrong, not because its stop rule said so.
    """

    group: GroupId
    reason: str
    version: ModelVersion
    model: BlobHash | None
    metrics: Metrics
    failed: bool = False


class FederationFinished(Event, frozen=True, kw_only=True, tag="federation-finished"):
    """Every group has ended."""


class FederationFailed(Event, frozen=True, kw_only=True, tag="federation-failed"):
    """The federation ended without target models."""

    reason: str
    too_few_devices: int | None = None


class InputRejected(Notice, frozen=True, kw_only=True, tag="input-rejected"):
    """The machine rejected an input; nothing changed."""

    input: str
    device: DeviceId | None
    refusal: Refusal
    reason: str


AnyEvent = reduce(or_, Event.__subclasses__())
"""The union of all event classes, for decoding."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the log.

    Attributes
    ----------
    sequence
        From 0, without gaps.
    at
        Federation time in seconds: the time that the coordinator was up, summed over its lives.
    event
        What was decided.
    schema
        `SCHEMA_VERSION` when it was written.
    """

    sequence: int
    at: float
    event: Event
    schema: int = SCHEMA_VERSION


class _StoredRecord(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    at: float
    event: AnyEvent  # type: ignore[valid-type]
    schema: int


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_StoredRecord)
assert set(get_args(AnyEvent)) == set(Event.__subclasses__())


def encode_record(record: Record) -> bytes:
    """Return a record as msgpack."""
    return _ENCODER.encode(record)


def decode_record(data: bytes | memoryview) -> Record:
    """Read a record.

    Raises
    ------
    msgspec.MsgspecError
        If ``data`` is no record of this schema.
    """
    return _record(_DECODER.decode(data))


def record_of(value: object) -> Record:
    """Read a record from plain values, as JSON has them.

    Raises
    ------
    msgspec.MsgspecError
        If ``value`` is no record of this schema.
    """
    return _record(msgspec.convert(value, _StoredRecord))


def _record(stored: _StoredRecord) -> Record:
    return Record(sequence=stored.sequence, at=stored.at, event=stored.event, schema=stored.schema)
