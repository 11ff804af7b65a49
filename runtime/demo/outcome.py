"""What an arm of the demonstration gave: figures of its log and its models, none assumed."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tierwise.core import events as e
from tierwise.core.ids import CohortId, DeviceId
from tierwise.core.learning import StopToken
from tierwise.plugins.manager import Plugins
from tierwise.runtime.demo.measuring import KeepingStore, Moment, measure
from tierwise.runtime.demo.plan import ArmName, Plan
from tierwise.runtime.demo.spending import read_spending
from tierwise.runtime.figures import Run, RunFigures
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import simulate


@dataclass(frozen=True, slots=True)
class Outcome:
    """An arm's figures.

    Attributes
    ----------
    figures
        Of each group, weakest first.
    reached
        Devices with an update in a model.
    data_share
        Their training samples, as a part of all devices'.
    accuracy, worst
        Of the devices' target models over the hold-outs of all devices, and of the worst tenth of devices; None of too
        few.
    course
        Accuracy over federation time.
    trained_s
        Federation time in seconds when the last round closed; 0 if none did.
    traffic_bytes, energy_j
        As in `Spent`.
    """

    figures: RunFigures
    reached: int
    data_share: float
    accuracy: float
    worst: float | None
    course: tuple[Moment, ...]
    trained_s: float
    traffic_bytes: float
    energy_j: float | None


@dataclass(frozen=True, slots=True)
class ArmResult:
    """An arm that was run: its log and target models, and its figures."""

    name: ArmName
    run: Run
    outcome: Outcome


def run_arm(
    plan: Plan,
    name: ArmName,
    plugins: Plugins,
    stop: StopToken,
    watch: Callable[[e.Event | e.Notice], None] | None = None,
) -> ArmResult:
    """Simulate one of a plan's federations, and measure it.

    Raises
    ------
    FederationError
        If it failed.
    FitStopped
        If ``stop`` was told to.
    """
    arm, store = plan.arm(name), KeepingStore()
    simulate(
        plan.settings,
        plan.devices,
        policies=arm.policies,
        plugins=plugins,
        store=store,
        stop=stop,
        watch=watch,
        own=arm.own,
    )
    kinds = {name: str(model.kind) for name, model in (plan.models or {}).items()}
    run = asyncio.run(Run.read(store, kinds))
    return ArmResult(name, run, read_outcome(run, store, plan.devices, plugins))


def read_outcome(run: Run, store: KeepingStore, devices: Mapping[DeviceId, DeviceSpec], plugins: Plugins) -> Outcome:
    """Take an arm's figures."""
    contributors = _contributors(run)
    samples = {name: len(spec.data.train) for name, spec in devices.items()}
    worth = measure(run.records, run.state, store.models, devices, plugins)
    spent = read_spending(run.records, run.state, devices)
    closed = [group.history[-1].closed_at for group in run.state.groups.values() if group.history]
    return Outcome(
        figures=run.figures,
        reached=len(contributors),
        data_share=sum(samples[name] for name in contributors) / sum(samples.values()),
        accuracy=worth.accuracy,
        worst=worth.worst,
        course=worth.course,
        trained_s=max(closed, default=0.0),
        traffic_bytes=spent.traffic_bytes,
        energy_j=spent.energy_j,
    )


def _contributors(run: Run) -> set[DeviceId]:
    survivors: dict[CohortId, tuple[DeviceId, ...]] = {}
    contributors: set[DeviceId] = set()
    for record in run.records:
        match record.event:
            case e.CohortClosed(cohort=cohort, survivors=devices):
                survivors[cohort] = devices
            case e.RoundClosed(cohort=cohort):
                contributors.update(survivors[cohort])
            case _:
                pass
    return contributors
