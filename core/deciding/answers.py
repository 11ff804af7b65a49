"""What plugins answer to the machine's orders.

An answer that breaks its contract is the plugin's failure, not the devices': it ends the group that it was for (or
the federation, while there are no groups), with a reason that names the plugin. Waiting would be for ever.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.commanding import orders
from tierwise.core.deciding.endings import fail_group
from tierwise.core.deciding.rejected import Rejected
from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.ids import DeviceId, GroupId, ModelVersion, RoundNumber, cohort_id
from tierwise.core.metrics import Metric, Metrics, add_metrics
from tierwise.core.seeds import derive_seed
from tierwise.core.state import CohortState, FederationState

O = TypeVar("O", bound=c.Order)  # noqa: E741


def propose_groups(state: FederationState, given: i.GroupsProposed, _now: float) -> tuple[e.Event, ...]:
    """Form the groups, named in the order of their strength."""
    order = _answered(state, given, c.FormGroups)
    fault = given.grouping.fault(list(order.fleet))
    if fault is None and not given.grouping.groups:
        fault = f"it placed none of {len(order.fleet)} devices: {_first_reasons(given.grouping.unplaced)}"
    if fault is not None:
        return (e.FederationFailed(reason=f"the grouping policy's answer cannot be used: {fault}"),)
    formed = tuple(
        e.GroupFormed(
            group=GroupId(f"g{number}"),
            devices=tuple(sorted(devices)),
            envelope=HardwareEnvelope.of(order.fleet[device] for device in devices),
        )
        for number, devices in enumerate(given.grouping.groups, start=1)
    )
    return (e.GroupsFormed(groups=formed, unplaced=dict(given.grouping.unplaced)),)


def propose_placements(state: FederationState, given: i.PlacementsProposed, _now: float) -> tuple[e.Event, ...]:
    """Place late joiners, or say why they have no place."""
    order = _answered(state, given, c.PlaceDevices)
    answered = sorted((*given.placed, *given.unplaced))
    unknown = set(given.placed.values()) - set(order.groups)
    if answered != list(order.newcomers) or unknown:
        reason = (
            f"the grouping policy's placement cannot be used: it answered for {answered} and named the groups "
            f"{sorted(set(given.placed.values()))}, it was asked for {list(order.newcomers)} and "
            f"{list(order.groups)}"
        )
        return tuple(e.DeviceUnplaced(device=name, reason=reason) for name in order.newcomers)
    placed = (e.DevicePlaced(device=name, group=given.placed[name]) for name in sorted(given.placed))
    unplaced = (e.DeviceUnplaced(device=name, reason=given.unplaced[name]) for name in sorted(given.unplaced))
    return (*placed, *unplaced)


def propose_tier(state: FederationState, given: i.TierProposed, _now: float) -> tuple[e.Event, ...]:
    """Assign a tier."""
    order = _answered(state, given, c.ChooseTier)
    return (e.TierAssigned(group=order.group, tier=given.tier, model=given.model),)


def select_participants(state: FederationState, given: i.ParticipantsSelected, now: float) -> tuple[e.Event, ...]:
    """Open a round."""
    order = _answered(state, given, c.SelectParticipants)
    chosen = tuple(sorted(set(given.devices)))
    fault = _selection_fault(given.devices, chosen, order)
    if fault is not None:
        return fail_group(state, order.group, f"the selector's answer cannot be used: {fault}")
    deadline_at = now + state.opened.rounds.deadline_s
    guests = tuple(device for device in chosen if device in order.guests)
    return (open_round(state, order.group, e.Purpose.FIT, chosen, deadline_at, guests),)


def postpone_round(state: FederationState, given: i.SelectionPostponed, _now: float) -> tuple[e.Event, ...]:
    """Let a round wait until the group's devices change."""
    order = _answered(state, given, c.SelectParticipants)
    return (e.RoundPostponed(group=order.group, reason=given.reason),)


def open_round(
    state: FederationState,
    name: GroupId,
    purpose: e.Purpose,
    participants: tuple[DeviceId, ...],
    deadline_at: float,
    guests: tuple[DeviceId, ...] = (),
) -> e.RoundOpened:
    """Make the event that opens a group's next round on its latest model."""
    group = state.groups[name]
    assert group.model is not None
    number = RoundNumber(group.round + 1)
    return e.RoundOpened(
        group=name,
        round=number,
        cohort=cohort_id(name, number),
        purpose=purpose,
        version=group.version,
        model=group.model,
        participants=participants,
        deadline_at=deadline_at,
        seed=derive_seed(state.opened.seed, "round", name, str(number)),
        guests=guests,
    )


def reduce_cohort(state: FederationState, given: i.CohortReduced, _now: float) -> tuple[e.Event, ...]:
    """Commit a group's next model."""
    order = _answered(state, given, c.ReduceCohort)
    group = state.groups[order.group]
    cohort = group.cohort
    assert cohort is not None
    survivors = [contribution.device for contribution in order.contributions]
    return (
        e.RoundClosed(
            group=order.group,
            round=cohort.opened.round,
            cohort=order.cohort,
            version=ModelVersion(group.version + 1),
            model=given.model,
            optimizer_state=given.optimizer_state,
            devices=len(survivors),
            samples=sum(contribution.samples for contribution in order.contributions),
            metrics=_members_metrics(state, cohort, survivors),
        ),
    )


def _members_metrics(state: FederationState, cohort: CohortState, survivors: Sequence[DeviceId]) -> Metrics:
    members = [device for device in survivors if device not in cohort.opened.guests]
    if len(members) < MINIMUM:
        return {name: Metric(sum=0.0, count=0) for name in state.opened.task.sums}
    return add_metrics(cohort.accepted[device].metrics for device in members)


def standardise_model(state: FederationState, given: i.ModelAdjusted, _now: float) -> tuple[e.Event, ...]:
    """Take a group's initial model with the figures of its features."""
    order = _answered(state, given, c.StandardiseModel)
    return (e.ModelStandardised(group=order.group, cohort=order.cohort, model=given.model),)


def exchange_models(state: FederationState, given: i.ModelsExchanged, _now: float) -> tuple[e.Event, ...]:
    """Take what a group learned from others."""
    order = _answered(state, given, c.ExchangeModels)
    return (
        e.ModelExchanged(
            group=order.group,
            version=state.groups[order.group].version,
            model=given.model,
            teachers={name: peer.version for name, peer in order.models.items()},
        ),
    )


def report_test(state: FederationState, given: i.ModelMeasured, _now: float) -> tuple[e.Event, ...]:
    """Note what the coordinator measured."""
    order = _answered(state, given, c.MeasureModel)
    version = state.groups[order.group].version
    return (e.ModelTested(group=order.group, version=version, metrics=given.metrics),)


def rule_stop(state: FederationState, given: i.StopRuled, _now: float) -> tuple[e.Event, ...]:
    """Go on, or begin to end."""
    order = _answered(state, given, c.CheckStop)
    return (e.StopChecked(group=order.group, version=state.groups[order.group].version, reason=given.reason),)


def note_plugin_failure(state: FederationState, given: i.PluginFailed, _now: float) -> tuple[e.Event, ...]:
    """End what depends on a plugin that raised."""
    order = _answered(state, given, c.Order)
    reason = f"{given.plugin} failed: {given.reason}"
    match order:
        case c.PlaceDevices():
            return tuple(e.DeviceUnplaced(device=name, reason=reason) for name in order.newcomers)
        case (
            c.ChooseTier()
            | c.SelectParticipants()
            | c.StandardiseModel()
            | c.ReduceCohort()
            | c.ExchangeModels()
            | c.MeasureModel()
            | c.CheckStop()
        ):
            return fail_group(state, order.group, reason)
        case _:
            return (e.FederationFailed(reason=reason),)


def _answered(state: FederationState, given: i.Answer, kind: type[O]) -> O:
    """Return the order that is answered, or reject an answer that comes too late."""
    for order in orders(state):
        if order.key == given.order and isinstance(order, kind):
            return order
    raise Rejected(e.Refusal.STALE, f"nothing waits for an answer to {given.order!r} any more")


def _selection_fault(
    answered: Sequence[DeviceId], chosen: tuple[DeviceId, ...], order: c.SelectParticipants
) -> str | None:
    foreign = [device for device in chosen if device not in order.candidates and device not in order.guests]
    if foreign:
        return f"it chose {foreign}, who are no candidates"
    if len(chosen) != len(answered):
        return "it chose a device twice"
    own = sum(device in order.candidates for device in chosen)
    if own < MINIMUM:
        return f"it chose {own} of {len(order.candidates)} candidates, at least {MINIMUM} are needed"
    return None


def _first_reasons(unplaced: Mapping[DeviceId, str]) -> str:
    return "; ".join(f"{name}: {unplaced[name]}" for name in sorted(unplaced)[:3])
