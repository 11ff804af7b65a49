"""``tierwise demo``: the main job, on a fleet that everybody has."""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console

from tierwise.core.learning import StopToken
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli import present
from tierwise.runtime.cli.interrupt import Interrupted, run_abandonable
from tierwise.runtime.cli.progress import Progress
from tierwise.runtime.demo import tables
from tierwise.runtime.demo.plan import BUDGET, DEVICES, GROUPS, ROUNDS, Plan, make_plan
from tierwise.runtime.demo.study import ArmName, Comparison, SeedResult, compare, conclude, run_arm
from tierwise.runtime.figures import Run
from tierwise.runtime.output import Report, claim, make_report, write_result


@click.command(
    epilog="\b\nExamples:\n  tierwise demo\n  tierwise demo --seeds 1 --out demo\n  tierwise demo --json\n"
    "  tierwise demo --mqtt"
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    metavar="N",
    help="How many fleets to draw, each with its own partition of the data; more make the comparison surer.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write result.json, with the event log, and each group's target model with a card (of the first seed).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, result.json without the event log.")
@click.option(
    "--mqtt",
    is_flag=True,
    help="Nothing simulated: a broker, a coordinator and nine agents, each a process; needs 'tierwise[broker]'.",
)
@click.pass_context
def demo(ctx: click.Context, seeds: int, out: Path | None, as_json: bool, mqtt: bool) -> None:
    """Watch a fleet of unequal devices being grouped and trained on real data.

    60 devices have the hardware of real ones, from a Raspberry Pi Zero 2 W to a workstation, and share scikit-learn's
    handwritten digits unequally. tierwise groups them by hardware and trains a model of fitting size in each group;
    beside it, the same fleet trains one model for all, of the largest size, under the same deadline.

    Time is simulated from the hardware's published figures; the training is real. Ctrl-C ends within a second and
    shows the seeds that were finished.

    With --mqtt, nine processes declare the hardware of three real devices and learn over a real broker, once.
    """
    if mqtt:
        ctx.exit(_over_a_broker(ctx, out, as_json=as_json))
    if out is not None:
        claim(out)
    show = present.messages() if as_json else present.output()
    plugins = Plugins.discover()
    results: list[SeedResult] = []
    interrupted: Interrupted | None = None
    try:
        for seed in range(seeds):
            plan = _prepare(seed, plugins)
            if seed == 0:
                _introduce(show, plan, seeds)
            results.append(_run_seed(plan, seeds, plugins))
            if seed == 0:
                show.print(tables.groups_table(results[0]))
                show.print()
    except Interrupted as error:
        interrupted = error
    if results:
        _finish(results, out, as_json=as_json, interrupted=interrupted is not None)
    elif interrupted is not None:
        click.echo("interrupted before the first seed was finished: there is nothing to show", err=True)
    if interrupted is not None:
        raise interrupted


def _over_a_broker(ctx: click.Context, out: Path | None, *, as_json: bool) -> int:
    if ctx.get_parameter_source("seeds") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--seeds is for simulated fleets, and with --mqtt nothing is simulated", ctx)
    from tierwise.runtime.demo.network import demonstrate  # the simulated one needs no network

    return demonstrate(out, as_json=as_json)


def _prepare(seed: int, plugins: Plugins) -> Plan:
    return run_abandonable(lambda _stop: make_plan(seed, plugins))


def _run_seed(plan: Plan, seeds: int, plugins: Plugins) -> SeedResult:
    runs = [_run_arm(plan, name, seeds, plugins) for name in (ArmName.GROUPED, ArmName.SINGLE)]
    return conclude(plan, *runs)


def _run_arm(plan: Plan, name: ArmName, seeds: int, plugins: Plugins) -> Run:
    title = f"seed {plan.seed}, {plan.seed + 1} of {seeds}: {name}"
    messages = present.messages()
    progress = Progress(messages, title)

    def work(stop: StopToken) -> Run:
        return run_arm(plan, name, plugins, stop, progress.watch)

    if not messages.is_terminal:
        messages.print(title)
    with progress.shown():
        return run_abandonable(work)


def _introduce(show: Console, plan: Plan, seeds: int) -> None:
    samples = sum(len(spec.data.train) + len(spec.data.holdout) for spec in plan.devices.values())
    show.print(
        f"{DEVICES} devices share {samples:,} handwritten digits (Dirichlet 0.3: each has its own mixture of classes, "
        "and keeps a fifth as its hold-out). Their hardware is that of real machines, from published figures.\n"
        f"tierwise: {GROUPS} groups by compute, each with the largest of four models that its weakest device carries "
        "in time.\n"
        "One model for all: the largest, for the whole fleet.\n"
        f"Both: {ROUNDS} rounds of {BUDGET.epochs} epochs (at most {BUDGET.max_samples} samples); who misses a round's "
        "deadline is not in it.\n"
        "The deadline's rule was fixed before any result: the time in which the median device finishes a round of the "
        f"largest model, here {present.duration(plan.deadline_s)}. So half the fleet misses it with that model, by "
        "construction; what is compared is what comes of it.\n"
        "The clock counts bytes over the link's rate and FLOPs over the processor's published rate, and neither "
        "latency nor overhead; the models are tiny, so rounds take milliseconds.\n"
        f"{seeds} seed{'' if seeds == 1 else 's'}: each draws a fleet and deals out the data anew.\n"
    )
    show.print(tables.fleet_table(plan))
    show.print()


def _finish(results: Sequence[SeedResult], out: Path | None, *, as_json: bool, interrupted: bool) -> None:
    comparison = compare(results)
    first = results[0]
    report = make_report(first.run, configuration=first.plan.grouped, figures=comparison, interrupted=interrupted)
    if out is not None:
        report = write_result(out, first.run, report)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _show(comparison, report, out)


def _show(comparison: Comparison, report: Report, out: Path | None) -> None:
    show = present.output()
    show.print(tables.outcome_table(comparison))
    show.print()
    show.print(tables.comparison_table(comparison))
    show.print()
    show.print(
        "What to make of it: tierwise's groups learn alone for now, so each of its models has seen a third of the "
        "data, and the smallest is small. One model for all has seen only the data of the devices that meet the "
        "deadline, and the others do not carry its size in time; it is scored on their hold-outs all the same."
    )
    if out is not None:
        show.print(f"\nWritten to {out}: result.json, {', '.join(report.files)}")
