"""The tables of a run's page, beside the charts and without them."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

import msgspec

from tierwise.core.metrics import MetricFigure
from tierwise.core.tiers import Tier
from tierwise.runtime.cli import present
from tierwise.runtime.evaluation import Evaluation
from tierwise.runtime.figures import Run, RunFigures
from tierwise.runtime.group_figures import GroupFigures
from tierwise.runtime.output import Report
from tierwise.runtime.report.drawing import titled
from tierwise.runtime.report.markup import folded, paragraph, table
from tierwise.runtime.report.rows import MetricRow, RoundEnd, RunRows


def groups_table(groups: Sequence[GroupFigures]) -> str:
    """Return what each group ended with, and why."""
    spent = [group.energy_j for group in groups]
    energy = ["energy"] if any(one is not None for one in spent) else []
    numbers = ("devices", "parameters", "rounds", "abandoned", "traffic down", "traffic up", *energy, "time")
    columns = ("group", "devices", "tier", *numbers[1:], "ended")
    rows = [
        (
            group.group,
            present.count(group.devices),
            group.tier or present.MISSING,
            present.count(group.parameters),
            present.count(group.rounds),
            present.count(group.abandoned),
            present.size(group.download_bytes),
            present.size(group.upload_bytes),
            *(present.MISSING if group.energy_j is None else present.scaled(group.energy_j, "J") for _ in energy),
            present.duration(group.simulated_s),
            _ending(group),
        )
        for group in groups
    ]
    return table("The groups, weakest first; traffic and energy are those of closed rounds", columns, rows, numbers)


def _ending(group: GroupFigures) -> str:
    if not group.finished:
        return "not finished"
    return "failed: see above" if group.failed else group.reason or present.MISSING


def evaluation_table(run: RunFigures, evaluation: Evaluation) -> str:
    """Return how good the models are: by group, over all, by class of devices, and where they are worst."""
    metrics = list(evaluation.metrics)
    tests = {group.group: group.test[run.metric] for group in run.groups if run.metric in group.test}
    numbers = ("devices", "samples", *metrics, *([f"test {run.metric}"] if tests else []))

    def row(
        label: str, devices: int, found: Mapping[str, MetricFigure], test: MetricFigure | None = None
    ) -> tuple[str, ...]:
        samples = next((present.count(figure.count) for figure in found.values() if figure.count), present.MISSING)
        values = [present.metric(name, found[name].value if name in found else None) for name in metrics]
        values += [present.metric(run.metric, test.value if test else None)] if tests else []
        return (label, present.count(devices), samples, *values)

    worst = evaluation.worst_tenth
    rows = [row(one.group, one.devices, one.metrics, tests.get(one.group)) for one in evaluation.groups]
    rows.append(row("all hold-outs", evaluation.devices, evaluation.metrics))
    rows += [row(one.name, one.devices, one.metrics) for one in evaluation.classes if len(evaluation.classes) > 1]
    if not worst.hidden:
        value = {worst.metric: MetricFigure(value=worst.value, count=0)}
        rows.append(row("worst tenth of devices", worst.devices, value))
    which = "target" if evaluation.closing else "latest"
    caption = f"The {which} models on the devices' hold-outs: by group, all, by class of devices, and where worst"
    return table(caption, ("", *numbers), rows, numbers)


def devices_table(rows: RunRows) -> str:
    """Return the devices' hardware."""
    columns = ("device", "group", "compute", "memory", "slowest link")
    return table(
        "The devices' hardware, as measured or declared",
        columns,
        [
            (
                row.device,
                row.group or present.MISSING,
                present.quantity("cpu_flops", row.compute_flops),
                present.quantity("memory_bytes", row.memory_bytes),
                present.quantity("uplink_bytes_per_s", row.link_bytes_per_s),
            )
            for row in rows.devices
        ],
        columns[2:],
    )


def values_table(metric: str, values: Sequence[MetricRow], where: str) -> str:
    """Return the metric of each model, on the samples that ``where`` names."""
    columns = ("group", "rounds", "since", metric, "samples")
    return table(
        f"{titled(metric)} of each model {where}; since is federation time",
        columns,
        [
            (
                row.series,
                f"{row.version}",
                present.duration(row.at_s),
                present.metric(metric, row.value),
                f"{row.samples:,}",
            )
            for row in values
        ],
        columns[1:],
    )


def rounds_table(rows: RunRows) -> str:
    """Return the rounds, and what became of each."""
    columns = ("group", "round", "opened", "took", "delivered", "ended")
    return table(
        "The rounds; opened is federation time",
        columns,
        [
            (
                row.group,
                f"{row.first}",
                present.duration(row.opened_s),
                present.duration(row.ended_s - row.opened_s),
                f"{row.delivered:,} of {row.wanted:,}",
                f"{row.end}: {row.reason}" if row.end is RoundEnd.ABANDONED else str(row.end),
            )
            for row in rows.rounds
        ],
        columns[1:5],
    )


def absent_table(rows: RunRows) -> str:
    """Return who takes no part, and why."""
    if not rows.absent:
        return paragraph("None: every device is in a group.")
    found = [(row.device, row.state, row.reason) for row in rows.absent]
    return table("Who takes no part, and why", ("device", "is", "because"), found)


# -- how it was run


def documented(run: Run, report: Report) -> Iterator[str]:
    """Yield what the run was computed with: seed, versions, plugins, tiers, settings."""
    yield paragraph(
        f"Seed {report.seed}. With the same seed, settings and versions, a simulation gives the same models, byte for "
        "byte."
    )
    versions = [(name, str(value)) for name, value in msgspec.structs.asdict(report.versions).items()]
    yield table("Versions", ("what", "version"), versions)
    plugins = [(one.kind, one.name, one.distribution, one.version) for one in report.plugins]
    if plugins:
        yield table("Plugins", ("kind", "name", "from", "version"), plugins)
    tiers = {group.tier.name: group.tier for group in run.state.groups.values() if group.tier is not None}
    if tiers:
        numbers = ("model", "memory", "FLOP to fit a sample")
        found = [(tier.name, tier.learner, *_cost(tier)) for tier in tiers.values()]
        yield table("Tiers in use, and what they ask of a device", ("tier", "learner", *numbers), found, numbers)
    if run.state.settings is not None:
        yield folded("Settings of the federation", _plain(run.state.settings))
    if report.configuration is not None:
        yield folded("Configuration of the run", _plain(report.configuration))


def _cost(tier: Tier) -> tuple[str, str, str]:
    cost = tier.cost
    return (
        present.size(cost.bytes),
        present.quantity("memory_bytes", cost.memory_bytes),
        f"{cost.fit_flops_per_sample:,.0f}",
    )


def _plain(value: object) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<pre>{escape(text)}</pre>\n"
