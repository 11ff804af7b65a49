"""Measures what a federation's models are worth to all devices, from outside, when it is over.

A federation itself measures a model on the hold-outs of those who took part in a round, and half a fleet may miss every
deadline. Here each model that a group ever had is measured on the hold-outs of all its devices, which costs the
federation nothing and tells it nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tierwise.core import events as e
from tierwise.core.events import Record
from tierwise.core.framing import unframe
from tierwise.core.ids import BlobHash, DeviceId, GroupId
from tierwise.core.learning import Dataset, Learner
from tierwise.core.metrics import Metrics
from tierwise.core.state import FederationState, GroupState
from tierwise.core.task import Task
from tierwise.plugins.manager import Plugins
from tierwise.runtime.evaluation import worst_tenth
from tierwise.runtime.learners import Learners
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.stores.memory import MemoryStore

METRIC: Final = "accuracy"


class KeepingStore(MemoryStore):
    """A store in memory that also keeps every model that a group ever had.

    Attributes
    ----------
    models
        Their frames, by address.
    """

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[BlobHash, bytes] = {}

    async def append(self, records: Sequence[Record]) -> None:
        """Write records; a model is there before the record that names it."""
        await super().append(records)
        for record in records:
            match record.event:
                case e.TierAssigned(model=model) | e.RoundClosed(model=model) | e.ModelExchanged(model=model):
                    self.models[model] = bytes(await self.get(model))
                case _:
                    pass


@dataclass(frozen=True, slots=True)
class Moment:
    """From when on all groups' latest models together had an accuracy.

    Attributes
    ----------
    at_s
        Seconds of federation time.
    accuracy
        Right answers over the hold-outs of all devices, each by its group's model.
    """

    at_s: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Worth:
    """What the models of a federation are worth.

    Attributes
    ----------
    course
        From the first models on, in the order of time.
    accuracy
        Of the target models, over the hold-outs of all devices.
    worst
        The mean accuracy of the tenth of devices whose target models are right least often, as `worst_tenth` has it;
        None of too few devices.
    """

    course: tuple[Moment, ...]
    accuracy: float
    worst: float | None


def measure(
    records: Sequence[Record],
    state: FederationState,
    models: Mapping[BlobHash, bytes],
    devices: Mapping[DeviceId, DeviceSpec],
    plugins: Plugins,
) -> Worth:
    """Measure a federation's models.

    Parameters
    ----------
    records, state
        Its log, and its state at the end.
    models
        As a `KeepingStore` has them.
    devices
        The fleet, with features as they are.
    plugins
        Where learners are looked up.
    """
    task = state.opened.task
    judges = {
        name: _Judge(group, devices, task, Learners(plugins, task))
        for name, group in state.groups.items()
        if group.tier
    }
    course = tuple(_course(records, models, judges))
    each = [metrics for judge in judges.values() for metrics in judge.each(models)]
    return Worth(course, course[-1].accuracy if course else math.nan, worst_tenth(each, METRIC).value)


def reached(course: Sequence[Moment], target: float) -> float | None:
    """Return the first second in which an accuracy was reached; None if it never was."""
    return next((moment.at_s for moment in course if moment.accuracy >= target), None)


class _Judge:
    """Measures a group's models on the hold-outs of those who are in it in the end."""

    def __init__(
        self, group: GroupState, devices: Mapping[DeviceId, DeviceSpec], task: Task, learners: Learners
    ) -> None:
        assert group.tier is not None
        self._target = group.model
        self._learner: Learner = learners(group.tier)
        self._each = [devices[name].data.holdout.divided(task.scale) for name in sorted(group.members)]
        self.samples = sum(map(len, self._each))

    def right(self, frame: bytes) -> float:
        """Return how many answers of a model are right."""
        if not self.samples:
            return 0.0
        together = Dataset(
            np.concatenate([one.features for one in self._each]), np.concatenate([one.labels for one in self._each])
        )
        return self._learner.evaluate(unframe(frame), together)[METRIC].sum

    def each(self, models: Mapping[BlobHash, bytes]) -> list[Metrics]:
        """Return the target model's metrics on each device that has a hold-out."""
        if self._target is None:
            return []
        weights = unframe(models[self._target])
        return [self._learner.evaluate(weights, one) for one in self._each if len(one)]


def _course(
    records: Sequence[Record], models: Mapping[BlobHash, bytes], judges: Mapping[GroupId, _Judge]
) -> list[Moment]:
    right: dict[GroupId, float] = {}
    samples = sum(judge.samples for judge in judges.values())
    course: list[Moment] = []
    for record in records:
        match record.event:
            case (
                e.TierAssigned(group=group, model=model)
                | e.RoundClosed(group=group, model=model)
                | e.ModelExchanged(group=group, model=model)
            ):
                right[group] = judges[group].right(models[model])
            case _:
                continue
        if len(right) < len(judges) or not samples:
            continue
        if course and course[-1].at_s == record.at:  # what an exchange made of it in the same moment
            course.pop()
        course.append(Moment(record.at, math.fsum(right.values()) / samples))
    return course
