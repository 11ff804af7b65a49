"""The demonstration's figures over several seeds, side by side."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import msgspec

from tierwise.runtime.demo.measuring import METRIC, reached
from tierwise.runtime.demo.outcome import ArmResult, Outcome
from tierwise.runtime.demo.plan import ArmName, Plan
from tierwise.runtime.figures import Run

TARGET: Final = 0.9
"""The common target, as a part of the best arm's accuracy in the end, in the same seed."""
MOST_MOMENTS: Final = 200
"""Of an arm's course, in a result."""


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What one seed gave.

    Attributes
    ----------
    plan
        Fleet, data, deadline.
    run
        The log and target models of tierwise's federation.
    outcomes
        By arm, in the plan's order.
    """

    plan: Plan
    run: Run
    outcomes: dict[ArmName, Outcome]

    @classmethod
    def of(cls, plan: Plan, arms: Iterable[ArmResult]) -> "SeedResult":
        """Put a plan's arms together, tierwise's among them."""
        by_name = {arm.name: arm for arm in arms}
        outcomes = {arm.name: by_name[arm.name].outcome for arm in plan.arms}
        return cls(plan, by_name[ArmName.TIERWISE].run, outcomes)

    @property
    def target(self) -> float:
        """The accuracy that is waited for."""
        return TARGET * max(one.accuracy for one in self.outcomes.values())


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over the seeds: its mean, its least and greatest value, and all values in the seeds' order."""

    mean: float
    least: float
    greatest: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Take the spread of at least one value."""
        found = tuple(values)
        return cls(mean=fmean(found), least=min(found), greatest=max(found), values=found)


class ArmFigures(msgspec.Struct, frozen=True, kw_only=True):
    """An arm over the seeds.

    Attributes
    ----------
    reached
        Devices with an update in a model.
    data_share
        Part of all training samples that is on those devices.
    accuracy, worst
        On the hold-outs of all devices, and of the tenth of devices that is worst off; None of too few devices.
    target_s
        Simulated seconds until the common target; None if it was not reached in every seed.
    reaching
        In how many seeds the target was reached.
    trained_s
        Simulated seconds until the last round closed.
    traffic_bytes
        Of all devices.
    energy_j
        Of all devices' processors, in joules; None if the power of any is not known.
    course
        Of the first seed: simulated seconds, and the accuracy from then on.
    """

    name: ArmName
    reached: Spread
    data_share: Spread
    accuracy: Spread
    worst: Spread | None
    target_s: Spread | None
    reaching: int
    trained_s: Spread
    traffic_bytes: Spread
    energy_j: Spread | None
    course: tuple[tuple[float, float], ...]


class GroupFiguresOverSeeds(msgspec.Struct, frozen=True, kw_only=True):
    """The groups of one rank over the seeds; 0 is the weakest."""

    rank: int
    devices: Spread
    tiers: tuple[str, ...]
    parameters: Spread
    rounds: Spread
    accuracy: Spread
    simulated_s: Spread


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The demonstration's result.

    Attributes
    ----------
    seeds
        Those that were finished.
    devices
        In each fleet.
    public
        Unlabelled samples that the coordinator holds.
    deadline_s
        For each seed, the time in which the median device finishes a round of the largest tier.
    target
        For each seed, the accuracy that the time to the target is about.
    groups
        Of tierwise's federation.
    arms
        All federations, tierwise's first.
    largest_class
        For each seed, the share of the most frequent class in all hold-outs; empty where it was not counted.
    """

    seeds: tuple[int, ...]
    devices: int
    public: int
    deadline_s: tuple[float, ...]
    target: tuple[float, ...]
    groups: tuple[GroupFiguresOverSeeds, ...]
    arms: tuple[ArmFigures, ...]
    largest_class: tuple[float, ...] = ()


def compare(results: Sequence[SeedResult]) -> Comparison:
    """Put the figures of at least one seed side by side."""
    first = results[0]
    ranks = min(len(one.outcomes[ArmName.TIERWISE].figures.groups) for one in results)
    return Comparison(
        seeds=tuple(one.plan.seed for one in results),
        devices=len(first.plan.devices),
        public=first.plan.public,
        deadline_s=tuple(one.plan.deadline_s for one in results),
        target=tuple(one.target for one in results),
        groups=tuple(_group_over_seeds(rank, results) for rank in range(ranks)),
        arms=tuple(_arm_over_seeds(name, results) for name in first.outcomes),
        largest_class=tuple(one.plan.largest_class for one in results),
    )


def _arm_over_seeds(name: ArmName, results: Sequence[SeedResult]) -> ArmFigures:
    outcomes = [one.outcomes[name] for one in results]
    times = [reached(one.outcomes[name].course, one.target) for one in results]
    found = [time for time in times if time is not None]
    worst = [one.worst for one in outcomes if one.worst is not None]
    energy = [one.energy_j for one in outcomes if one.energy_j is not None]

    def spread(value: Callable[[Outcome], float]) -> Spread:
        return Spread.of(value(one) for one in outcomes)

    return ArmFigures(
        name=name,
        reached=spread(lambda one: float(one.reached)),
        data_share=spread(lambda one: one.data_share),
        accuracy=spread(lambda one: one.accuracy),
        worst=Spread.of(worst) if len(worst) == len(outcomes) else None,
        target_s=Spread.of(found) if len(found) == len(times) else None,
        reaching=len(found),
        trained_s=spread(lambda one: one.trained_s),
        traffic_bytes=spread(lambda one: one.traffic_bytes),
        energy_j=Spread.of(energy) if len(energy) == len(outcomes) else None,
        course=_thinned(outcomes[0]),
    )


def _thinned(outcome: Outcome) -> tuple[tuple[float, float], ...]:
    stride = max(1, -(-len(outcome.course) // MOST_MOMENTS))
    kept = [*outcome.course[::stride], *outcome.course[-1:]]
    return tuple(dict.fromkeys((moment.at_s, moment.accuracy) for moment in kept))


def _group_over_seeds(rank: int, results: Sequence[SeedResult]) -> GroupFiguresOverSeeds:
    groups = [one.outcomes[ArmName.TIERWISE].figures.groups[rank] for one in results]
    return GroupFiguresOverSeeds(
        rank=rank,
        devices=Spread.of(float(group.devices) for group in groups),
        tiers=tuple(sorted({str(group.tier) for group in groups})),
        parameters=Spread.of(float(group.parameters or 0) for group in groups),
        rounds=Spread.of(float(group.rounds) for group in groups),
        accuracy=Spread.of((found.value or 0.0) if (found := group.metrics.get(METRIC)) else 0.0 for group in groups),
        simulated_s=Spread.of(group.simulated_s for group in groups),
    )
