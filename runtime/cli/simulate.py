"""``tierwise simulate``: a federation from a TOML file, on virtual time."""

import asyncio
from pathlib import Path
from typing import Any

import click
import msgspec

from tierwise.core import events as e
from tierwise.core.errors import ConfigurationError, FederationError
from tierwise.core.events import PluginUsed
from tierwise.core.learning import StopToken
from tierwise.core.standardising import warning_of_large_features
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli import present
from tierwise.runtime.cli.dropped import left_out
from tierwise.runtime.cli.interrupt import Interrupted, run_abandonable
from tierwise.runtime.cli.keeping import keep
from tierwise.runtime.cli.progress import Progress
from tierwise.runtime.cli.tables import failure_lines, show_report
from tierwise.runtime.config import RunConfig, load_config
from tierwise.runtime.figures import Run
from tierwise.runtime.output import Report, claim, make_report
from tierwise.runtime.simulation import run as simulation
from tierwise.runtime.simulation.clock import SimulationStalledError
from tierwise.runtime.simulation.enlisting import enlist, told
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.straining import StrainWatch
from tierwise.runtime.tables import located


class _Workers(click.IntRange):
    """A number of workers, or ``auto``, which is None."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto":
            return None
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(
                f"{value!r} is no number of processes: write --workers N, N an integer of at least 1, or --workers "
                "auto, one for each processor",
                param,
                ctx,
            )


@click.command(
    epilog="\b\nExamples:\n  tierwise simulate examples/digits.toml\n"
    "  tierwise simulate examples/digits.toml --seed 3 --out runs/3\n"
    "  tierwise simulate examples/digits.toml --workers auto\n"
    "  tierwise simulate examples/digits.toml --json | jq .run.groups",
)
@click.argument("file", metavar="FILE.toml", type=click.Path(path_type=Path))
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Instead of the file's federation.seed.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write result.json with the event log, report.html, and target models with cards. Created if need be.",
)
@click.option(
    "--workers",
    type=_Workers(min=1),
    default="1",
    metavar="N",
    help="Let N processes do the devices' training; 'auto' is one for each processor. Results are the same. It pays "
    "where a device trains for several milliseconds, and processors are idle.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, result.json without the event log.")
@click.pass_context
def simulate(
    ctx: click.Context, file: Path, seed: int | None, out: Path | None, workers: int | None, as_json: bool
) -> None:
    """Run a federation that a TOML file describes.

    The devices and the time are simulated: hardware profiles decide how long everything takes. The coordinator is the
    real one, and the training really trains. The same file and seed give the same models on the same machine.

    Ctrl-C ends it within a second; with --out, the event log and the models of groups that had finished are kept.
    """
    plugins = Plugins.discover()
    config = load_config(file, plugins)
    if seed is not None:
        config = config.with_seed(seed)
    if out is not None:
        claim(out)
    command = _Simulation(file, config, plugins, out, workers, as_json)
    ctx.exit(command.run())


class _Simulation:
    """One call of the command."""

    def __init__(
        self,
        file: Path,
        config: RunConfig,
        plugins: Plugins,
        out: Path | None,
        workers: int | None,
        as_json: bool,
    ) -> None:
        self._file = file
        self._config = config
        self._plugins = plugins
        self._out = out
        self._workers = workers
        self._as_json = as_json
        self._store = MemoryStore()  # made here, so that it is there whatever becomes of the run
        self._messages = present.messages()

    def run(self) -> int:
        """Run it, show it, keep it; return what to exit with."""
        progress = Progress(self._messages, self._config.federation.name)
        try:
            with progress.shown():
                run_abandonable(lambda stop: self._work(stop, progress))
        except (Interrupted, SimulationStalledError):
            self._conclude(interrupted=True)
            raise
        except FederationError:
            self._conclude()
            raise  # the reason is told with all other errors
        failures = failure_lines(self._conclude(failures_follow=True).run.groups)
        for line in failures:
            click.echo(f"error: {line}", err=True)
        return 1 if failures else 0

    def _work(self, stop: StopToken, progress: Progress) -> None:
        progress.say("reading data")
        source = self._config.data_source(self._plugins)
        try:
            devices = enlist(self._config, source, self._file.parent)
            settings = self._config.settings(source.task, len(devices))
            own = self._config.own_data(source, self._plugins)
        except ConfigurationError as error:
            raise located(error, str(self._file), "data") from error
        if (dropped := left_out(source)) is not None:
            progress.warn(dropped)
        for device in devices.values():  # all have the same features: one warning is enough
            if warning := warning_of_large_features(settings.task, device.data.train.divided(settings.task.scale)):
                progress.warn(warning)
                break
        progress.say(f"{told(self._config, source, len(devices))}; waiting for devices")
        strain = StrainWatch()

        def watch(event: e.Event | e.Notice) -> None:
            progress.watch(event)
            if (warning := strain.watch(event)) is not None:
                progress.warn(warning)

        simulation.simulate(
            settings,
            devices,
            policies=self._config.policies,
            plugins=self._plugins,
            store=self._store,
            stop=stop,
            watch=watch,
            own=own,
            workers=self._workers,
        )

    def _conclude(self, *, interrupted: bool = False, failures_follow: bool = False) -> Report:
        """Write and show what there is."""
        run = asyncio.run(Run.read(self._store, self._config.kinds()))
        report = make_report(
            run,
            configuration=self._config,
            also_used=self._also_used(run),
            interrupted=interrupted,
        )
        if self._out is not None:
            report, remark = keep(self._out, run, report)
            if remark:
                click.echo(remark, err=True)
        if self._as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
        else:
            show_report(report, self._out, simulated=True, failures_follow=failures_follow)
        return report

    def _also_used(self, run: Run) -> tuple[PluginUsed, ...]:
        learners = {group.tier.learner for group in run.state.groups.values() if group.tier is not None}
        return (
            self._plugins.provenance(Kind.DATA_SOURCE, self._config.data.name),
            *(self._plugins.provenance(Kind.LEARNER, name) for name in sorted(learners)),
        )
