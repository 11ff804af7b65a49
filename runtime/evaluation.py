"""How good a federation's models are on its devices' hold-outs, read from the event log.

A device evaluates its group's model before it trains it, and the final one at the end. Their (sum, count) pairs add up
to the figures of a group and of the whole federation. Figures of a class of devices, and of the worst tenth, need to
tell devices apart, which the log does as long as updates are not protected; with protected updates, both have to come
from sums as well (a class from a vector with one place for each class, the worst tenth from a histogram of the
devices' own values).

No figure is over fewer than three devices, nor can one be told from the difference of two others.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tierwise.core import events as e
from tierwise.core.events import Record
from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import CohortId, DeviceId, GroupId, ModelVersion
from tierwise.core.metrics import MetricFigure, Metrics, add_metrics, higher_is_better, read_metric, read_metrics
from tierwise.runtime.device_classes import device_classes

TENTH: Final = 10
"""The worst tenth is one of so many parts."""
_Accepted = e.UpdateAccepted | e.EvaluationAccepted


class ClassFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How good the models are for a class of devices: `tierwise.runtime.device_classes`.

    Attributes
    ----------
    name
        The compute of these devices, as ``1 to 10 GFLOP/s``; in a fleet drawn from the catalogue their kind.
    devices
        How many have evaluated, three or more.
    metrics
        On all their hold-outs together.
    """

    name: str
    devices: int
    metrics: dict[str, MetricFigure]


class GroupEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How good a group's model is.

    Attributes
    ----------
    group
        Whose model.
    version
        How many rounds made it.
    closing
        Whether it is the group's target model.
    devices
        How many have evaluated it.
    metrics
        On all their hold-outs together; empty if fewer than three have.
    """

    group: GroupId
    version: ModelVersion
    closing: bool
    devices: int
    metrics: dict[str, MetricFigure]


class WorstTenth(msgspec.Struct, frozen=True, kw_only=True):
    """How good the models are where they are worst: over the tenth of devices with the worst values of their own.

    Attributes
    ----------
    metric
        The task's first one, which tells who is worst.
    devices
        How many the figure is over: a tenth, three at the least; 0 without a figure.
    value
        The mean of those devices' own values; None without a figure.
    hidden
        Why there is no figure; empty if there is one.
    """

    metric: str
    devices: int
    value: float | None
    hidden: str


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How good all groups' models are, at one point of their way.

    Attributes
    ----------
    version
        How many rounds made each group's model; a group that did not come so far is there with its latest one.
    closing
        Whether all of it comes from closing evaluations, so that it is of the target models.
    devices
        How many have evaluated, on one hold-out sample or more.
    metrics
        On all their hold-outs together: the groups' sums added up.
    groups
        Each group, weakest first.
    classes
        By class of devices, from the weakest hardware to the strongest.
    worst_tenth
        Of the devices.
    """

    version: ModelVersion
    closing: bool
    devices: int
    metrics: dict[str, MetricFigure]
    groups: tuple[GroupEvaluation, ...]
    classes: tuple[ClassFigures, ...]
    worst_tenth: WorstTenth


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """A group's model as its devices found it.

    Attributes
    ----------
    metrics
        The sums over the devices.
    parts
        What each device reported that has a hold-out.
    closing
        Whether it is the target model.
    """

    group: GroupId
    version: ModelVersion
    metrics: Metrics
    parts: Mapping[DeviceId, Metrics]
    closing: bool

    @property
    def figures(self) -> GroupEvaluation:
        """The same as people read it."""
        return GroupEvaluation(
            group=self.group,
            version=self.version,
            closing=self.closing,
            devices=len(self.parts),
            metrics=read_metrics(self.metrics) if len(self.parts) >= MINIMUM else {},
        )


@dataclass(slots=True)
class _Cohort:
    version: ModelVersion
    closing: bool
    guests: tuple[DeviceId, ...]
    reported: dict[DeviceId, Metrics] = field(default_factory=dict)
    survivors: tuple[DeviceId, ...] = ()


def evaluated_models(records: Iterable[Record]) -> list[EvaluatedModel]:
    """Find every model that made it through its devices' evaluation, in the order of the log."""
    found: list[EvaluatedModel] = []
    open_cohorts: dict[GroupId, tuple[CohortId, _Cohort]] = {}
    for record in records:
        match record.event:
            case e.RoundOpened(group=group, cohort=cohort):
                opened = record.event
                closing = opened.purpose is e.Purpose.EVALUATE
                open_cohorts[group] = cohort, _Cohort(opened.version, closing, opened.guests)
            case e.UpdateAccepted() | e.EvaluationAccepted():
                _note(record.event, open_cohorts)
            case e.CohortClosed(group=group, survivors=survivors):
                open_cohorts[group][1].survivors = survivors
            case e.RoundClosed(group=group, metrics=metrics):
                _, cohort_of_round = open_cohorts.pop(group)
                found.append(_evaluated(group, metrics, cohort_of_round))
            case e.RoundAbandoned(group=group):
                open_cohorts.pop(group, None)
            case e.GroupFinished(group=group, metrics=metrics):
                last = open_cohorts.pop(group, None)
                if metrics and last is not None:
                    found.append(_evaluated(group, metrics, last[1]))
    return found


def _note(event: _Accepted, open_cohorts: Mapping[GroupId, tuple[CohortId, _Cohort]]) -> None:
    cohort, found = open_cohorts[GroupId(event.cohort.rpartition(".r")[0])]
    if cohort == event.cohort:
        found.reported[event.device] = event.metrics


def _evaluated(group: GroupId, metrics: Metrics, cohort: _Cohort) -> EvaluatedModel:
    counted = sorted(cohort.reported) if cohort.closing else cohort.survivors
    counted = [device for device in counted if device not in cohort.guests]  # the model is not for them
    parts = {device: cohort.reported[device] for device in counted}
    with_samples = {device: one for device, one in parts.items() if any(metric.count for metric in one.values())}
    return EvaluatedModel(group, cohort.version, metrics, with_samples, cohort.closing)


def evaluations(
    models: Sequence[EvaluatedModel],
    order: Sequence[GroupId],
    metric: str,
    profiles: Mapping[DeviceId, HardwareProfile],
    kinds: Mapping[DeviceId, str] | None = None,
) -> tuple[Evaluation, ...]:
    """Put the groups' evaluated models together, version by version.

    Parameters
    ----------
    models
        As `evaluated_models` finds them.
    order
        The groups, weakest first; without those that were merged into others, whose devices are there with the others.
    metric
        The task's first one.
    profiles
        The hardware of every device that has evaluated.
    kinds
        As for `device_classes`.

    Returns
    -------
    tuple of Evaluation
        The latest last, which has each group's latest model.
    """
    by_group: dict[GroupId, dict[ModelVersion, EvaluatedModel]] = {}
    for model in models:
        if model.group in order:
            by_group.setdefault(model.group, {})[model.version] = model
    found: list[Evaluation] = []
    latest: dict[GroupId, EvaluatedModel] = {}
    for version in sorted({version for versions in by_group.values() for version in versions}):
        latest |= {name: versions[version] for name, versions in by_group.items() if version in versions}
        together = [latest[name] for name in order if name in latest]
        found.append(_together(version, together, metric, profiles, kinds))
    return tuple(found)


def _together(
    version: ModelVersion,
    models: Sequence[EvaluatedModel],
    metric: str,
    profiles: Mapping[DeviceId, HardwareProfile],
    kinds: Mapping[DeviceId, str] | None,
) -> Evaluation:
    parts = {device: reported for model in models for device, reported in model.parts.items()}
    enough = len(parts) >= MINIMUM
    return Evaluation(
        version=version,
        closing=all(model.closing for model in models),
        devices=len(parts),
        metrics=read_metrics(add_metrics(model.metrics for model in models)) if enough else {},
        groups=tuple(model.figures for model in models),
        classes=tuple(
            ClassFigures(
                name=one.name,
                devices=len(one.devices),
                metrics=read_metrics(add_metrics(parts[device] for device in one.devices)),
            )
            for one in device_classes({device: profiles[device] for device in parts}, kinds)
        ),
        worst_tenth=worst_tenth(parts.values(), metric),
    )


def worst_tenth(reported: Iterable[Metrics], metric: str) -> WorstTenth:
    """Return the mean over the tenth of devices that a metric is worst for.

    Parameters
    ----------
    reported
        Of each device.
    metric
        Its direction is that of `higher_is_better`.

    Returns
    -------
    WorstTenth
        Over a tenth of the devices, rounded up, and three at the least. There is no figure for fewer than six: then
        fewer than three would be left beside the three, and could be told from the figure of all.
    """
    figures = (read_metric(one, metric) for one in reported)
    values = [figure.value for figure in figures if figure is not None and figure.value is not None]
    if len(values) < 2 * MINIMUM:
        hidden = f"{len(values)} devices have a value of their own, it takes {2 * MINIMUM}"
        return WorstTenth(metric=metric, devices=0, value=None, hidden=hidden)
    values.sort(reverse=not higher_is_better(metric))
    worst = values[: max(math.ceil(len(values) / TENTH), MINIMUM)]
    return WorstTenth(metric=metric, devices=len(worst), value=math.fsum(worst) / len(worst), hidden="")
