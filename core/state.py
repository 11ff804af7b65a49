"""The federation's state: plain data that `tierwise.core.transitions` changes and the decisions read.

Everything here follows from the log. Comparing two states compares two histories.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tierwise.core.events import EvaluationAccepted, PluginUsed, Purpose, RoundOpened, UpdateAccepted
from tierwise.core.hardware import HardwareEnvelope, HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, ModelVersion, RoundNumber, cohort_id
from tierwise.core.metrics import Metrics
from tierwise.core.settings import FederationSettings
from tierwise.core.stopping import RoundRecord
from tierwise.core.tiers import OptionValues, Tier


class Stage(StrEnum):
    """Where the federation stands."""

    UNOPENED = "unopened"
    ENROLLING = "enrolling"
    GROUPING = "grouping"
    LEARNING = "learning"
    FINISHED = "finished"
    FAILED = "failed"


class Phase(StrEnum):
    """Where a group stands. Each phase waits for one thing, which its name tells."""

    TIERING = "tiering"
    """For the tier provider."""
    OPENING = "opening"
    """For three devices that can be reached: then its opening round begins."""
    SELECTING = "selecting"
    """For the selector; or, while the group is short, for devices to return."""
    COLLECTING = "collecting"
    """For updates (or evaluations), until the deadline."""
    REDUCING = "reducing"
    """For the aggregator."""
    EXCHANGING = "exchanging"
    """For the exchange with other groups."""
    TESTING = "testing"
    """For the coordinator's measuring of the new model."""
    CHECKING = "checking"
    """For the stop rule."""
    CLOSING = "closing"
    """For nothing: the closing evaluation opens at the next tick."""
    FINISHED = "finished"


COMMITTING = (Phase.REDUCING, Phase.EXCHANGING, Phase.TESTING, Phase.CHECKING)
"""What follows on a closed cohort, until the group goes on or ends: nothing is taken from it meanwhile."""


@dataclass(slots=True)
class DeviceState:
    """A device that has enrolled and was not removed."""

    profile: HardwareProfile | None = None
    lost: bool = False
    faults: int = 0
    """What it sent in a row that could not be used."""
    quarantined: str | None = None
    """Why it takes no part, if it does not."""
    group: GroupId | None = None
    unplaced: str | None = None
    """Why a policy put it in no group."""
    accepted: dict[GroupId, CohortId] = field(default_factory=dict)
    """The latest cohort of each group that took its update or evaluation: a repetition gets its receipt again."""
    visits: bool = False
    """Whether it can be a guest of weaker groups."""
    overdue: bool = False
    """Whether it has let a group wait for it until the deadline, as a guest: it is none before it comes back, or has
    other hardware."""

    @property
    def last_accepted(self) -> CohortId | None:
        """The latest cohort of all that took something of it; None if none did."""
        return next(reversed(self.accepted.values()), None)

    @property
    def available(self) -> bool:
        """Tell whether it can take part: it is neither lost nor quarantined."""
        return not self.lost and self.quarantined is None

    @property
    def ready(self) -> bool:
        """Tell whether it can be grouped: it is available, and its hardware is known."""
        return self.profile is not None and self.available


@dataclass(slots=True)
class CohortState:
    """A group's open cohort, or the closed one that is being reduced."""

    opened: RoundOpened
    opened_at: float
    waiting: set[DeviceId]
    """Participants that have neither delivered nor declined."""
    accepted: dict[DeviceId, UpdateAccepted | EvaluationAccepted] = field(default_factory=dict)
    declined: dict[DeviceId, str] = field(default_factory=dict)
    """Why participants said that they would not deliver."""
    survivors: tuple[DeviceId, ...] | None = None
    """Set when it closes."""

    @property
    def fits(self) -> bool:
        """Tell whether updates are wanted, not only what a device can measure."""
        return self.opened.purpose is Purpose.FIT

    @property
    def closing(self) -> bool:
        """Tell whether it is a group's last, which makes nothing of what is accepted."""
        return self.opened.purpose is Purpose.EVALUATE


@dataclass(frozen=True, slots=True)
class Postponement:
    """A round that waits for willing devices."""

    revision: int
    """Of the group, when the selector found too few."""
    reason: str


@dataclass(slots=True)
class GroupState:
    """A group, from its forming to its target model."""

    rank: int
    """0 is the weakest group."""
    envelope: HardwareEnvelope
    """Of the devices that it was formed of, with their profiles: its tier is sized for them, whoever leaves before."""
    members: set[DeviceId]
    phase: Phase = Phase.TIERING
    revision: int = 0
    """Counts changes of who is in it, who of them can be reached or can be a guest elsewhere, and their hardware."""
    counted: tuple[int, int] = field(default=(-1, 0), compare=False, repr=False)
    """A revision, and how many could be reached then: see `FederationState.reachable_count`."""
    tier: Tier | None = None
    model: BlobHash | None = None
    version: ModelVersion = field(default=ModelVersion(0))
    optimizer_state: BlobHash | None = None
    peers: dict[GroupId, tuple[ModelVersion, BlobHash]] = field(default_factory=dict)
    """What it exchanges with: the latest models when its round closed, its own among them, weakest group first."""
    round: RoundNumber = field(default=RoundNumber(0))
    """The number of the round opened last."""
    postponed: Postponement | None = None
    """The selector's latest answer about the next round, if it found too few."""
    cohort: CohortState | None = None
    made_by: CohortId | None = None
    """The cohort whose updates made the model."""
    left_out: tuple[DeviceId, ...] = ()
    """Its participants whose updates are not in it."""
    history: list[RoundRecord] = field(default_factory=list)
    abandoned_in_a_row: int = 0
    abandoned_because: str = ""
    """Why its latest abandoned round was."""
    short_until: float | None = None
    ending: str | None = None
    """Why it stops, once that is known."""
    failed: bool = False
    metrics: Metrics = field(default_factory=dict)
    """Of the target model, from the closing evaluation."""

    @property
    def waits_because(self) -> str | None:
        """Why its next round waits until its devices change; None if it does not."""
        current = self.postponed is not None and self.postponed.revision == self.revision
        return self.postponed.reason if self.postponed is not None and current else None

    @property
    def active(self) -> bool:
        """Tell whether it has a tier and still learns: whether devices can move to it."""
        return self.tier is not None and self.ending is None and self.phase is not Phase.FINISHED


@dataclass(slots=True)
class FederationState:
    """The whole federation."""

    stage: Stage = Stage.UNOPENED
    settings: FederationSettings | None = None
    plugins: tuple[PluginUsed, ...] = ()
    policies: OptionValues | None = None
    """Who decides what, with which options: only for telling whether a coordinator goes on with the same."""
    opened_at: float = 0.0
    devices: dict[DeviceId, DeviceState] = field(default_factory=dict)
    ready: set[DeviceId] = field(default_factory=set)
    """Those of the devices that can be grouped."""
    removed: dict[DeviceId, str] = field(default_factory=dict)
    grouping: Mapping[DeviceId, HardwareProfile] | None = None
    """The fleet that is being grouped."""
    groups: dict[GroupId, GroupState] = field(default_factory=dict)
    newcomers: set[DeviceId] = field(default_factory=set)
    """Devices with a profile that wait for a place in an existing group."""
    exchanges: bool = False
    """Whether groups learn from each other."""
    tests: bool = False
    """Whether models are measured on a test set of the coordinator's."""
    failure: str | None = None
    too_few_devices: int | None = None
    served: tuple[int, Mapping[DeviceId, tuple[GroupId, ...]]] = field(default=(-1, {}), compare=False, repr=False)
    """A standing, and who could be a guest of which groups then: see `tierwise.core.guests`."""

    @property
    def opened(self) -> FederationSettings:
        """The settings of an opened federation."""
        assert self.settings is not None, "nothing can be decided before FederationOpened"
        return self.settings

    @property
    def standing(self) -> int:
        """Count what has changed of groups and who is in them: with the same number, the same devices are guests."""
        groups = self.groups.values()
        return sum(group.revision + (group.tier is not None) + (group.ending is not None) for group in groups)

    def reachable(self, group: GroupState) -> Iterator[DeviceId]:
        """Yield a group's devices that can take part, in no particular order."""
        return (device for device in group.members if self.devices[device].available)

    def reachable_count(self, group: GroupState) -> int:
        """Count a group's devices that can take part."""
        # Every tick asks, and a group may have thousands; it is counted anew when its revision says so.
        revision, count = group.counted
        if revision != group.revision:
            count = sum(1 for _ in self.reachable(group))
            group.counted = group.revision, count
        return count

    def active_by_rank(self) -> list[GroupId]:
        """Return the groups that still learn, weakest first."""
        active = (name for name, group in self.groups.items() if group.active)
        return sorted(active, key=lambda name: self.groups[name].rank)

    def group_of_cohort(self, cohort: CohortId) -> GroupId | None:
        """Return the group that opened a cohort, or None if there has been no such cohort."""
        name, _, number = cohort.rpartition(".r")
        group = self.groups.get(GroupId(name))
        if group is not None and group.cohort is not None and group.cohort.opened.cohort == cohort:
            return GroupId(name)  # the usual one
        if group is None or len(number) > len(str(group.round)) or not number.isdecimal():
            return None
        round_number = RoundNumber(int(number))
        known = 1 <= round_number <= group.round and cohort_id(GroupId(name), round_number) == cohort
        return GroupId(name) if known else None
