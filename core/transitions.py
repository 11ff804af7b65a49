"""Applying events: how each fact changes the state. This is all that replay runs.

Two rules for this file. A transition is total: it never fails on an event that a decision made, so it judges
nothing. And it reads nothing but the event, its time and the state: the same events give the same state.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tierwise.core import events as e
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, ModelVersion
from tierwise.core.round_records import round_record
from tierwise.core.state import CohortState, DeviceState, FederationState, GroupState, Phase, Postponement, Stage


def transition(state: FederationState, event: e.Event, at: float) -> None:
    """Change ``state`` by ``event``, which was decided at ``at`` (federation time, seconds)."""
    _TRANSITIONS[type(event)](state, event, at)
    if isinstance(event, _OF_READINESS):
        device = state.devices.get(event.device)
        if device is not None and device.ready:
            state.ready.add(event.device)
        else:
            state.ready.discard(event.device)


# -- the federation and its devices


def _open(state: FederationState, event: e.FederationOpened, at: float) -> None:
    state.stage = Stage.ENROLLING
    state.settings = event.settings
    state.plugins, state.policies = event.plugins, event.policies
    state.exchanges = event.exchanges
    state.tests = event.tests
    state.opened_at = at


def _change_policies(state: FederationState, event: e.PoliciesChanged, _at: float) -> None:
    state.plugins, state.policies = event.plugins, event.policies


def _enrol(state: FederationState, event: e.DeviceEnrolled, _at: float) -> None:
    state.devices[event.device] = DeviceState(visits=event.visits)


def _report(state: FederationState, event: e.HardwareReported, _at: float) -> None:
    device = state.devices[event.device]
    device.profile = event.profile
    device.unplaced = None  # other hardware, another chance
    device.overdue = False
    if device.group is not None:
        state.groups[device.group].revision += 1
    _await_place(state, event.device)


def _lose(state: FederationState, event: e.DeviceLost, _at: float) -> None:
    device = state.devices[event.device]
    device.lost = True
    if device.group is not None:
        state.groups[device.group].revision += 1
    for group in state.groups.values():
        if group.cohort is not None and event.device in group.cohort.opened.guests:
            group.cohort.waiting.discard(event.device)  # no group waits for a guest that is gone


def _return(state: FederationState, event: e.DeviceReturned, _at: float) -> None:
    device = state.devices[event.device]
    device.lost = False
    device.visits = event.visits
    device.overdue = False
    if device.group is not None:
        state.groups[device.group].revision += 1
    _await_place(state, event.device)


def _await_place(state: FederationState, name: DeviceId) -> None:
    """Note a device that came too late for the grouping, and that a group could take in."""
    device = state.devices[name]
    being_grouped = state.grouping is not None and name in state.grouping
    too_late = state.stage in (Stage.GROUPING, Stage.LEARNING) and not being_grouped
    placeable = device.profile is not None and device.group is None and device.unplaced is None
    if too_late and placeable and device.quarantined is None:
        state.newcomers.add(name)


def _remove(state: FederationState, event: e.DeviceRemoved, _at: float) -> None:
    device = state.devices.pop(event.device)
    state.removed[event.device] = event.reason
    state.newcomers.discard(event.device)
    if device.group is not None:
        group = state.groups[device.group]
        group.members.discard(event.device)
        group.revision += 1
    for group in state.groups.values():  # it may be a guest in several
        if group.cohort is not None and group.cohort.survivors is None:  # else it is in the sum already
            group.cohort.waiting.discard(event.device)
            group.cohort.accepted.pop(event.device, None)


def _note_fault(state: FederationState, event: e.DeviceFaulted, _at: float) -> None:
    state.devices[event.device].faults += 1
    if event.cohort is not None:
        cohort = _cohort(state, event.cohort)
        cohort.waiting.discard(event.device)
        cohort.declined[event.device] = event.reason


def _quarantine(state: FederationState, event: e.DeviceQuarantined, _at: float) -> None:
    device = state.devices[event.device]
    device.quarantined = event.reason
    state.newcomers.discard(event.device)
    if device.group is not None:
        state.groups[device.group].revision += 1
    for group in state.groups.values():
        if group.cohort is not None:
            group.cohort.waiting.discard(event.device)  # what it delivered before was good, and counts


def _release(state: FederationState, event: e.DeviceReleased, _at: float) -> None:
    device = state.devices[event.device]
    device.quarantined = None
    device.faults = 0
    if device.group is not None:
        state.groups[device.group].revision += 1
    _await_place(state, event.device)


def _finish(state: FederationState, _event: e.FederationFinished, _at: float) -> None:
    state.stage = Stage.FINISHED


def _fail(state: FederationState, event: e.FederationFailed, _at: float) -> None:
    state.stage = Stage.FAILED
    state.failure = event.reason
    state.too_few_devices = event.too_few_devices


# -- grouping


def _open_grouping(state: FederationState, event: e.GroupingOpened, _at: float) -> None:
    state.stage = Stage.GROUPING
    profiles = ((name, state.devices[name].profile) for name in event.devices)
    state.grouping = {name: profile for name, profile in profiles if profile is not None}


def _form_groups(state: FederationState, event: e.GroupsFormed, _at: float) -> None:
    state.stage = Stage.LEARNING
    fleet, state.grouping = state.grouping or {}, None
    for rank, formed in enumerate(event.groups):
        members = {device for device in formed.devices if device in state.devices}  # some may be removed since
        profiles = (fleet[device] for device in formed.devices if device in fleet)
        state.groups[formed.group] = GroupState(rank=rank, envelope=formed.envelope.detailed(profiles), members=members)
        for device in members:
            state.devices[device].group = formed.group
    for name, reason in event.unplaced.items():
        if name in state.devices:
            state.devices[name].unplaced = reason


def _place(state: FederationState, event: e.DevicePlaced, _at: float) -> None:
    state.newcomers.discard(event.device)
    state.devices[event.device].group = event.group
    group = state.groups[event.group]
    group.members.add(event.device)
    group.revision += 1


def _leave_unplaced(state: FederationState, event: e.DeviceUnplaced, _at: float) -> None:
    state.newcomers.discard(event.device)
    state.devices[event.device].unplaced = event.reason


def _assign_tier(state: FederationState, event: e.TierAssigned, _at: float) -> None:
    group = state.groups[event.group]
    group.tier = event.tier
    group.model = event.model
    group.phase = _beginning(state)


def _beginning(state: FederationState) -> Phase:
    return Phase.OPENING if state.opened.task.standardise else Phase.SELECTING


# -- rounds


def _open_round(state: FederationState, event: e.RoundOpened, at: float) -> None:
    group = state.groups[event.group]
    group.round = event.round
    group.phase = Phase.COLLECTING
    group.postponed = None
    group.cohort = CohortState(opened=event, opened_at=at, waiting=set(event.participants))


def _postpone(state: FederationState, event: e.RoundPostponed, _at: float) -> None:
    group = state.groups[event.group]
    group.postponed = Postponement(revision=group.revision, reason=event.reason)


def _accept(state: FederationState, event: e.UpdateAccepted | e.EvaluationAccepted, _at: float) -> None:
    cohort = _cohort(state, event.cohort)
    cohort.waiting.discard(event.device)
    cohort.accepted[event.device] = event
    device = state.devices[event.device]
    group = _group_of(event.cohort)
    device.accepted.pop(group, None)  # so that the latest of all comes last
    device.accepted[group] = event.cohort
    device.faults = 0


def _decline(state: FederationState, event: e.TaskDeclined, _at: float) -> None:
    cohort = _cohort(state, event.cohort)
    cohort.waiting.discard(event.device)
    cohort.declined[event.device] = event.reason


def _close_cohort(state: FederationState, event: e.CohortClosed, _at: float) -> None:
    group = state.groups[event.group]
    cohort = _cohort(state, event.cohort)
    cohort.survivors = event.survivors
    group.phase = Phase.REDUCING
    _note_overdue(state, cohort)


def _note_overdue(state: FederationState, cohort: CohortState) -> None:
    """Note the guests that are waited for still, which is when the deadline has passed."""
    for name in cohort.waiting.intersection(cohort.opened.guests):
        device = state.devices[name]
        device.overdue = True
        if device.group is not None:
            state.groups[device.group].revision += 1


def _abandon(state: FederationState, event: e.RoundAbandoned, at: float) -> None:
    group = state.groups[event.group]
    if group.cohort is not None and at >= group.cohort.opened.deadline_at:
        _note_overdue(state, group.cohort)
    describes = group.cohort is not None and group.cohort.opened.purpose is e.Purpose.DESCRIBE
    group.cohort = None
    group.abandoned_in_a_row += 1
    group.abandoned_because = event.reason
    group.phase = Phase.OPENING if describes else Phase.SELECTING


def _close_round(state: FederationState, event: e.RoundClosed, at: float) -> None:
    group = state.groups[event.group]
    cohort = _cohort(state, event.cohort)
    group.history.append(round_record(state, group, cohort, event, at))
    group.version = event.version
    group.model = event.model
    group.optimizer_state = event.optimizer_state
    group.abandoned_in_a_row = 0
    group.made_by = event.cohort
    group.left_out = tuple(sorted(set(cohort.opened.participants).difference(cohort.survivors or ())))
    group.cohort = None
    group.peers = _models(state) if state.exchanges else {}
    group.phase = Phase.EXCHANGING if len(group.peers) > 1 else _after_exchange(state)


def _models(state: FederationState) -> dict[GroupId, tuple[ModelVersion, BlobHash]]:
    """Return the latest model of every group that has closed a round, weakest group first."""
    ranked = sorted(state.groups.items(), key=lambda item: item[1].rank)
    return {name: (group.version, group.model) for name, group in ranked if group.version and group.model is not None}


def _after_exchange(state: FederationState) -> Phase:
    return Phase.TESTING if state.tests else Phase.CHECKING


def _exchange(state: FederationState, event: e.ModelExchanged, _at: float) -> None:
    group = state.groups[event.group]
    group.model = event.model
    group.peers = {}
    group.phase = _after_exchange(state)


def _note_test(state: FederationState, event: e.ModelTested, _at: float) -> None:
    group = state.groups[event.group]
    group.history[-1] = msgspec.structs.replace(group.history[-1], test=event.metrics)
    group.phase = Phase.CHECKING


def _standardise(state: FederationState, event: e.ModelStandardised, _at: float) -> None:
    group = state.groups[event.group]
    group.model = event.model
    group.abandoned_in_a_row = 0
    group.cohort = None
    group.phase = Phase.SELECTING


def _note_stop(state: FederationState, event: e.StopChecked, _at: float) -> None:
    group = state.groups[event.group]
    group.ending = event.reason
    group.phase = Phase.SELECTING if event.reason is None else Phase.CLOSING


# -- groups that fall short, and ends


def _fall_short(state: FederationState, event: e.GroupShort, _at: float) -> None:
    state.groups[event.group].short_until = event.grace_until


def _recover(state: FederationState, event: e.GroupRecovered, _at: float) -> None:
    state.groups[event.group].short_until = None


def _merge(state: FederationState, event: e.GroupMerged, _at: float) -> None:
    source, target = state.groups[event.source], state.groups[event.target]
    for device in event.devices:
        state.devices[device].group = event.target
    source.members.difference_update(event.devices)
    target.members.update(event.devices)
    source.revision += 1
    target.revision += 1


def _finish_group(state: FederationState, event: e.GroupFinished, _at: float) -> None:
    group = state.groups[event.group]
    group.phase = Phase.FINISHED
    group.cohort = None
    group.peers = {}
    group.short_until = None
    group.postponed = None
    group.ending = event.reason
    group.failed = event.failed
    group.metrics = event.metrics


def _group_of(cohort: CohortId) -> GroupId:
    return GroupId(cohort.rpartition(".r")[0])


def _cohort(state: FederationState, cohort: CohortId) -> CohortState:
    found = state.groups[_group_of(cohort)].cohort
    assert found is not None
    assert found.opened.cohort == cohort
    return found


_OF_READINESS: Final = (
    e.HardwareReported,
    e.DeviceLost,
    e.DeviceReturned,
    e.DeviceRemoved,
    e.DeviceQuarantined,
    e.DeviceReleased,
)
"""What changes whether a device is `DeviceState.ready`."""
# Each function takes the event of its row; the table is what the type checker cannot see.
_TRANSITIONS: Final[dict[type[e.Event], Callable[[FederationState, Any, float], None]]] = {
    e.FederationOpened: _open,
    e.PoliciesChanged: _change_policies,
    e.DeviceEnrolled: _enrol,
    e.HardwareReported: _report,
    e.DeviceLost: _lose,
    e.DeviceReturned: _return,
    e.DeviceRemoved: _remove,
    e.DeviceFaulted: _note_fault,
    e.DeviceQuarantined: _quarantine,
    e.DeviceReleased: _release,
    e.FederationFinished: _finish,
    e.FederationFailed: _fail,
    e.GroupingOpened: _open_grouping,
    e.GroupsFormed: _form_groups,
    e.DevicePlaced: _place,
    e.DeviceUnplaced: _leave_unplaced,
    e.TierAssigned: _assign_tier,
    e.RoundOpened: _open_round,
    e.RoundPostponed: _postpone,
    e.UpdateAccepted: _accept,
    e.EvaluationAccepted: _accept,
    e.TaskDeclined: _decline,
    e.CohortClosed: _close_cohort,
    e.RoundAbandoned: _abandon,
    e.RoundClosed: _close_round,
    e.ModelStandardised: _standardise,
    e.ModelExchanged: _exchange,
    e.ModelTested: _note_test,
    e.StopChecked: _note_stop,
    e.GroupShort: _fall_short,
    e.GroupRecovered: _recover,
    e.GroupMerged: _merge,
    e.GroupFinished: _finish_group,
}
assert set(_TRANSITIONS) == set(e.Event.__subclasses__()), "every event needs a transition"
