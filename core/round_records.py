"""What a closed round is remembered by: stop rules and figures read it."""

from collections.abc import Iterable

from tierwise.core import events as e
from tierwise.core.hardware import POWER
from tierwise.core.state import CohortState, FederationState, GroupState
from tierwise.core.stopping import RoundRecord
from tierwise.core.tiers import Cost


def round_record(
    state: FederationState, group: GroupState, cohort: CohortState, event: e.RoundClosed, at: float
) -> RoundRecord:
    """Return the record of a round of ``group`` that ``event`` closes at a federation time (seconds)."""
    assert group.tier is not None
    sent = [cohort.accepted[name] for name in cohort.survivors or ()]
    return RoundRecord(
        round=event.round,
        version=event.version,
        metrics=event.metrics,
        opened_at=cohort.opened_at,
        closed_at=at,
        devices=event.devices,
        samples=event.samples,
        download_bytes=group.tier.cost.bytes * len(cohort.opened.participants),
        upload_bytes=sum(one.size_bytes for one in sent if isinstance(one, e.UpdateAccepted)),
        participants=len(cohort.opened.participants),
        energy_j=_energy_j(state, group.tier.cost, sent),
    )


def _energy_j(
    state: FederationState, cost: Cost, sent: Iterable[e.UpdateAccepted | e.EvaluationAccepted]
) -> float | None:
    """Predict what a round cost the devices, in joules, as far as their power is known."""
    known = []
    for one in sent:
        device = state.devices.get(one.device)  # it may have been removed since
        profile = None if device is None else device.profile
        if isinstance(one, e.UpdateAccepted) and profile is not None and POWER in profile.quantities:
            fitted = state.opened.rounds.budget.samples(one.samples)
            evaluated = max((metric.count for metric in one.metrics.values()), default=0)
            known.append(cost.predict(profile, fit_samples=fitted, evaluate_samples=evaluated).energy_j)
    told = [energy_j for energy_j in known if energy_j is not None]
    return sum(told) if told else None
