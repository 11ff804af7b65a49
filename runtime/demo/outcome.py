"""What an arm of the demonstration gave: figures taken from its event log, none assumed."""

from collections.abc import Mapping
from dataclasses import dataclass

from tierwise.core import events as e
from tierwise.core.ids import CohortId, DeviceId
from tierwise.core.metrics import Metric, add_metrics
from tierwise.runtime.figures import Run, RunFigures
from tierwise.runtime.simulation.fleet import DeviceSpec


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
    accuracy
        Right answers of the devices' target models, over the hold-outs of all devices.
    trained_s
        Federation time in seconds when the last round closed; the closing evaluation, which has no deadline, is later.
    """

    figures: RunFigures
    reached: int
    data_share: float
    accuracy: Metric
    trained_s: float


def read_outcome(run: Run, devices: Mapping[DeviceId, DeviceSpec]) -> Outcome:
    """Take an arm's figures from its log.

    Raises
    ------
    ValueError
        If a device's hold-out is missing in the closing evaluation: the arms would not be compared on the same
        samples.
    """
    contributors = _contributors(run)
    samples = {name: len(spec.data.train) for name, spec in devices.items()}
    metrics = add_metrics(group.metrics for group in run.state.groups.values())
    held_out = sum(len(spec.data.holdout) for spec in devices.values())
    if metrics["accuracy"].count != held_out:
        raise ValueError(f"{metrics['accuracy'].count} of {held_out} hold-out samples were evaluated")
    return Outcome(
        figures=run.figures,
        reached=len(contributors),
        data_share=sum(samples[name] for name in contributors) / sum(samples.values()),
        accuracy=metrics["accuracy"],
        trained_s=max(group.history[-1].closed_at for group in run.state.groups.values()),
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
    return contributors
