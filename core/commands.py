"""What the federation's state calls for: orders to plugins, and work for the driver.

Commands are derived from the state, not stored, and idempotent: a coordinator that was killed and started again
performs the same list. A command's ``key`` names it; the same key is the same command, and an answer quotes it.
"""

from collections.abc import Mapping

import msgspec

from tierwise.core.events import RoundOpened
from tierwise.core.hardware import HardwareEnvelope, HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, ModelVersion
from tierwise.core.metrics import Metrics
from tierwise.core.stopping import RoundRecord
from tierwise.core.tiers import Tier


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done; ``key`` names it."""

    key: str


# -- orders: they go over the bus, to the runner of a plugin kind


class Order(Command, frozen=True, kw_only=True):
    """A question to a plugin; its runner puts the answer back as an input."""


class FormGroups(Order, frozen=True, kw_only=True):
    """Group the fleet."""

    fleet: Mapping[DeviceId, HardwareProfile]


class PlaceDevices(Order, frozen=True, kw_only=True):
    """Find an existing group for each newcomer; ``groups`` are the ones that still learn, weakest first, with tiers."""

    fleet: Mapping[DeviceId, HardwareProfile]
    newcomers: tuple[DeviceId, ...]
    groups: Mapping[GroupId, tuple[DeviceId, ...]]
    tiers: Mapping[GroupId, Tier]


class ChooseTier(Order, frozen=True, kw_only=True):
    """Size a model for a group; ``envelope`` has the profiles of its devices."""

    group: GroupId
    envelope: HardwareEnvelope
    seed: int


class SelectParticipants(Order, frozen=True, kw_only=True):
    """Choose who takes part in a group's next round: ``candidates`` are its own devices, ``guests`` others."""

    group: GroupId
    candidates: Mapping[DeviceId, HardwareProfile]
    seed: int
    guests: Mapping[DeviceId, HardwareProfile] = {}


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """A spooled update, and its weight in an average."""

    device: DeviceId
    blob: BlobHash
    samples: int


class ReduceCohort(Order, frozen=True, kw_only=True):
    """Combine the survivors' updates (in this order, coded as the tier says) and step the model."""

    group: GroupId
    cohort: CohortId
    tier: Tier
    model: BlobHash
    optimizer_state: BlobHash | None
    contributions: tuple[Contribution, ...]


class StandardiseModel(Order, frozen=True, kw_only=True):
    """Put the mean and deviation of each feature into a group's initial model, from the survivors' sums."""

    group: GroupId
    cohort: CohortId
    model: BlobHash
    sums: Metrics


class PeerModel(msgspec.Struct, frozen=True, kw_only=True):
    """A group's latest model, for an exchange."""

    version: ModelVersion
    tier: Tier
    model: BlobHash


class ExchangeModels(Order, frozen=True, kw_only=True):
    """Let a group learn from the others: ``models`` are its own and theirs, weakest group first."""

    group: GroupId
    models: Mapping[GroupId, PeerModel]
    seed: int


class MeasureModel(Order, frozen=True, kw_only=True):
    """Measure a group's latest model on the coordinator's test set."""

    group: GroupId
    tier: Tier
    model: BlobHash


class CheckStop(Order, frozen=True, kw_only=True):
    """Ask whether a group has learned enough."""

    group: GroupId
    history: tuple[RoundRecord, ...]


# -- work for the driver: what devices must be told


class AnnounceGroup(Command, frozen=True, kw_only=True):
    """Tell a group's present members that they are in it, its tier, and where they are guests."""

    group: GroupId
    tier: Tier


class PublishRound(Command, frozen=True, kw_only=True):
    """Publish an open cohort's model and task to its group, once for all."""

    opened: RoundOpened
    tier: Tier


class PublishTarget(Command, frozen=True, kw_only=True):
    """Publish a finished group's target model to the devices that ended in it."""

    group: GroupId
    tier: Tier
    version: ModelVersion
    model: BlobHash
    reason: str
