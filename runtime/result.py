"""What a federation gives in the end."""

from dataclasses import dataclass, field

from tierwise.core.edges import Store
from tierwise.core.errors import FederationFailedError, TooFewDevicesError
from tierwise.core.federation import Federation
from tierwise.core.framing import unframe
from tierwise.core.ids import BlobHash, DeviceId, GroupId, ModelVersion
from tierwise.core.metrics import Metrics
from tierwise.core.state import GroupState, Stage
from tierwise.core.stopping import RoundRecord
from tierwise.core.tiers import Tier
from tierwise.core.weights import Weights


@dataclass(frozen=True, slots=True)
class GroupResult:
    """A group's target model and how it came about.

    Attributes
    ----------
    group, rank
        0 is the weakest group's rank.
    devices
        Who ended in it, sorted; empty if it was merged into another.
    tier
        Of the model.
    model, identity
        The target model, and the hash of its frame.
    version
        How many rounds made it.
    metrics
        From the closing evaluation, as (sum, count); empty when there was none.
    history
        Its closed rounds.
    reason
        Why it ended.
    failed
        Whether that was because something went wrong.
    """

    group: GroupId
    rank: int
    devices: tuple[DeviceId, ...]
    tier: Tier
    model: Weights
    identity: BlobHash
    version: ModelVersion
    metrics: Metrics
    history: tuple[RoundRecord, ...]
    reason: str
    failed: bool


@dataclass(frozen=True, slots=True)
class FederationResult:
    """What all groups ended with.

    Attributes
    ----------
    groups
        Those with a target model, the weakest first.
    unplaced
        Why a device was in no group.
    untiered
        Why a group ended before it had a model.
    """

    groups: tuple[GroupResult, ...]
    unplaced: dict[DeviceId, str]
    untiered: dict[GroupId, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Tell whether any group ended because something went wrong."""
        return bool(self.untiered) or any(group.failed for group in self.groups)


async def read_result(federation: Federation, store: Store) -> FederationResult:
    """Read the result of a federation that has ended.

    Raises
    ------
    TooFewDevicesError
        If fewer than three devices reported their hardware.
    FederationFailedError
        If it ended without target models.
    """
    state = federation.state
    if state.stage is Stage.FAILED:
        if state.too_few_devices is not None:
            raise TooFewDevicesError(state.too_few_devices)
        raise FederationFailedError(state.failure or "the federation failed")
    groups = [
        await _group_result(name, group, group.tier, group.model, store)
        for name, group in state.groups.items()
        if group.tier is not None and group.model is not None
    ]
    untiered = {name: group.ending or "" for name, group in state.groups.items() if group.model is None}
    unplaced = {name: one.unplaced for name, one in sorted(state.devices.items()) if one.unplaced is not None}
    return FederationResult(tuple(groups), unplaced, untiered)


async def _group_result(name: GroupId, group: GroupState, tier: Tier, model: BlobHash, store: Store) -> GroupResult:
    return GroupResult(
        group=name,
        rank=group.rank,
        devices=tuple(sorted(group.members)),
        tier=tier,
        model=unframe(await store.get(model)),
        identity=model,
        version=group.version,
        metrics=group.metrics,
        history=tuple(group.history),
        reason=group.ending or "",
        failed=group.failed,
    )
