"""What the world tells the federation's machine: from devices, from the operator, from plugins, from the clock."""

import msgspec

from tierwise.core.events import PluginUsed, Refusal
from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId
from tierwise.core.metrics import Metrics
from tierwise.core.settings import FederationSettings
from tierwise.core.tiers import OptionValues, Tier


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the machine is asked to judge."""


class OpenFederation(Input, frozen=True, kw_only=True):
    """The first input of a new federation."""

    settings: FederationSettings
    plugins: tuple[PluginUsed, ...] = ()
    exchanges: bool = False
    tests: bool = False
    policies: OptionValues | None = None


class ChangePolicies(Input, frozen=True, kw_only=True):
    """The operator allows other options than the federation was opened with; see `tierwise.core.events`."""

    policies: OptionValues
    plugins: tuple[PluginUsed, ...] = ()


class Tick(Input, frozen=True, kw_only=True):
    """Ask what follows from the state and the time: deadlines, complete cohorts, ended groups.

    After every other input the driver ticks until nothing follows any more.
    """


# -- from devices and about them


class DeviceInput(Input, frozen=True, kw_only=True):
    """From a device or about it: what is made of it depends on no other device's, see `Federation.decide_together`."""

    device: DeviceId


class EnrolDevice(DeviceInput, frozen=True, kw_only=True):
    """A device wants to join, or is back; ``visits`` tells that it can be a guest of weaker groups."""

    schema_hash: str
    visits: bool = False


class ReportHardware(DeviceInput, frozen=True, kw_only=True):
    """A device tells its hardware profile."""

    profile: HardwareProfile


class LoseDevice(DeviceInput, frozen=True, kw_only=True):
    """A device cannot be reached."""

    reason: str


class ReportFault(DeviceInput, frozen=True, kw_only=True):
    """A device has sent something that cannot be used; ``cohort`` is what it was for, if that could be told."""

    cohort: CohortId | None
    refusal: Refusal
    reason: str


class ReleaseDevice(DeviceInput, frozen=True, kw_only=True):
    """The operator takes a device out of quarantine."""


class RemoveDevice(DeviceInput, frozen=True, kw_only=True):
    """The operator takes a device out, or the device leaves for good."""

    reason: str


class SubmitUpdate(DeviceInput, frozen=True, kw_only=True):
    """A device's update has arrived and is spooled.

    Its body was checked against the layout before (`tierwise.core.updates.check_update`): ``blob`` is the address
    of a frame of finite values in the layout of the group's tier. ``arrived_at`` is when its last byte came, in seconds
    of federation time, which is what the deadline is compared with; None where that is now.
    """

    arrived_at: float | None = None
    cohort: CohortId
    base: BlobHash
    blob: BlobHash
    size_bytes: int
    samples: int
    metrics: Metrics


class SubmitEvaluation(DeviceInput, frozen=True, kw_only=True):
    """A device has evaluated a final model; ``arrived_at`` as in `SubmitUpdate`."""

    arrived_at: float | None = None
    cohort: CohortId
    base: BlobHash
    metrics: Metrics


class DeclineTask(DeviceInput, frozen=True, kw_only=True):
    """A participant says that it will not deliver, and why."""

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
    """To `tierwise.core.commands.SelectParticipants`: candidates, and any of the guests."""

    devices: tuple[DeviceId, ...]


class SelectionPostponed(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.SelectParticipants`, too: too few may take part now, and why."""

    reason: str


class ModelAdjusted(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.StandardiseModel`: the group's initial model with its static tensors."""

    model: BlobHash


class CohortReduced(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.ReduceCohort`: the group's next model and the server optimizer's state."""

    model: BlobHash
    optimizer_state: BlobHash | None


class ModelsExchanged(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.ExchangeModels`: the group's model from now on, which may be the one that it had."""

    model: BlobHash


class ModelMeasured(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.MeasureModel`."""

    metrics: Metrics


class StopRuled(Answer, frozen=True, kw_only=True):
    """To `tierwise.core.commands.CheckStop`."""

    reason: str | None


class PluginFailed(Answer, frozen=True, kw_only=True):
    """To any order: the plugin raised."""

    plugin: str
    reason: str
