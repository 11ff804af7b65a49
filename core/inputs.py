"""What the world tells the federation's machine: from devices, from the operator, from plugins, from the clock."""

import msgspec

from tierwise.core.events import PluginUsed
from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId
from tierwise.core.metrics import Metrics
from tierwise.core.settings import FederationSettings
from tierwise.core.tiers import Tier


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the machine is asked to judge."""


class OpenFederation(Input, frozen=True, kw_only=True):
    """The first input of a new federation."""

    settings: FederationSettings
    plugins: tuple[PluginUsed, ...] = ()


class Tick(Input, frozen=True, kw_only=True):
    """Ask what follows from the state and the time: deadlines, complete cohorts, ended groups.

    After every other input the driver ticks until nothing follows any more.
    """


# -- from devices and about them


class EnrolDevice(Input, frozen=True, kw_only=True):
    """A device wants to join, or is back."""

    device: DeviceId
    schema_hash: str


class ReportHardware(Input, frozen=True, kw_only=True):
    """A device tells its hardware profile."""

    device: DeviceId
    profile: HardwareProfile


class LoseDevice(Input, frozen=True, kw_only=True):
    """A device cannot be reached."""

    device: DeviceId
    reason: str


class RemoveDevice(Input, frozen=True, kw_only=True):
    """The operator takes a device out, or the device leaves for good."""

    device: DeviceId
    reason: str


class SubmitUpdate(Input, frozen=True, kw_only=True):
    """A device's update has arrived and is spooled.

    Its body was checked against the layout before (`tierwise.core.updates.check_update`): ``blob`` is the address
    of a frame of finite values in the layout of the group's tier.
    """

    device: DeviceId
    cohort: CohortId
    base: BlobHash
    blob: BlobHash
    size_bytes: int
    samples: int
    metrics: Metrics


class SubmitEvaluation(Input, frozen=True, kw_only=True):
    """A device has evaluated a final model."""

    device: DeviceId
    cohort: CohortId
    base: BlobHash
    metrics: Metrics


class DeclineTask(Input, frozen=True, kw_only=True):
    """A participant says that it will not deliver, and why."""

    device: DeviceId
    cohort: CohortId
    reason: str


# -- answers of plugins; ``order`` is the key of the command that they answer


class Answer(Input, frozen=True, kw_only=True):
    """What a plugin says to an order; a stale key is rejected."""

    order: str


class GroupsProposed(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.FormGroups`."""

    grouping: Grouping


class PlacementsProposed(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.PlaceDevices`: a group for each newcomer, or the reason why it has none."""

    placed: dict[DeviceId, GroupId]
    unplaced: dict[DeviceId, str]


class TierProposed(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.ChooseTier`."""

    tier: Tier
    model: BlobHash


class ParticipantsSelected(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.SelectParticipants`."""

    devices: tuple[DeviceId, ...]


class CohortReduced(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.ReduceCohort`: the group's next model and the server optimizer's state."""

    model: BlobHash
    optimizer_state: BlobHash | None


class StopRuled(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.CheckStop`."""

    reason: str | None


class PluginFailed(Answer, frozen=True, kw_only=True):
    """To any order: the plugin raised."""

    plugin: str
    reason: str
