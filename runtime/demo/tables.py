"""The demonstration's tables."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from rich.table import Table

from tierwise.core.hardware import HardwareEnvelope, Range
from tierwise.core.ids import DeviceId
from tierwise.runtime.cli import present
from tierwise.runtime.demo.comparison import ArmFigures, Comparison, SeedResult, Spread
from tierwise.runtime.demo.plan import Plan


def fleet_table(plan: Plan) -> Table:
    """Show a fleet by kind of machine, weakest kind first; one that the user brought as a whole."""
    made = present.table(
        "kind", "devices", "models", "compute", "memory", "slowest link", title="The fleet", right=("devices", "models")
    )
    kinds: dict[str, list[DeviceId]] = {}
    for device in plan.devices:
        kind = "yours" if plan.models is None else str(plan.models[device].kind)
        kinds.setdefault(kind, []).append(device)
    rows = []
    for kind, devices in kinds.items():
        envelope = HardwareEnvelope.of(plan.devices[device].profile for device in devices)
        models = present.MISSING if plan.models is None else str(len({plan.models[one].model for one in devices}))
        rows.append((envelope.least("cpu_flops"), kind, str(len(devices)), models, envelope))
    for _, kind, count, models, envelope in sorted(rows, key=lambda row: row[0]):
        made.add_row(kind, count, models, *_hardware(envelope))
    return made


def groups_table(result: SeedResult) -> Table:
    """Show the groups of one seed, with the hardware ranges and tiers."""
    numbers = ("devices", "parameters")
    made = present.table(
        "group",
        "devices",
        "compute",
        "memory",
        "slowest link",
        "tier",
        "parameters",
        title=f"The groups (seed {result.plan.seed})",
        right=numbers,
    )
    for group in result.run.state.groups.values():
        assert group.tier is not None
        made.add_row(
            f"g{group.rank + 1}",
            str(len(group.members)),
            *_hardware(HardwareEnvelope.of(result.plan.devices[name].profile for name in sorted(group.members))),
            group.tier.name,
            present.count(group.tier.cost.parameters),
        )
    return made


def outcome_table(comparison: Comparison) -> Table:
    """Show what each group ended with, over the seeds."""
    numbers = ("devices", "parameters", "rounds", "accuracy", "simulated time")
    made = present.table(
        "group",
        "devices",
        "tier",
        *numbers[1:],
        title=f"Target models of tierwise, {_seeds(comparison)}",
        right=numbers,
    )
    for group in comparison.groups:
        made.add_row(
            f"g{group.rank + 1}",
            _spread(group.devices, lambda value: f"{value:.0f}"),
            " or ".join(group.tiers),
            _spread(group.parameters, lambda value: present.count(round(value))),
            _spread(group.rounds, lambda value: f"{value:.0f}"),
            _spread(group.accuracy, present.share),
            _spread(group.simulated_s, present.duration),
        )
    return made


def comparison_table(comparison: Comparison) -> Table:
    """Show all federations side by side."""
    names = tuple(str(arm.name) for arm in comparison.arms)
    made = present.table("", *names, title=f"Side by side, over all devices, {_seeds(comparison)}", right=names)
    for row in ROWS:
        made.add_row(row.label, *(row.cell(arm, len(comparison.seeds)) for arm in comparison.arms))
    return made


def verdicts(comparison: Comparison) -> list[str]:
    """Say for each other arm where tierwise is ahead of it, and where behind, on average and in how many seeds."""
    ours, *others = comparison.arms
    return [_verdict(ours, theirs) for theirs in others]


def _verdict(ours: ArmFigures, theirs: ArmFigures) -> str:
    said: dict[str, list[str]] = {"ahead": [], "behind": []}
    for row in ROWS:
        found = row.difference(ours, theirs)
        if found is not None:
            said["ahead" if found.ahead else "behind"].append(found.text)
    parts = [f"{word} in {', '.join(those)}" for word, those in said.items() if those]
    return f"Beside {theirs.name}, tierwise is {'; '.join(parts) or 'level in all of it'}."


@dataclass(frozen=True, slots=True)
class _Difference:
    ahead: bool
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A figure that arms are compared by.

    Attributes
    ----------
    label, words
        What it is, in a table and in a sentence.
    field
        Where it is; None where an arm has none.
    write
        How a value looks.
    more_is_better
        Which way is ahead.
    of_target
        Whether an arm has it only if it reached the target.
    """

    label: str
    words: str
    field: Callable[[ArmFigures], Spread | None]
    write: Callable[[float], str]
    more_is_better: bool
    of_target: bool = False

    def cell(self, arm: ArmFigures, seeds: int) -> str:
        """Write an arm's figure."""
        spread = self.field(arm)
        if spread is not None:
            return _spread(spread, self.write)
        return f"in {arm.reaching} of {seeds} seeds" if self.of_target else "not known"

    def difference(self, ours: ArmFigures, theirs: ArmFigures) -> _Difference | None:
        """Tell who is ahead, by how much on average, and in how many seeds; None where they are level or unknown."""
        mine, other = self.field(ours), self.field(theirs)
        if mine is None or other is None:
            if not self.of_target or ours.reaching == theirs.reaching:
                return None
            return _Difference(ours.reaching > theirs.reaching, f"{self.words} (which not both always reach)")
        if self.write(mine.mean) == self.write(other.mean):
            return None
        differences = [one - two for one, two in zip(mine.values, other.values, strict=True)]
        more = mine.mean > other.mean
        agreeing = sum(difference != 0 and (difference > 0) == more for difference in differences)
        seeds = f", {agreeing}/{len(differences)} seeds" if len(differences) > 1 else ""
        by = self.write(abs(mine.mean - other.mean)).replace(" %", " points")
        return _Difference(more == self.more_is_better, f"{self.words} (by {by}{seeds})")


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


ROWS: Final = (
    Row("devices in a model", "devices in a model", lambda arm: arm.reached, _whole, True),
    Row("training data used", "training data used", lambda arm: arm.data_share, _percent, True),
    Row("accuracy", "accuracy", lambda arm: arm.accuracy, _percent, True),
    Row("of the worst tenth", "accuracy of the worst tenth", lambda arm: arm.worst, _percent, True),
    Row("time to the target", "time to the target", lambda arm: arm.target_s, present.duration, False, True),
    Row("time until trained", "time until trained", lambda arm: arm.trained_s, present.duration, False),
    Row("traffic", "traffic", lambda arm: arm.traffic_bytes, present.size, False),
    Row("energy", "energy", lambda arm: arm.energy_j, lambda value: present.scaled(value, "J"), False),
)


def _seeds(comparison: Comparison) -> str:
    count = len(comparison.seeds)
    return "1 seed" if count == 1 else f"{count} seeds: mean (least to greatest)"


def _spread(spread: Spread, write: Callable[[float], str]) -> str:
    """Write mean, least and greatest value; a unit that all three have once."""
    mean, least, greatest = (write(value) for value in (spread.mean, spread.least, spread.greatest))
    if least == greatest:
        return mean
    units = {text.partition(" ")[2] for text in (mean, least, greatest)}
    if len(units) == 1 and " " not in (unit := units.pop()):
        least, greatest = (text.removesuffix(f" {unit}") for text in (least, greatest))
    return f"{mean} ({least} to {greatest})"


def _hardware(envelope: HardwareEnvelope) -> Iterator[str]:
    for name in ("cpu_flops", "memory_bytes"):
        yield _range(name, envelope.ranges[name])
    links = [envelope.least("downlink_bytes_per_s"), envelope.least("uplink_bytes_per_s")]
    yield present.quantity("uplink_bytes_per_s", min(links))


def _range(name: str, found: Range) -> str:
    least, greatest = present.quantity(name, found.least), present.quantity(name, found.greatest)
    return least if least == greatest else f"{least} to {greatest}"
