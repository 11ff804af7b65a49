"""``tierwise demo``: the main job, on a fleet that everybody has."""

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import click
import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tierwise.core.learning import StopToken
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli import present
from tierwise.runtime.cli.dataspec import FORM
from tierwise.runtime.cli.interrupt import Interrupted, run_abandonable
from tierwise.runtime.cli.keeping import keep
from tierwise.runtime.demo import tables
from tierwise.runtime.demo.brought import DATA, USUAL, Wanted
from tierwise.runtime.demo.comparison import Comparison, SeedResult, compare
from tierwise.runtime.demo.conclusion import conclusion
from tierwise.runtime.demo.introduction import introduction
from tierwise.runtime.demo.outcome import ArmResult
from tierwise.runtime.demo.page import comparison_section
from tierwise.runtime.demo.plan import Plan, make_plan
from tierwise.runtime.demo.pool import Pool, Task
from tierwise.runtime.output import REPORT, Report, claim, make_report


@click.command(
    epilog="\b\nExamples:\n  tierwise demo\n  tierwise demo --seeds 1 --out demo\n  tierwise demo --json\n"
    "  tierwise demo --fleet devices.csv --data digits:partition=iid\n  tierwise demo --data my.toml\n"
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
    "--data",
    metavar="SPEC",
    help=f"Your own data: {FORM}, dealt out to all devices, or each device's own (partition=own). Of a TOML file "
    "[data], [task] and [exchange.public] count. Groups learn from each other if the coordinator holds samples, "
    "without labels: reserved=N of data that are dealt out, [exchange.public] where each device has its own.",
)
@click.option(
    "--fleet",
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="Your own devices: a row for each, columns device, cpu_flops, memory_bytes, uplink_bytes_per_s, … "
    "With power_w energy is known, too.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write result.json with the event log, report.html, and target models with cards (of the first seed).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, result.json without the event log.")
@click.option(
    "--mqtt",
    is_flag=True,
    help="Nothing simulated: a broker, a coordinator and nine agents, each a process; needs 'tierwise[broker]'.",
)
@click.pass_context
def demo(
    ctx: click.Context, seeds: int, data: str | None, fleet: Path | None, out: Path | None, as_json: bool, mqtt: bool
) -> None:
    """Watch a fleet of unequal devices being grouped and trained on real data.

    60 devices have the hardware of real ones, from a Raspberry Pi Zero 2 W to a workstation, and share scikit-learn's
    handwritten digits unequally. tierwise groups them by hardware, trains a model of fitting size in each group, and
    lets the groups learn from each other; beside it, the same fleet learns in groups that do not, and with one model
    for all, of the largest and of the smallest size, under the same deadline.

    Time is simulated from the hardware's published figures; the training is real. Ctrl-C ends within a second and
    shows the seeds that were finished.

    With --mqtt, nine processes declare the hardware of three real devices and learn over a real broker, once.
    """
    if mqtt:
        ctx.exit(_over_a_broker(ctx, out, as_json=as_json))
    if out is not None:
        claim(out)
    _Demonstration(seeds, Wanted(data or DATA, fleet), out, as_json).run()


def _over_a_broker(ctx: click.Context, out: Path | None, *, as_json: bool) -> int:
    for name in ("seeds", "data", "fleet"):
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} is for simulated fleets, and with --mqtt nothing is simulated", ctx)
    from tierwise.runtime.demo.network import demonstrate  # the simulated one needs no network

    return demonstrate(out, as_json=as_json)


class _Demonstration:
    """One call of the command, with simulated fleets."""

    def __init__(self, seeds: int, wanted: Wanted, out: Path | None, as_json: bool) -> None:
        self._seeds = seeds
        self._wanted = wanted
        self._out = out
        self._as_json = as_json
        self._show = present.messages() if as_json else present.output()
        self._plugins = Plugins.discover()
        self._arms: dict[int, list[ArmResult]] = {}
        self._results: list[SeedResult] = []

    def run(self) -> None:
        """Run it, show it, keep it."""
        interrupted: Interrupted | None = None
        try:
            # All of it is one piece of work: between two pieces nobody would hear Ctrl-C.
            with Pool(self._wanted).open() as pool:
                run_abandonable(lambda stop: self._learn(pool, stop))
        except Interrupted as error:
            interrupted = error
        if self._results:
            self._finish(interrupted=interrupted is not None)
        elif interrupted is not None:
            click.echo("interrupted before the first seed was finished: there is nothing to show", err=True)
        if interrupted is not None:
            raise interrupted

    def _learn(self, pool: Pool, stop: StopToken) -> None:
        plan = self._plan(0)
        stop.check()
        self._show.print(introduction(plan, self._seeds, yours=self._wanted != USUAL))
        self._show.print(tables.fleet_table(plan))
        self._show.print()
        names = [arm.name for arm in plan.arms]
        self._run(pool, [Task(0, name) for name in names], stop)
        self._show.print(tables.groups_table(self._results[0]))
        self._show.print()
        others = [Task(seed, name) for seed in range(1, self._seeds) for name in names]
        if others:
            self._run(pool, others, stop)

    def _plan(self, seed: int) -> Plan:
        return make_plan(seed, self._plugins, self._wanted)

    def _run(self, pool: Pool, tasks: Sequence[Task], stop: StopToken) -> None:
        """Run arms; a seed's result is there as soon as its last arm is."""
        messages = present.messages()
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=messages, transient=True
        )
        shown = bar.add_task(f"{len(tasks)} federations", total=len(tasks))
        asked = Counter(task.seed for task in tasks)

        def done(task: Task, arm: ArmResult) -> None:
            arms = self._arms.setdefault(task.seed, [])
            arms.append(arm)
            if len(arms) == asked[task.seed]:
                self._results.append(SeedResult.of(self._plan(task.seed), self._arms.pop(task.seed)))
            bar.update(shown, advance=1, description=str(task))
            if not messages.is_terminal:
                messages.print(f"{task}: accuracy {present.share(arm.outcome.accuracy)}")

        with bar if messages.is_terminal else nullcontext():
            pool.run(tasks, stop, done)

    def _finish(self, *, interrupted: bool) -> None:
        results = sorted(self._results, key=lambda one: one.plan.seed)
        comparison, first = compare(results), results[0]
        report = make_report(
            first.run,
            configuration={"data": self._wanted.data, "settings": first.plan.settings, "arms": _told(first.plan)},
            figures=comparison,
            interrupted=interrupted,
        )
        remark = ""
        if self._out is not None:
            report, remark = keep(self._out, first.run, report, lambda: [comparison_section(comparison)])
        if self._as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
        else:
            self._tell(comparison, report)
        if remark:
            click.echo(remark, err=True)

    def _tell(self, comparison: Comparison, report: Report) -> None:
        show = self._show
        show.print(tables.outcome_table(comparison))
        show.print()
        show.print(tables.comparison_table(comparison))
        show.print()
        for line in tables.verdicts(comparison):
            show.print(line)
        show.print(f"\n{conclusion(comparison)}")
        if self._out is None:
            return
        show.print(f"\nWritten to {self._out}: result.json, {', '.join(report.files)}")
        if REPORT in report.files:
            show.print(f"The same with charts: {self._out / REPORT}", soft_wrap=True)


def _told(plan: Plan) -> dict[str, object]:
    """Return what the arms were told, for the result."""
    return {str(arm.name): arm.policies for arm in plan.arms}
