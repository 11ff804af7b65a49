"""What participants send back: updates, evaluations, and the word that nothing will come."""

import math
from collections.abc import Sequence
from typing import Final

from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.deciding.devices import known_device, refuse_quarantined
from tierwise.core.deciding.rejected import Rejected
from tierwise.core.ids import BlobHash, CohortId, DeviceId
from tierwise.core.metrics import Metrics
from tierwise.core.standardising import names_of_sums
from tierwise.core.state import CohortState, FederationState, Phase

SAMPLES_LIMIT: Final = 2**31 - 1
"""An update's weight at the most, whatever the settings say: more is a mistake, or a device that wants to outvote the
rest."""
NAMES_LIMIT: Final = 10
"""Names that a reason lists."""
REASON_LIMIT: Final = 500
"""Characters of a reason that are kept: what a device says, and says wrong, has any length."""


def submit_update(state: FederationState, given: i.SubmitUpdate, now: float) -> tuple[e.Event, ...]:
    """Accept an update once, in time, from the right base."""
    cohort = _open_cohort(state, given, now)
    if not cohort.fits:
        raise Rejected(e.Refusal.MALFORMED, f"cohort {given.cohort} wants measurements, not an update")
    most = min(state.opened.updates.max_samples or SAMPLES_LIMIT, SAMPLES_LIMIT)
    if not 1 <= given.samples <= most:
        raise Rejected(
            e.Refusal.MALFORMED,
            f"device {given.device!r} gives its update a weight of {given.samples} samples, 1 to {most} are allowed",
        )
    _check_metrics(state.opened.task.sums, given.device, given.metrics)
    return (
        e.UpdateAccepted(
            arrived_at=given.arrived_at,
            cohort=given.cohort,
            device=given.device,
            blob=given.blob,
            size_bytes=given.size_bytes,
            samples=given.samples,
            metrics=given.metrics,
        ),
    )


def submit_evaluation(state: FederationState, given: i.SubmitEvaluation, now: float) -> tuple[e.Event, ...]:
    """Accept an evaluation once, in time, of the right model."""
    cohort = _open_cohort(state, given, now)
    if cohort.fits:
        raise Rejected(e.Refusal.MALFORMED, f"cohort {given.cohort} wants an update, not only an evaluation")
    task = state.opened.task
    _check_metrics(task.sums if cohort.closing else names_of_sums(task.features), given.device, given.metrics)
    return (
        e.EvaluationAccepted(
            arrived_at=given.arrived_at, cohort=given.cohort, device=given.device, metrics=given.metrics
        ),
    )


def decline(state: FederationState, given: i.DeclineTask, _now: float) -> tuple[e.Event, ...]:
    """Stop waiting for a participant."""
    known_device(state, given.device)
    cohort = _collecting(state, given.cohort)
    if cohort is None or given.device not in cohort.waiting:
        return ()
    return (e.TaskDeclined(cohort=given.cohort, device=given.device, reason=_short(given.reason)),)


def report_fault(state: FederationState, given: i.ReportFault, _now: float) -> tuple[e.Event, ...]:
    """Count what cannot be used, stop waiting for its sender, and quarantine who goes on like that."""
    device = known_device(state, given.device)
    refuse_quarantined(given.device, device)
    cohort = None if given.cohort is None else _collecting(state, given.cohort)
    concerned = cohort is not None and given.device in cohort.opened.participants
    fault = e.DeviceFaulted(
        device=given.device,
        cohort=given.cohort if concerned else None,
        refusal=given.refusal,
        reason=_short(given.reason),
    )
    faults = device.faults + 1
    if faults < state.opened.updates.quarantine_after:
        return (fault,)
    reason = f"{faults} things in a row that it sent could not be used, the last because {fault.reason}"
    return fault, e.DeviceQuarantined(device=given.device, reason=reason)


def reject_repetition(state: FederationState, given: i.SubmitUpdate | i.SubmitEvaluation) -> None:
    """Reject what was accepted before as a duplicate: its sender missed the receipt and needs it again."""
    device = state.devices.get(given.device)
    if device is not None and given.cohort in device.accepted.values():
        raise Rejected(e.Refusal.DUPLICATE, f"device {given.device!r} has delivered for {given.cohort}")


def _open_cohort(state: FederationState, given: i.SubmitUpdate | i.SubmitEvaluation, now: float) -> CohortState:
    """Return the cohort that still takes this contribution, or reject it."""
    name: DeviceId = given.device
    device = known_device(state, name)
    reject_repetition(state, given)
    refuse_quarantined(name, device)
    cohort = _collecting(state, given.cohort)
    if cohort is None:
        if state.group_of_cohort(given.cohort) is None:
            raise Rejected(e.Refusal.UNKNOWN_COHORT, f"there has been no cohort {given.cohort!r}")
        raise Rejected(e.Refusal.LATE, f"cohort {given.cohort} is closed")
    late_s = (now if given.arrived_at is None else given.arrived_at) - cohort.opened.deadline_at
    if late_s > 0:
        raise Rejected(e.Refusal.LATE, f"it came {late_s:.3g} s after the deadline of cohort {given.cohort}")
    if name not in cohort.waiting and name not in cohort.opened.participants:  # the first is quick to tell
        raise Rejected(e.Refusal.NOT_SELECTED, f"device {name!r} is not in cohort {given.cohort}")
    _check_base(name, given.base, cohort.opened.model)
    return cohort


def _named(metrics: set[str]) -> str:
    listed = sorted(metrics)
    return str(listed) if len(listed) <= NAMES_LIMIT else f"{listed[:NAMES_LIMIT]} and {len(listed) - NAMES_LIMIT} more"


def _short(reason: str) -> str:
    return reason if len(reason) <= REASON_LIMIT else f"{reason[:REASON_LIMIT]}…"


def _collecting(state: FederationState, cohort: CohortId) -> CohortState | None:
    group = state.group_of_cohort(cohort)
    if group is None:
        return None
    found = state.groups[group]
    if found.phase is not Phase.COLLECTING or found.cohort is None or found.cohort.opened.cohort != cohort:
        return None
    return found.cohort


def _check_base(name: DeviceId, base: BlobHash, expected: BlobHash) -> None:
    if base != expected:
        raise Rejected(
            e.Refusal.WRONG_BASE,
            f"device {name!r} started from model {base[:12]}, the round's is {expected[:12]}",
        )


def _check_metrics(wanted: Sequence[str], name: DeviceId, metrics: Metrics) -> None:
    if len(metrics) != len(wanted) or any(metric not in metrics for metric in wanted):
        raise Rejected(
            e.Refusal.MALFORMED,
            f"device {name!r} reports the metrics {_named(set(metrics))}, the task has {_named(set(wanted))}",
        )
    for metric, value in metrics.items():
        sum_without_samples = value.count == 0 and value.sum != 0
        if not math.isfinite(value.sum) or not 0 <= value.count <= SAMPLES_LIMIT or sum_without_samples:
            raise Rejected(
                e.Refusal.MALFORMED,
                f"device {name!r} reports {metric} as sum {value.sum} over {value.count} samples",
            )
