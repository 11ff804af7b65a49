"""Running the demonstration's federations, and putting their figures side by side."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

import msgspec

from tierwise.core import events as e
from tierwise.core.learning import StopToken
from tierwise.plugins.manager import Plugins
from tierwise.runtime.demo.outcome import Outcome, read_outcome
from tierwise.runtime.demo.plan import Plan
from tierwise.runtime.figures import Run
from tierwise.runtime.simulation.run import simulate


class ArmName(StrEnum):
    """The two federations on one fleet."""

    GROUPED = "tierwise"
    SINGLE = "one model for all"


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What one seed gave.

    Attributes
    ----------
    plan
        Fleet, data, deadline.
    run
        The log and target models of the federation with groups.
    grouped, single
        The figures of both.
    """

    plan: Plan
    run: Run
    grouped: Outcome
    single: Outcome


def run_arm(
    plan: Plan, name: ArmName, plugins: Plugins, stop: StopToken, watch: Callable[[e.Event | e.Notice], None]
) -> Run:
    """Simulate one of a plan's federations.

    Raises
    ------
    FitStopped
        If ``stop`` was told to.
    """
    arm = plan.grouped if name is ArmName.GROUPED else plan.single
    simulation = simulate(arm.settings, plan.devices, policies=arm.policies, plugins=plugins, stop=stop, watch=watch)
    return Run.of(simulation)


def conclude(plan: Plan, grouped: Run, single: Run) -> SeedResult:
    """Take the figures of both federations of a plan."""
    return SeedResult(plan, grouped, read_outcome(grouped, plan.devices), read_outcome(single, plan.devices))


# -- side by side


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
    accuracy
        On the hold-outs of all devices.
    trained_s
        Simulated seconds until the last round closed.
    """

    name: ArmName
    reached: Spread
    data_share: Spread
    accuracy: Spread
    trained_s: Spread


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
    deadline_s
        For each seed, the time in which the median device finishes a round of the largest tier.
    groups
        Of the federation with groups.
    arms
        Both federations.
    """

    seeds: tuple[int, ...]
    devices: int
    deadline_s: tuple[float, ...]
    groups: tuple[GroupFiguresOverSeeds, ...]
    arms: tuple[ArmFigures, ...]


def compare(results: Sequence[SeedResult]) -> Comparison:
    """Put the figures of at least one seed side by side."""
    return Comparison(
        seeds=tuple(one.plan.seed for one in results),
        devices=len(results[0].plan.devices),
        deadline_s=tuple(one.plan.deadline_s for one in results),
        groups=tuple(_group_over_seeds(rank, results) for rank in range(_ranks(results))),
        arms=(
            _arm_over_seeds(ArmName.GROUPED, [one.grouped for one in results]),
            _arm_over_seeds(ArmName.SINGLE, [one.single for one in results]),
        ),
    )


def _ranks(results: Sequence[SeedResult]) -> int:
    return min(len(one.grouped.figures.groups) for one in results)


def _arm_over_seeds(name: ArmName, outcomes: Sequence[Outcome]) -> ArmFigures:
    return ArmFigures(
        name=name,
        reached=Spread.of(float(one.reached) for one in outcomes),
        data_share=Spread.of(one.data_share for one in outcomes),
        accuracy=Spread.of(one.accuracy.mean for one in outcomes),
        trained_s=Spread.of(one.trained_s for one in outcomes),
    )


def _group_over_seeds(rank: int, results: Sequence[SeedResult]) -> GroupFiguresOverSeeds:
    groups = [one.grouped.figures.groups[rank] for one in results]
    return GroupFiguresOverSeeds(
        rank=rank,
        devices=Spread.of(float(group.devices) for group in groups),
        tiers=tuple(sorted({str(group.tier) for group in groups})),
        parameters=Spread.of(float(group.parameters or 0) for group in groups),
        rounds=Spread.of(float(group.rounds) for group in groups),
        accuracy=Spread.of(group.metrics["accuracy"].value or 0.0 for group in groups),
        simulated_s=Spread.of(group.simulated_s for group in groups),
    )
