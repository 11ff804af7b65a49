"""What a federation cost its devices: bytes on their links, joules in their processors, useful or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tierwise.core import events as e
from tierwise.core.events import Record
from tierwise.core.hardware import POWER
from tierwise.core.ids import CohortId, DeviceId
from tierwise.core.settings import RoundSettings
from tierwise.core.state import FederationState
from tierwise.core.tiers import Cost
from tierwise.runtime.report.rows import RoundRow, read_rounds
from tierwise.runtime.simulation.fleet import DeviceSpec


@dataclass(frozen=True, slots=True)
class Spent:
    """What all devices together spent.

    Attributes
    ----------
    traffic_bytes
        Models down to every participant, in vain or not, and updates up, those that came too late among them.
    energy_j
        Each device's power at full load times the seconds for which it computed, also for rounds that it missed;
        None if the power of any of them is not known. Links are not in it.
    """

    traffic_bytes: float
    energy_j: float | None


def read_spending(records: Sequence[Record], state: FederationState, devices: Mapping[DeviceId, DeviceSpec]) -> Spent:
    """Add up what the devices spent, from the log and from what their hardware says a round takes.

    A device that misses a deadline stops when its round closes: until then it has computed, and if it was done, it was
    sending.
    """
    settings = state.opened.rounds
    opened = {record.event.cohort: record.event for record in records if isinstance(record.event, e.RoundOpened)}
    uploads: dict[CohortId, int] = {}
    for record in records:
        if isinstance(record.event, e.UpdateAccepted):
            uploads[record.event.cohort] = uploads.get(record.event.cohort, 0) + record.event.size_bytes
    traffic, energy, known = 0.0, 0.0, True
    for cohort, row in zip(opened, read_rounds(records), strict=True):
        asked = opened[cohort]
        tier = state.groups[asked.group].tier
        assert tier is not None
        traffic += tier.cost.bytes * len(asked.participants) + uploads.get(cohort, 0)
        fits = asked.purpose is e.Purpose.FIT
        in_vain = 0
        for name in asked.participants:
            computed_s, sent = _one(tier.cost, devices[name], settings, row, fits=fits)
            in_vain += sent
            power = devices[name].profile.quantities.get(POWER)
            known = known and power is not None
            energy += power.value * computed_s if power is not None else 0.0
        if fits:
            traffic += tier.cost.update_bytes * max(0, in_vain - row.delivered)
    return Spent(traffic, energy if known else None)


def _one(cost: Cost, device: DeviceSpec, settings: RoundSettings, row: RoundRow, *, fits: bool) -> tuple[float, bool]:
    """Return for how many seconds a device computed in a round, and whether it was done before the round's end."""
    takes = cost.predict(
        device.profile,
        fit_samples=settings.budget.samples(len(device.data.train)) if fits else 0,
        evaluate_samples=len(device.data.holdout),
    )
    had_s = row.ended_s - row.opened_s - takes.download_s
    return min(max(had_s, 0.0), takes.compute_s), takes.compute_s < had_s
