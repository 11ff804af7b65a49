"""What an arm of the demonstration gave: figures taken from its event log and result, none assumed."""

from collections.abc import Mapping
from dataclasses import dataclass

from tierwise.core import events as e
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.metrics import Metrics, add_metrics
from tierwise.runtime.result import GroupResult
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import Simulation


@dataclass(frozen=True, slots=True)
class GroupOutcome:
    """A group of an arm.

    Attributes
    ----------
    result
        Its target model and history.
    simulated_s
        From the start of its first round to its end, in seconds.
    """

    result: GroupResult
    simulated_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """An arm's figures.

    Attributes
    ----------
    groups
        Weakest first.
    fleet
        Devices in all.
    reached
        Devices with an update in a model.
    data_share
        Their training samples, as a part of all devices'.
    metrics
        Over the hold-outs of all devices that answered the closing evaluation.
    simulated_s
        Until the last group ended, in seconds.
    """

    groups: tuple[GroupOutcome, ...]
    fleet: int
    reached: int
    data_share: float
    metrics: Metrics
    simulated_s: float

    @property
    def accuracy(self) -> float:
        """Part of the hold-out samples that the devices' target models classify rightly."""
        return self.metrics["accuracy"].mean


def read_outcome(simulation: Simulation, devices: Mapping[DeviceId, DeviceSpec]) -> Outcome:
    """Take an arm's figures from its simulation."""
    contributors: set[DeviceId] = set()
    opened_at: dict[GroupId, float] = {}
    ended_at: dict[GroupId, float] = {}
    accepted: dict[str, set[DeviceId]] = {}
    for record in simulation.records:
        match record.event:
            case e.RoundOpened():
                opened_at.setdefault(record.event.group, record.at)
            case e.UpdateAccepted():
                accepted.setdefault(record.event.cohort, set()).add(record.event.device)
            case e.RoundClosed():  # only what a closed round took is in a model
                contributors |= accepted[record.event.cohort]
            case e.GroupFinished():
                ended_at[record.event.group] = record.at
    groups = tuple(
        GroupOutcome(group, ended_at[group.group] - opened_at.get(group.group, ended_at[group.group]))
        for group in simulation.result.groups
    )
    samples = {name: len(spec.data.train) for name, spec in devices.items()}
    return Outcome(
        groups=groups,
        fleet=len(devices),
        reached=len(contributors),
        data_share=sum(samples[name] for name in contributors) / sum(samples.values()),
        metrics=add_metrics(group.result.metrics for group in groups),
        simulated_s=simulation.simulated_s,
    )
