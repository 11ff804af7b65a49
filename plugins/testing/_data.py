"""The laws of data sources."""

# A law's docstring states the law or its reason.
# ruff: noqa: D401

from collections import Counter
from typing import Final

import numpy as np

from tierwise.core.describing import Describing
from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import is_device_id
from tierwise.core.learning import Collecting, Dataset, DataSource, KnowsDevices, LocalData, Reserving
from tierwise.core.task import Task
from tierwise.plugins.testing._laws import hold, same

_ENOUGH: Final = 5
"""Hold-out samples that must not all be in the training set: fewer can be there twice by chance."""


def check_data_source(source: DataSource, parts: int = 4) -> None:
    """Check that a data source keeps its contract.

    Parameters
    ----------
    source
        What is checked.
    parts
        How many devices the data are dealt out to; 1 for a source that only reads a device's own. Data that know
        their devices are given to those.

    Raises
    ------
    ConformanceError
        If it does not.
    """
    hold(source, LAWS, parts)


def _parts(source: DataSource, parts: int) -> int:
    return (len(source.devices()) if isinstance(source, KnowsDevices) else 0) or parts


def _all_parts(source: DataSource, parts: int, seed: int = 0) -> list[LocalData]:
    parts = _parts(source, parts)
    return [source.load(part, parts, seed) for part in range(parts)]


def _datasets(source: DataSource, parts: int) -> list[tuple[str, Dataset]]:
    loaded = [*enumerate(_all_parts(source, parts)), (0, source.load(0, 1, 0))]
    reserved = _reserved(source)
    return [
        (f"{name} of part {part}", dataset)
        for part, local in loaded
        for name, dataset in (("training data", local.train), ("hold-out", local.holdout))
    ] + ([] if reserved is None else [("reserved samples", reserved)])


def _reserved(source: DataSource) -> Dataset | None:
    """Return what is set apart, if anything is."""
    if not isinstance(source, Reserving):
        return None
    try:
        return source.reserved(0)
    except ConfigurationError:
        return None


def _rows(*datasets: Dataset) -> Counter[bytes]:
    """Count the samples; one that a data set has twice is counted twice."""
    return Counter(
        features.tobytes() + label.tobytes()
        for dataset in datasets
        for features, label in zip(dataset.features, dataset.labels, strict=True)
    )


def the_task_stays_the_same(source: DataSource, parts: int) -> str | None:
    """A device enrols with its hash."""
    before = source.task.schema_hash
    _all_parts(source, parts, seed=1)
    return None if source.task.schema_hash == before else f"the task is now {source.task}"


def features_match_the_task(source: DataSource, parts: int) -> str | None:
    """Shape ``(n, task.features)``, float32, finite."""
    for name, dataset in _datasets(source, parts):
        features = dataset.features
        if features.dtype != np.float32 or features.ndim != 2 or features.shape[1] != source.task.features:
            return (
                f"the features of the {name} have shape {features.shape} and dtype {features.dtype}, "
                f"expected (n, {source.task.features}) and float32"
            )
        if not np.isfinite(features).all():
            return f"the features of the {name} have values that are not finite"
    return None


def labels_match_the_task(source: DataSource, parts: int) -> str | None:
    """Hard labels are int64 indices of the task's classes, soft ones distributions over them; numbers are float32."""
    for name, dataset in _datasets(source, parts):
        fault = _label_fault(dataset, source.task)
        if fault:
            return f"the labels of the {name} {fault}"
    return None


def _label_fault(dataset: Dataset, task: Task) -> str | None:
    labels, count, classes = dataset.labels, len(dataset.features), len(task.classes)
    if not classes:
        if labels.dtype == np.float32 and labels.shape == (count,):
            return None if np.isfinite(labels).all() else "have values that are not finite"
        return f"have shape {labels.shape} and dtype {labels.dtype}, expected ({count},) and float32 for a regression"
    if labels.dtype == np.int64 and labels.shape == (count,):
        inside = bool(((labels >= 0) & (labels < classes)).all())
        return None if inside else f"reach from {labels.min()} to {labels.max()}, the task has {classes} classes"
    if labels.dtype == np.float32 and labels.shape == (count, classes):
        sound = bool((labels >= 0).all() and np.allclose(labels.sum(axis=1), 1, atol=1e-4))
        return None if sound else "have a row that is not a distribution"
    return (
        f"have shape {labels.shape} and dtype {labels.dtype}, "
        f"expected ({count},) and int64, or ({count}, {classes}) and float32"
    )


def every_part_can_train(source: DataSource, parts: int) -> str | None:
    """An update's weight is at least 1."""
    for name, dataset in _datasets(source, parts):
        if name.startswith("training") and not len(dataset):
            return f"the {name} has no samples"
    return None


def the_same_seed_gives_the_same_data(source: DataSource, parts: int) -> str | None:
    """``load`` is pure: each device asks for its part by itself, in any order."""
    parts = _parts(source, parts)
    first, reserved = _all_parts(source, parts), _reserved(source)
    source.load(0, 1, seed=1)
    again = [source.load(part, parts, 0) for part in reversed(range(parts))][::-1]
    for part, (one, other) in enumerate(zip(first, again, strict=True)):
        for name in ("train", "holdout"):
            before, after = getattr(one, name), getattr(other, name)
            if not (same(before.features, after.features) and same(before.labels, after.labels)):
                return f"the {name} of part {part} of {parts} differs the second time"
    again_reserved = _reserved(source)
    if reserved is not None and (again_reserved is None or not same(reserved.features, again_reserved.features)):
        return "the reserved samples differ the second time"
    return None


def parts_are_disjoint(source: DataSource, parts: int) -> str | None:
    """No sample is dealt out more often than the whole, part 0 of 1, has it."""
    whole = source.load(0, 1, 0)
    there = _rows(whole.train, whole.holdout)
    dealt: Counter[bytes] = sum((_rows(p.train, p.holdout) for p in _all_parts(source, parts)), Counter())
    extra = dealt - there
    if not extra:
        return None
    return (
        f"{_parts(source, parts)} parts together have {dealt.total()} samples, {extra.total()} of them "
        f"more often than the {there.total()} samples of the whole"
    )


def the_hold_out_is_held_out(source: DataSource, parts: int) -> str | None:
    """A device never trains on what it is scored on."""
    for part, local in enumerate(_all_parts(source, parts)):
        if np.shares_memory(local.train.features, local.holdout.features):
            return f"in part {part} training data and hold-out share memory"
        seen = len(local.holdout) - (_rows(local.holdout) - _rows(local.train)).total()
        if seen == len(local.holdout) >= _ENOUGH:
            return f"all {seen} hold-out samples of part {part} are training samples, too"
    return None


def devices_have_names_of_their_own(source: DataSource, _: int) -> str | None:
    """A device's name is a part of topics and file names."""
    names = source.devices() if isinstance(source, KnowsDevices) else ()
    for name in names:
        if not is_device_id(name):
            return f"{name!r} cannot name a device: 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit"
        if names.count(name) > 1:
            return f"{names.count(name)} devices have the name {name!r}"
    return None


def reserved_samples_go_to_no_device(source: DataSource, parts: int) -> str | None:
    """What the coordinator holds is nobody's; otherwise a hold-out could be trained on."""
    reserved = _reserved(source)
    if reserved is None:
        return None
    apart = _rows(reserved)
    for count in (_parts(source, parts), 1):
        dealt: Counter[bytes] = Counter()
        for part in range(count):
            local = source.load(part, count, 0)
            dealt += _rows(local.train, local.holdout)
        seen = len(reserved) - (apart - dealt).total()
        if seen == len(reserved) >= _ENOUGH:  # a few can be in the data twice
            return f"all {seen} of them are in the {count} parts, too"
    return None


def all_samples_are_those_of_the_parts(source: DataSource, parts: int) -> str | None:
    """A coordinator's own set, read undivided, has the samples that devices would get, with or without labels."""
    if not isinstance(source, Collecting):
        return None
    whole = source.all_samples(0)
    if not same(whole.features, source.features_only(0)):
        return "features_only gives other features than all_samples"
    dealt: Counter[bytes] = Counter()
    for local in _all_parts(source, parts):
        dealt += _rows(local.train, local.holdout)
    return None if dealt == _rows(whole) else f"all_samples gives {len(whole)}, the parts have {dealt.total()}"


def what_it_pins_can_be_written_down(source: DataSource, _: int) -> str | None:
    """The options that tell the task go into a TOML file."""
    pins = source.pins() if isinstance(source, Describing) else {}
    for name, value in pins.items():
        values = value if isinstance(value, list) else [value]
        if not name.isidentifier() or not all(type(one) in (str, int, float, bool) for one in values):
            return f"{name!r} is {value!r}: texts, numbers, truth values and lists of those can be written down"
    return None


LAWS: Final = (
    the_task_stays_the_same,
    features_match_the_task,
    labels_match_the_task,
    every_part_can_train,
    the_same_seed_gives_the_same_data,
    the_hold_out_is_held_out,
    parts_are_disjoint,
    devices_have_names_of_their_own,
    reserved_samples_go_to_no_device,
    all_samples_are_those_of_the_parts,
    what_it_pins_can_be_written_down,
)
