"""Logs of federations that were written rather than run: of any size, and with all that can go wrong."""

from collections.abc import Iterator

from tests.runtime import helpers
from tierwise.core import events as e
from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareEnvelope, HardwareProfile
from tierwise.core.ids import BlobHash, CohortId, DeviceId, GroupId, ModelVersion, RoundNumber, TierName, cohort_id
from tierwise.core.metrics import Metric, Metrics
from tierwise.core.tiers import Cost, Tier
from tierwise.runtime.figures import Run

LAYOUT = helpers.make_learner(helpers.plugins(), helpers.plugins().tier_provider("mlp").offers(helpers.TASK)[0]).layout
COST = Cost(parameters=10, fit_flops_per_sample=60.0, evaluate_flops_per_sample=20.0, bytes=1000, memory_bytes=5000)
HOSTILE = "it said </script><img src=x onerror=alert(1)> & went"


def written_run(devices: int = 12, groups: int = 2, rounds: int = 3, *, abandoned: int = 0, ended: bool = True) -> Run:
    """Write a log and replay it.

    Parameters
    ----------
    devices
        The last two are in no group, and removed.
    groups, rounds
        Of each group, how many close.
    abandoned
        Each so many-th one is abandoned before it is held again; 0 for none.
    ended
        Whether the last group has ended.
    """
    events = list(_events(devices, groups, rounds, abandoned, ended))
    return Run.replayed([e.Record(sequence=n, at=at, event=event) for n, (at, event) in enumerate(events)])


def _events(devices: int, groups: int, rounds: int, abandoned: int, ended: bool) -> Iterator[tuple[float, e.Event]]:
    names = [DeviceId(f"d{number:05}") for number in range(devices)]
    profiles = {name: _profile(number) for number, name in enumerate(names)}
    yield 0.0, e.FederationOpened(settings=helpers.settings(devices))
    for name in names:
        yield 0.1, e.DeviceEnrolled(device=name)
        yield 0.1, e.HardwareReported(device=name, profile=profiles[name])
    yield 0.2, e.GroupingOpened(devices=tuple(names))
    placed = names[:-2]
    size = len(placed) // groups
    members = [placed[n * size : (n + 1) * size if n < groups - 1 else None] for n in range(groups)]
    formed = [
        e.GroupFormed(
            group=GroupId(f"g{n + 1}"),
            devices=tuple(one),
            envelope=HardwareEnvelope.of(profiles[name] for name in one),
        )
        for n, one in enumerate(members)
    ]
    yield 0.3, e.GroupsFormed(groups=tuple(formed), unplaced=dict.fromkeys(names[-2:], HOSTILE))
    yield 0.4, e.DeviceRemoved(device=names[-1], reason="its owner took it")
    for number, one in enumerate(formed):
        yield from _group(one, rounds, abandoned, pace_s=10.0 / (number + 1), ended=ended or number < groups - 1)
    if ended:
        yield 1e6, e.FederationFinished()


def _profile(number: int) -> HardwareProfile:
    return HardwareProfile.declared(
        cpu_flops=1e9 * (1 + number), memory_bytes=2.0 ** (28 + number % 9), uplink_bytes_per_s=1e6 * (1 + number % 4)
    )


def _group(
    formed: e.GroupFormed, rounds: int, abandoned: int, pace_s: float, ended: bool
) -> Iterator[tuple[float, e.Event]]:
    group, now, number, blob = formed.group, 1.0, 0, BlobHash("0" * 64)
    tier = Tier(name=TierName(f"tier-{group}"), learner="mlp", options={}, layout=LAYOUT, cost=COST)
    yield now, e.TierAssigned(group=group, tier=tier, model=blob)
    for version in range(1, rounds + 1):
        if abandoned and version % abandoned == 0:
            number += 1
            cohort, opened = _opened(formed, number, version - 1, now + pace_s)
            yield now, opened
            now += pace_s
            yield now, e.RoundAbandoned(group=group, round=RoundNumber(number), cohort=cohort, reason=HOSTILE)
        number += 1
        cohort, opened = _opened(formed, number, version - 1, now + pace_s)
        yield now, opened
        now += pace_s
        survivors = formed.devices[:MINIMUM]
        for name in survivors:
            yield (
                now,
                e.UpdateAccepted(
                    cohort=cohort, device=name, blob=blob, size_bytes=1100, samples=5, metrics=_metrics(version - 1)
                ),
            )
        yield now, e.CohortClosed(group=group, cohort=cohort, survivors=survivors)
        yield (
            now,
            e.RoundClosed(
                group=group,
                round=RoundNumber(number),
                cohort=cohort,
                version=ModelVersion(version),
                model=blob,
                optimizer_state=None,
                devices=len(survivors),
                samples=15,
                metrics=_metrics(version - 1),
            ),
        )
        yield now, e.StopChecked(group=group, version=ModelVersion(version), reason=None)
    if ended:
        cohort, opened = _opened(formed, number + 1, rounds, now + 60, e.Purpose.EVALUATE)
        yield now, opened
        for name in formed.devices[:MINIMUM]:
            yield now + 1, e.EvaluationAccepted(cohort=cohort, device=name, metrics=_metrics(rounds))
        yield (
            now + 1,
            e.GroupFinished(
                group=group,
                reason=f"{rounds} rounds",
                version=ModelVersion(rounds),
                model=blob,
                metrics=_metrics(rounds),
            ),
        )


def _opened(
    formed: e.GroupFormed, number: int, version: int, deadline_at: float, purpose: e.Purpose = e.Purpose.FIT
) -> tuple[CohortId, e.RoundOpened]:
    cohort = cohort_id(formed.group, RoundNumber(number))
    return cohort, e.RoundOpened(
        group=formed.group,
        round=RoundNumber(number),
        cohort=cohort,
        purpose=purpose,
        version=ModelVersion(version),
        model=BlobHash("0" * 64),
        participants=formed.devices,
        deadline_at=deadline_at,
        seed=1,
    )


def _metrics(version: int) -> Metrics:
    return {"accuracy": Metric(sum=30.0 * version / (version + 2), count=30)}
