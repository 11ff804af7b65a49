"""Opening the federation; devices that join, report, are lost, come back, and are removed."""

from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.deciding.rejected import Rejected
from tierwise.core.ids import DeviceId, is_device_id
from tierwise.core.state import DeviceState, FederationState, Stage


def open_federation(state: FederationState, given: i.OpenFederation, _now: float) -> tuple[e.Event, ...]:
    """Open it, once."""
    if state.stage is not Stage.UNOPENED:
        raise Rejected(e.Refusal.OUT_OF_PLACE, "the federation is open already")
    opened = e.FederationOpened(
        settings=given.settings,
        plugins=given.plugins,
        exchanges=given.exchanges,
        tests=given.tests,
        policies=given.policies,
    )
    return (opened,)


def change_policies(_state: FederationState, given: i.ChangePolicies, _now: float) -> tuple[e.Event, ...]:
    """Note that the federation goes on with other options."""
    return (e.PoliciesChanged(policies=given.policies, plugins=given.plugins),)


def enrol(state: FederationState, given: i.EnrolDevice, _now: float) -> tuple[e.Event, ...]:
    """Let a device in, or back in; a repetition changes nothing."""
    name, task = given.device, state.opened.task
    if not is_device_id(name):
        raise Rejected(e.Refusal.MALFORMED, f"{name!r} cannot name a device: 1 to 64 of A-Z a-z 0-9 . _ - are allowed")
    if name in state.removed:
        raise Rejected(e.Refusal.REMOVED, f"device {name!r} was removed: {state.removed[name]}")
    if given.schema_hash != task.schema_hash:
        raise Rejected(
            e.Refusal.WRONG_TASK,
            f"device {name!r} has data of schema {given.schema_hash[:12]!r}, task {task.name!r} has schema "
            f"{task.schema_hash[:12]!r} ({task.features} features, {len(task.classes)} classes): give its agent "
            "data of this task",
        )
    known = state.devices.get(name)
    if known is not None:
        refuse_quarantined(name, known)
    visits = given.visits and state.opened.rounds.downward
    if known is None:
        return (e.DeviceEnrolled(device=name, visits=visits),)
    return (e.DeviceReturned(device=name, visits=visits),) if known.lost or known.visits != visits else ()


def report_hardware(state: FederationState, given: i.ReportHardware, _now: float) -> tuple[e.Event, ...]:
    """Note a profile that is new."""
    if known_device(state, given.device).profile == given.profile:
        return ()
    return (e.HardwareReported(device=given.device, profile=given.profile),)


def lose(state: FederationState, given: i.LoseDevice, _now: float) -> tuple[e.Event, ...]:
    """Note that a device cannot be reached."""
    if known_device(state, given.device).lost:
        return ()
    return (e.DeviceLost(device=given.device, reason=given.reason),)


def release(state: FederationState, given: i.ReleaseDevice, _now: float) -> tuple[e.Event, ...]:
    """Let a quarantined device take part again."""
    if known_device(state, given.device).quarantined is None:
        return ()
    return (e.DeviceReleased(device=given.device),)


def remove(state: FederationState, given: i.RemoveDevice, _now: float) -> tuple[e.Event, ...]:
    """Take a device out for good."""
    known_device(state, given.device)
    return (e.DeviceRemoved(device=given.device, reason=given.reason),)


def refuse_quarantined(name: DeviceId, device: DeviceState) -> None:
    """Reject the input of a device that is quarantined."""
    if device.quarantined is not None:
        raise Rejected(
            e.Refusal.QUARANTINED,
            f"device {name!r} is quarantined, since {device.quarantined}: mend it, and have the coordinator release it",
        )


def known_device(state: FederationState, name: DeviceId) -> DeviceState:
    """Return an enrolled device, or reject the input that names it."""
    found = state.devices.get(name)
    if found is not None:
        return found
    if name in state.removed:
        raise Rejected(e.Refusal.REMOVED, f"device {name!r} was removed: {state.removed[name]}")
    raise Rejected(e.Refusal.UNKNOWN_DEVICE, f"device {name!r} has not enrolled")
