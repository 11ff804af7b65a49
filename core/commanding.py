"""What the state calls for: deriving the commands.

Keys carry all that makes a command another one: a selection asked of other candidates is another selection. Only
`tierwise.core.commands.PlaceDevices` keeps its key when members of its groups come or go: a place found beside
slightly other neighbours is as good, and asking anew at each change might never end.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from tierwise.core import commands as c
from tierwise.core.events import UpdateAccepted
from tierwise.core.grouping import MINIMUM
from tierwise.core.guests import guests_of
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.metrics import add_metrics
from tierwise.core.seeds import derive_seed
from tierwise.core.state import CohortState, FederationState, GroupState, Phase, Stage


def commands(state: FederationState) -> Iterator[c.Command]:
    """Yield everything that is to be done, orders first."""
    yield from orders(state)
    for name, group in state.groups.items():
        yield from _publications(state, name, group)


def orders(state: FederationState) -> Iterator[c.Order]:
    """Yield the questions to plugins."""
    if state.stage is Stage.GROUPING and state.grouping is not None:
        yield c.FormGroups(key="form-groups", fleet=state.grouping)
    if state.stage is not Stage.LEARNING:
        return
    for name, group in state.groups.items():
        order = _group_order(state, name, group)
        if order is not None:
            yield order
    if state.newcomers and (active := state.active_by_rank()):
        yield _place_devices(state, active)


def _group_order(state: FederationState, name: GroupId, group: GroupState) -> c.Order | None:
    match group.phase:
        case Phase.TIERING:
            return c.ChooseTier(
                key=f"choose-tier/{name}",
                group=name,
                envelope=group.envelope,
                seed=derive_seed(state.opened.seed, "initial", name),
            )
        case Phase.SELECTING if group.waits_because is None:
            return _select_participants(state, name, group)
        case Phase.REDUCING if group.cohort is not None and not group.cohort.fits:
            return _standardise_model(name, group, group.cohort)
        case Phase.REDUCING if group.cohort is not None and group.model is not None and group.tier is not None:
            return c.ReduceCohort(
                key=f"reduce/{group.cohort.opened.cohort}",
                group=name,
                cohort=group.cohort.opened.cohort,
                tier=group.tier,
                model=group.model,
                optimizer_state=group.optimizer_state,
                contributions=_contributions(group.cohort),
            )
        case Phase.EXCHANGING:
            return _exchange_models(state, name, group)
        case Phase.TESTING if group.model is not None and group.tier is not None:
            key = f"measure/{name}/{group.version}"
            return c.MeasureModel(key=key, group=name, tier=group.tier, model=group.model)
        case Phase.CHECKING:
            return c.CheckStop(key=f"check-stop/{name}/{group.version}", group=name, history=tuple(group.history))
    return None


def _standardise_model(name: GroupId, group: GroupState, cohort: CohortState) -> c.StandardiseModel:
    assert group.model is not None
    return c.StandardiseModel(
        key=f"standardise/{cohort.opened.cohort}",
        group=name,
        cohort=cohort.opened.cohort,
        model=group.model,
        sums=add_metrics(cohort.accepted[device].metrics for device in cohort.survivors or ()),
    )


def _exchange_models(state: FederationState, name: GroupId, group: GroupState) -> c.ExchangeModels:
    models = {}
    for peer, (version, model) in group.peers.items():
        tier = state.groups[peer].tier
        assert tier is not None
        models[peer] = c.PeerModel(version=version, tier=tier, model=model)
    return c.ExchangeModels(
        key=f"exchange/{name}/{group.version}",
        group=name,
        models=models,
        seed=derive_seed(state.opened.seed, "exchange", name, str(group.version)),
    )


def _select_participants(state: FederationState, name: GroupId, group: GroupState) -> c.SelectParticipants | None:
    candidates = sorted(state.reachable(group))
    if len(candidates) < MINIMUM or _guests_unknown(state):
        return None
    number = group.round + 1
    key = f"select/{name}/{number}/{group.revision}"
    return c.SelectParticipants(
        key=f"{key}/{state.standing}" if state.opened.rounds.downward else key,
        group=name,
        candidates=_profiles(state, candidates),
        guests=_profiles(state, guests_of(state, name)),
        seed=derive_seed(state.opened.seed, "selection", name, str(number)),
    )


def _guests_unknown(state: FederationState) -> bool:
    """Tell whether guests may turn up at any moment, as tiers are still being chosen: who they are is no accident."""
    tiering = any(group.phase is Phase.TIERING for group in state.groups.values())
    return tiering and state.opened.rounds.downward


def _place_devices(state: FederationState, active: list[GroupId]) -> c.PlaceDevices:
    newcomers = tuple(sorted(state.newcomers))
    groups = {name: tuple(sorted(state.groups[name].members)) for name in active}
    members = {device for devices in groups.values() for device in devices}
    asked = hashlib.sha256(msgspec.json.encode(_profiles(state, state.newcomers), order="deterministic")).hexdigest()
    return c.PlaceDevices(
        key=f"place/{asked[:16]}/{','.join(active)}",
        fleet=_profiles(state, members | set(newcomers)),
        newcomers=newcomers,
        groups=groups,
        tiers={name: tier for name in active if (tier := state.groups[name].tier) is not None},
    )


def _publications(state: FederationState, name: GroupId, group: GroupState) -> Iterator[c.Command]:
    if group.tier is None:
        return
    downward = state.opened.rounds.downward and state.stage is Stage.LEARNING
    if downward:  # who has finished may be a guest all the same
        key = f"announce/{name}/{group.revision}/{state.standing}"
        yield c.AnnounceGroup(key=key, group=name, tier=group.tier)
    elif group.phase is not Phase.FINISHED:
        yield c.AnnounceGroup(key=f"announce/{name}/{group.revision}", group=name, tier=group.tier)
    if group.phase is not Phase.FINISHED:
        if group.phase is Phase.COLLECTING and group.cohort is not None:
            opened = group.cohort.opened
            yield c.PublishRound(key=f"publish/{opened.cohort}", opened=opened, tier=group.tier)
    elif group.model is not None:
        yield c.PublishTarget(
            key=f"target/{name}",
            group=name,
            tier=group.tier,
            version=group.version,
            model=group.model,
            reason=group.ending or "",
        )


def _profiles(state: FederationState, devices: list[DeviceId] | set[DeviceId]) -> dict[DeviceId, HardwareProfile]:
    profiles = ((device, state.devices[device].profile) for device in sorted(devices))
    return {device: profile for device, profile in profiles if profile is not None}


def _contributions(cohort: CohortState) -> tuple[c.Contribution, ...]:
    updates = (cohort.accepted[device] for device in cohort.survivors or ())
    return tuple(
        c.Contribution(device=one.device, blob=one.blob, samples=one.samples)
        for one in updates
        if isinstance(one, UpdateAccepted)
    )
