"""What happens in a federation, in a sentence each: for logs that people read."""

import re
from collections.abc import Sequence
from typing import Final

from tierwise.core import events as e
from tierwise.core import messages as m
from tierwise.core.bus import SubscriberFailed
from tierwise.core.metrics import Metrics, read_metrics
from tierwise.runtime.cli import present

_INPUTS: Final = {
    "envelope": "a message",
    "EnrolDevice": "the hello",
    "ReportHardware": "the hardware profile",
    "SubmitUpdate": "an update",
    "SubmitEvaluation": "an evaluation",
    "DeclineTask": "a refusal",
    "LoseDevice": "the loss",
    "ReportFault": "a fault",
    "ReleaseDevice": "the release",
    "RemoveDevice": "the removal",
}
"""What the machine is asked to judge of a device, by the name of its class."""
NAMES_SHOWN: Final = 5
"""Of a list of devices; with more, the rest is counted."""

OTHERWISE: Final = {e.Purpose.DESCRIBE: "opening round", e.Purpose.EVALUATE: "closing evaluation"}
"""What a cohort is called that trains nothing."""


def tell(happening: e.Event | e.Notice) -> str:
    """Return what happened at the coordinator."""
    match happening:
        case e.FederationOpened():
            return f"federation {happening.settings.name} opened: waiting for {_waiting(happening)}"
        case e.PoliciesChanged():
            return "the federation goes on with other options, as was allowed"
        case e.GroupingOpened(devices=devices):
            return f"enrolment ended with {_devices(len(devices))}"
        case e.GroupsFormed():
            return _groups(happening)
        case e.FederationFinished():
            return "the federation has finished"
        case e.FederationFailed(reason=reason):
            return f"the federation has failed: {reason}"
        case e.InputRejected(reason=reason):
            of = "" if happening.device is None else f" of {happening.device}"
            return f"{_input(happening.input)}{of} was not taken: {reason}"
        case SubscriberFailed():
            return f"{happening.subscriber} failed on {happening.event_type}: {happening.error}"
        case _:
            return (
                _of_device(happening)
                or _of_trouble(happening)
                or _of_group(happening)
                or _of_model(happening)
                or _of_round(happening)
                or type(happening).__name__
            )


def _of_device(happening: e.Event | e.Notice) -> str | None:
    match happening:
        case e.DeviceEnrolled(device=device):
            return f"{device} joined"
        case e.HardwareReported(device=device):
            return f"{device} reported its hardware: {_hardware(happening)}"
        case e.DeviceLost(device=device, reason=reason):
            return f"{device} cannot be reached: {reason}"
        case e.DeviceReturned(device=device):
            return f"{device} is back"
        case e.DeviceRemoved(device=device, reason=reason):
            return f"{device} was removed: {reason}"
        case e.DevicePlaced(device=device, group=group):
            return f"{device} came late and joined {group}"
        case e.DeviceUnplaced(device=device, reason=reason):
            return f"{device} came late and fits no group: {reason}"
        case _:
            return None


def _of_trouble(happening: e.Event | e.Notice) -> str | None:
    match happening:
        case e.DeviceFaulted(device=device, reason=reason):
            return f"what {device} sent cannot be used: {reason}"
        case e.DeviceQuarantined(device=device, reason=reason):
            return f"{device} is quarantined: {reason}"
        case e.DeviceReleased(device=device):
            return f"{device} was released from quarantine"
        case _:
            return None


def _of_group(happening: e.Event | e.Notice) -> str | None:
    match happening:
        case e.TierAssigned(group=group, tier=tier):
            return f"{group}: tier {tier.name}, {tier.cost.parameters:,} parameters"
        case e.GroupShort(group=group, reachable=reachable):
            return f"{group}: only {_devices(reachable)} can be reached"
        case e.GroupRecovered(group=group):
            return f"{group}: enough devices again"
        case e.GroupMerged(source=source, target=target, devices=devices):
            return f"{source}: merged into {target}, with {_devices(len(devices))}"
        case e.StopChecked(group=group, reason=reason):
            return f"{group}: {'goes on' if reason is None else f'stops: {reason}'}"
        case e.GroupFinished(group=group, reason=reason):
            ended = "failed" if happening.failed else "finished"
            return f"{group}: {ended} with version {happening.version}: {reason}{_metrics(happening.metrics)}"
        case _:
            return None


def _of_model(happening: e.Event | e.Notice) -> str | None:
    match happening:
        case e.ModelStandardised(group=group):
            return f"{group}: its model knows the mean and deviation of each feature"
        case e.ModelExchanged(group=group, version=version, teachers=teachers):
            others = sorted(set(teachers) - {group})
            return f"{group}: version {version} learned from {', '.join(others) or 'no other group'}"
        case e.ModelTested(group=group, version=version):
            return f"{group}: version {version} on the coordinator's test set{_metrics(happening.metrics)}"
        case _:
            return None


def _of_round(happening: e.Event | e.Notice) -> str | None:
    match happening:
        case e.RoundOpened(group=group, participants=participants):
            what = f"round {happening.round}" if happening.purpose is e.Purpose.FIT else OTHERWISE[happening.purpose]
            guests = f", {len(happening.guests)} of them guests" if happening.guests else ""
            return f"{group}: {what} opened for {_devices(len(participants))}{guests}"
        case e.RoundPostponed(group=group, reason=reason):
            return f"{group}: the next round waits for devices: {reason}"
        case e.UpdateAccepted(cohort=cohort, device=device, samples=samples):
            return f"{cohort}: update of {device} over {samples:,} samples"
        case e.EvaluationAccepted(cohort=cohort, device=device):
            return f"{cohort}: evaluation of {device}"  # whose figures are its own affair
        case e.TaskDeclined(cohort=cohort, device=device, reason=reason):
            return f"{cohort}: {device} declined: {reason}"
        case e.CohortClosed(cohort=cohort, survivors=survivors):
            return f"{cohort}: nothing more is accepted, {_devices(len(survivors))} to be summed"
        case e.RoundAbandoned(group=group, reason=reason):
            return f"{group}: round {happening.round} abandoned: {reason}"
        case e.RoundClosed(group=group, devices=devices):
            return f"{group}: round {happening.round} closed with {_devices(devices)}{_metrics(happening.metrics)}"
        case _:
            return None


def hear(message: m.Message) -> str:
    """Return what passed between a device and its coordinator, as the device sees it."""
    return _sent(message) or _received(message) or type(message).__name__


def _sent(message: m.Message) -> str | None:
    match message:
        case m.Hello():
            return "said hello to the coordinator"
        case m.UpdateSent(cohort=cohort, samples=samples):
            return f"{cohort}: sent the update over {samples:,} samples{_metrics(message.metrics)}"
        case m.EvaluationSent(cohort=cohort):
            return f"{cohort}: sent the evaluation{_metrics(message.metrics)}"
        case m.TaskRefused(cohort=cohort, reason=reason):
            return f"{cohort}: declined: {reason}"
        case m.Goodbye(reason=reason):
            return f"said goodbye: {reason}"
        case _:
            return None


def _received(message: m.Message) -> str | None:
    match message:
        case m.Welcome(federation=federation):
            return f"joined federation {federation}"
        case m.Refused(reason=reason):
            return f"the coordinator refused this device: {reason}"
        case m.Assigned(assignment=assignment, also=also):
            visits = f"; a guest of {', '.join(one.group for one in also)}, when there is time" if also else ""
            return f"in {assignment.group}, with tier {assignment.tier.name}{visits}"
        case m.RoundAnnounced(cohort=cohort):
            what = "round" if message.purpose is e.Purpose.FIT else OTHERWISE[message.purpose]
            return f"{cohort}: {what} announced, {message.deadline_in_s:.3g} s to the deadline"
        case m.Receipt(cohort=cohort, refusal=refusal):
            return f"{cohort}: {'counted' if refusal is None else f'not counted: {message.reason}'}"
        case m.TargetAnnounced(group=group, version=version, reason=reason):
            return f"{group}: target model, version {version}: {reason}"
        case m.Dismissed(reason=reason):
            return f"dismissed: {reason}"
        case _:
            return None


# -- the pieces


def _input(name: str) -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
    return _INPUTS.get(name, f"what a plugin answered ({words})")


def _waiting(opened: e.FederationOpened) -> str:
    enrolment = opened.settings.enrolment
    parts = []
    if enrolment.min_devices is not None:
        parts.append(_devices(enrolment.min_devices))
    if enrolment.window_s is not None:
        parts.append(f"{enrolment.window_s:g} s")
    return " or ".join(parts)


def _hardware(reported: e.HardwareReported) -> str:
    quantities = sorted(reported.profile.quantities.items())
    return ", ".join(f"{name} {one.value:.3g}" for name, one in quantities) or "nothing is known"


def _groups(formed: e.GroupsFormed) -> str:
    groups = "; ".join(f"{one.group} {_names(one.devices)}" for one in formed.groups)
    unplaced = f"; in none: {_names(sorted(formed.unplaced))}" if formed.unplaced else ""
    return f"groups, weakest first: {groups}{unplaced}"


def _names(devices: Sequence[str]) -> str:
    shown = ", ".join(devices[:NAMES_SHOWN])
    more = len(devices) - NAMES_SHOWN
    return f"({shown}{f' and {more} more' if more > 0 else ''})"


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count:,} devices"


def _metrics(metrics: Metrics) -> str:
    shown = ((name, figure.value) for name, figure in read_metrics(metrics).items() if "." not in name)
    # A name with a point is one of the sums of features, which nobody reads.
    return "".join(f", {name} {present.metric(name, value)}" for name, value in shown if value is not None)
