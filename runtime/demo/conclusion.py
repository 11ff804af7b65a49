"""What the demonstration says when all is measured: only what the figures show."""

from collections.abc import Sequence
from statistics import fmean
from typing import Final

from tierwise.runtime.demo.comparison import ArmFigures, Comparison
from tierwise.runtime.demo.plan import ArmName

CHANCE: Final = 0.1
"""Accuracies less than this part of the way from the most frequent class's share to 1 are as good as none."""
LEVEL: Final = 0.01
"""Accuracies no further apart than this are called level."""
_ALL: Final = 0.9995
"""A share that is written as 100 %."""


def conclusion(comparison: Comparison) -> str:
    """Say what to make of the figures."""
    if (doubt := _doubt(comparison)) is not None:
        return f"What to make of it: {doubt}"
    by_name = {arm.name: arm for arm in comparison.arms}
    told = [
        _level(comparison.arms),
        _largest(by_name[ArmName.LARGEST], comparison),
        _smallest(by_name[ArmName.SMALLEST], comparison),
        _ours(by_name[ArmName.TIERWISE], comparison),
    ]
    if ArmName.ISOLATED in by_name:
        told.append(
            f"Its groups learn from each other's models by {comparison.public:,} samples without labels; beside "
            "isolated groups one sees what that is worth here."
        )
    text = " ".join(sentence for sentence in told if sentence)
    return f"What to make of it: {text[0].lower()}{text[1:]}"


def _doubt(comparison: Comparison) -> str | None:
    """Return why the figures say nothing of the federations; None if they do."""
    if not comparison.largest_class:
        return None
    share = fmean(comparison.largest_class)
    best = max(arm.accuracy.mean for arm in comparison.arms)
    if best - share >= CHANCE * (1 - share):
        return None
    return (
        f"nothing. The best federation is right in {_percent(best)} of all cases, and always to answer the most "
        f"frequent class would be in {_percent(share)}: hardly anything was learned, so the figures do not show "
        "which federation serves these data better. Look whether the features tell the classes apart at all, whether "
        "labels and features are of the same rows, and whether features of very different units are standardised."
    )


def _level(arms: Sequence[ArmFigures]) -> str:
    least, most = (found(arm.accuracy.mean for arm in arms) for found in (min, max))
    if most - least > LEVEL:
        return ""
    return (
        f"In accuracy the federations are level, {_percent(least)} to {_percent(most)}; what tells them apart is whom "
        "they reach, and at which price."
    )


def _largest(arm: ArmFigures, comparison: Comparison) -> str:
    if arm.reached.mean >= comparison.devices:
        return "The largest model for all had an update of every device in time."
    return (
        "The largest model for all has seen only the data of the devices that meet the deadline, "
        f"{_percent(arm.data_share.mean)} of all; the others do not carry its size in time, and it is scored on their "
        "hold-outs all the same."
    )


def _smallest(arm: ArmFigures, comparison: Comparison) -> str:
    said = []
    if arm.reached.mean >= comparison.devices:
        said.append("reaches all")
    if all(_costs(arm, other) for other in comparison.arms if other is not arm):
        said.append("costs least")
    said.append("stays small for the strong")
    *before, last = said
    return f"The smallest {', '.join(before)}{' and ' if before else ''}{last}."


def _costs(arm: ArmFigures, other: ArmFigures) -> bool:
    """Tell whether an arm costs no more than another one."""
    if arm.energy_j is not None and other.energy_j is not None and arm.energy_j.mean > other.energy_j.mean:
        return False
    return arm.traffic_bytes.mean <= other.traffic_bytes.mean


def _ours(arm: ArmFigures, comparison: Comparison) -> str:
    used = "all data" if arm.data_share.mean >= _ALL else f"{_percent(arm.data_share.mean)} of the data"
    reached = "each device" if arm.reached.mean >= comparison.devices else f"{arm.reached.mean:,.0f} devices"
    return f"tierwise gives {reached} a model that fits the hardware, and uses {used}."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
