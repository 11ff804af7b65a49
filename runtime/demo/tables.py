"""The demonstration's tables."""

from collections.abc import Callable, Iterator, Sequence

from rich.table import Table

from tierwise.core.hardware import HardwareEnvelope, Range
from tierwise.core.ids import DeviceId
from tierwise.runtime.cli import present
from tierwise.runtime.demo.plan import Plan
from tierwise.runtime.demo.study import ArmFigures, Comparison, SeedResult, Spread
from tierwise.runtime.fleet.catalogue import DeviceKind


def fleet_table(plan: Plan) -> Table:
    """Show a fleet by kind of machine, weakest kind first."""
    made = present.table(
        "kind", "devices", "models", "compute", "memory", "slowest link", title="The fleet", right=("devices", "models")
    )
    kinds: dict[DeviceKind, list[DeviceId]] = {}
    for device, model in plan.models.items():
        kinds.setdefault(model.kind, []).append(device)
    rows = []
    for kind, devices in kinds.items():
        envelope = HardwareEnvelope.of(plan.devices[device].profile for device in devices)
        names = {plan.models[device].model for device in devices}
        rows.append((envelope.least("cpu_flops"), kind, devices, names, envelope))
    for _, kind, devices, names, envelope in sorted(rows, key=lambda row: row[0]):
        made.add_row(str(kind), str(len(devices)), str(len(names)), *_hardware(envelope))
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
    """Show both federations side by side, and who is ahead."""
    grouped, single = comparison.arms
    names = (str(grouped.name), str(single.name))
    made = present.table("", *names, "tierwise is", title=f"Side by side, {_seeds(comparison)}", right=names)
    for label, field, write, more_is_better in _ROWS:
        ours, theirs = field(grouped), field(single)
        made.add_row(label, _spread(ours, write), _spread(theirs, write), _verdict(ours, theirs, write, more_is_better))
    return made


def _seeds(comparison: Comparison) -> str:
    count = len(comparison.seeds)
    return "1 seed" if count == 1 else f"{count} seeds: mean (least to greatest)"


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


_ROWS: Sequence[tuple[str, Callable[[ArmFigures], Spread], Callable[[float], str], bool]] = (
    ("devices in a model", lambda arm: arm.reached, _whole, True),
    ("training data used", lambda arm: arm.data_share, _percent, True),
    ("accuracy, all hold-outs", lambda arm: arm.accuracy, _percent, True),
    ("simulated training time", lambda arm: arm.trained_s, present.duration, False),
)


def _spread(spread: Spread, write: Callable[[float], str]) -> str:
    if write(spread.least) == write(spread.greatest):
        return write(spread.mean)
    return f"{write(spread.mean)} ({write(spread.least)} to {write(spread.greatest)})"


def _verdict(ours: Spread, theirs: Spread, write: Callable[[float], str], more_is_better: bool) -> str:
    """Say who is ahead on average, and in how many seeds."""
    if write(ours.mean) == write(theirs.mean):
        return "level"
    ahead = (ours.mean > theirs.mean) == more_is_better
    differences = [mine - other for mine, other in zip(ours.values, theirs.values, strict=True)]
    agreeing = sum((difference > 0) == (ours.mean > theirs.mean) and difference != 0 for difference in differences)
    seeds = f", {agreeing}/{len(differences)} seeds" if len(differences) > 1 else ""
    difference = write(abs(ours.mean - theirs.mean)).replace(" %", " points")
    return f"{'ahead' if ahead else 'behind'} by {difference}{seeds}"


def _hardware(envelope: HardwareEnvelope) -> Iterator[str]:
    for name in ("cpu_flops", "memory_bytes"):
        yield _range(name, envelope.ranges[name])
    links = [envelope.least("downlink_bytes_per_s"), envelope.least("uplink_bytes_per_s")]
    yield present.quantity("uplink_bytes_per_s", min(links))


def _range(name: str, found: Range) -> str:
    least, greatest = present.quantity(name, found.least), present.quantity(name, found.greatest)
    return least if least == greatest else f"{least} to {greatest}"
