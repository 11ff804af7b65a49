"""``tierwise coordinator``: a federation of devices over a broker."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import click
import msgspec
from anyio.abc import TaskStatus

from tierwise.core import events as e
from tierwise.core.bus import EventBus, Subscription
from tierwise.core.edges import Store
from tierwise.core.errors import ConfigurationError, FederationError
from tierwise.core.events import PluginUsed, Record
from tierwise.core.ids import DeviceId
from tierwise.core.settings import FederationSettings
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli import present
from tierwise.runtime.cli.arenas import limit_arenas
from tierwise.runtime.cli.coordinator_link import CoordinatorLink, coordinator_link
from tierwise.runtime.cli.enrolling import EnrolmentWatch
from tierwise.runtime.cli.interrupt import Interrupted
from tierwise.runtime.cli.keeping import keep
from tierwise.runtime.cli.logging import JsonLog, Level, Log, TextLog, listening
from tierwise.runtime.cli.progress import Progress
from tierwise.runtime.cli.running import run_until_told
from tierwise.runtime.cli.tables import failure_lines, show_report
from tierwise.runtime.config import RunConfig, load_config
from tierwise.runtime.config_tables import FleetTable
from tierwise.runtime.coordinator import Coordinator
from tierwise.runtime.exceptions import unwrapped
from tierwise.runtime.figures import Run
from tierwise.runtime.output import Report, claim, make_report
from tierwise.runtime.own_data import OwnData
from tierwise.runtime.standing import written_at
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.straining import StrainWatch
from tierwise.runtime.tables import located
from tierwise.runtime.watching import Happening

FAREWELL_S: Final = 5.0
"""How long a federation that had ended before is there again, for devices that wait for it."""


@click.command(
    epilog="\b\nExamples:\n  tierwise coordinator examples/mqtt.toml\n"
    "  tierwise coordinator examples/mqtt.toml --out runs/1\n"
    "  tierwise coordinator examples/mqtt.toml --log-json | jq -c 'select(.event == \"round-closed\")'",
)
@click.argument("file", metavar="FILE.toml", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write result.json with the event log, report.html, and target models with cards. Created if need be.",
)
@click.option(
    "--linger",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Stay that long after the end, for devices that were away; they get their target models then.",
)
@click.option(
    "--release",
    multiple=True,
    metavar="DEVICE",
    help="Take a device out of quarantine, where it is because it kept sending what could not be used. Repeatable.",
)
@click.option(
    "--allow-change",
    multiple=True,
    metavar="KEY",
    help="Go on though the file has another value than the store's federation: of stop.…, selection.…, or "
    "aggregation.server_optimizer.…; a key or a whole table. Repeatable.",
)
@click.option("--log-json", is_flag=True, help="Print a JSON object a line for all that happens, and for the result.")
@click.pass_context
def coordinator(
    ctx: click.Context,
    file: Path,
    out: Path | None,
    linger: float,
    release: tuple[str, ...],
    allow_change: tuple[str, ...],
    log_json: bool,
) -> None:
    """Run a federation of devices, which `tierwise agent` makes of machines.

    Reads the same file as `tierwise simulate`, and in it the tables [mqtt], [store] and [security]. With a store it can
    be stopped or killed at any time: started again with the same file it goes on, and the devices with it.

    SIGTERM and Ctrl-C end it cleanly; a second one ends it at once.
    """
    limit_arenas()
    plugins = Plugins.discover()
    config = load_config(file, plugins)
    if out is not None:
        claim(out)
    ctx.exit(_Program(file, config, plugins, _Options(out, linger, release, allow_change, log_json)).run())


@dataclass(frozen=True, slots=True)
class _Options:
    out: Path | None
    linger_s: float
    release: Sequence[str]
    may_change: Sequence[str]
    log_json: bool


class _Program:
    """One call of the command."""

    def __init__(self, file: Path, config: RunConfig, plugins: Plugins, options: _Options) -> None:
        self._file = file
        self._config = config
        self._plugins = plugins
        self._out = options.out
        self._linger_s = options.linger_s
        self._release = options.release
        self._may_change = options.may_change
        self._json = JsonLog() if options.log_json else None
        self._console = present.messages()
        self._log: Log = self._json or TextLog(self._write)
        self._progress = Progress(self._console, config.federation.name)
        self._strain = StrainWatch()
        self._enrolment = EnrolmentWatch()
        self._store = _store(config, file)
        self._ended = False

    def run(self) -> int:
        """Run it, show it, keep it; return what to exit with."""
        settings, own = self._settings()
        link = coordinator_link(self._config, self._file, getattr(self._store, "incoming", None))
        try:
            with listening(self._log):
                self._remark_on_file(link)
                if self._json is None and self._console.is_terminal:
                    with self._progress.shown():
                        run_until_told(lambda: self._serve(settings, own, link))
                else:
                    run_until_told(lambda: self._serve(settings, own, link))
        except Interrupted as interrupted:
            if not self._ended:
                if not interrupted.abandoned:
                    self._conclude(interrupted=True)
                self._log.remark(self._way_on(), Level.WARNING)
                raise
            # It only lingered: what it was started for is done.
        except FederationError:
            self._conclude()
            raise  # the reason is told with all other errors
        failures = failure_lines(self._conclude(failures_follow=True).run.groups)
        for line in failures:
            click.echo(f"error: {line}", err=True)
        return 1 if failures else 0

    # -- before

    def _settings(self) -> tuple[FederationSettings, OwnData]:
        source = self._config.data_source(self._plugins)
        try:
            return self._config.settings(source.task, None), self._config.own_data(source, self._plugins)
        except ConfigurationError as error:
            raise located(error, str(self._file)) from error

    def _remark_on_file(self, link: CoordinatorLink) -> None:
        if self._config.fleet != FleetTable():
            self._log.remark("[fleet] is for simulations: here the devices are those that come")
        if self._config.store.path is None:
            self._log.remark(
                "without [store] path all is in memory: nothing of the federation survives this program", Level.WARNING
            )
        if not link.trust.signed:
            self._log.remark(
                "without [security] registry no message is signed: whoever reaches the broker can be any device",
                Level.WARNING,
            )

    # -- while it runs

    async def _serve(self, settings: FederationSettings, own: OwnData, link: CoordinatorLink) -> None:
        earlier = await _records(self._store)
        for record in earlier:
            self._progress.watch(record.event)
            self._strain.watch(record.event)
            self._enrolment.watch(record.event)
        over = any(isinstance(record.event, e.FederationFinished | e.FederationFailed) for record in earlier)
        self._log.remark(
            f"connecting to the broker {link.settings.url} as the coordinator of {link.settings.federation}"
        )
        running = Coordinator(
            settings,
            transport=link.transport,
            policies=self._config.policies,
            plugins=self._plugins,
            store=self._store,
            own=own,
            may_change=self._may_change,
        )
        with unwrapped():
            async with link.trust.remembered(), anyio.create_task_group() as tasks:
                await tasks.start(self._follow, running.bus)  # before it does anything
                async with running:
                    if over:
                        self._log.remark(self._over(), Level.WARNING)
                    elif earlier:  # said when it is sure that the store is this coordinator's
                        self._log.remark(f"going on where the store stands, after {len(earlier):,} records")
                    for device in self._release:
                        running.release_device(DeviceId(device))
                    await running.result()
                    self._ended = True
                    if linger_s := max(self._linger_s, FAREWELL_S if over else 0.0):
                        await self._linger(linger_s)

    def _over(self) -> str:
        """Say that the store's federation has ended, and what to do for another."""
        path = self._file.parent / (self._config.store.path or "")
        at = written_at(path)
        when = "" if at is None else f" on {at.astimezone():%Y-%m-%d at %H:%M:%S}"
        return (
            f"federation {self._config.federation.name} has ended{when}: with this store nothing more is learned, and "
            f"devices that come are told so. To learn anew, name another store.path in {self._file}, or rm -r {path}*"
        )

    async def _linger(self, linger_s: float) -> None:
        if self._out is not None:  # nobody should have to wait for it
            run = await Run.read(self._store)
            await anyio.to_thread.run_sync(keep, self._out, run, self._report(run))
        self._log.remark(f"the federation has ended; staying {linger_s:g} s for devices that were away")
        await anyio.sleep(linger_s)

    async def _follow(self, bus: EventBus, *, task_status: TaskStatus[None]) -> None:
        # An observer: the log waits for the disk or pipe that it goes to, the federation does not wait for the log.
        everything: tuple[type[Happening], ...] = (e.Event, e.Notice)
        async with bus.subscribe(*everything, observer=True, name="log") as happenings:
            task_status.started()
            async for happening in happenings:
                together = [happening, *_waiting(happenings)]  # a visit to a thread costs more than a line
                for one in together:
                    self._progress.watch(one)
                await anyio.to_thread.run_sync(self._tell, together)
            if happenings.dropped:
                self._log.remark(f"this log lacks {happenings.dropped} events: it was too slow", Level.WARNING)

    def _tell(self, happenings: Sequence[Happening]) -> None:
        for happening in happenings:
            self._log.happened(happening)
            if (waiting := self._enrolment.watch(happening)) is not None:
                self._log.remark(waiting)
            if (warning := self._strain.watch(happening)) is not None:
                self._log.remark(warning, Level.WARNING)

    def _write(self, line: str, level: Level) -> None:
        style = {Level.INFO: None, Level.WARNING: "yellow", Level.ERROR: "red"}[level]
        self._console.print(line, style=style, soft_wrap=True)

    # -- after

    def _way_on(self) -> str:
        if self._config.store.path is None:
            return "stopped; as there is no [store] path, the federation is lost"
        return f"stopped; all is in the store: `tierwise coordinator {self._file}` goes on with it"

    def _conclude(self, *, interrupted: bool = False, failures_follow: bool = False) -> Report:
        """Write and show what there is."""
        run = anyio.run(Run.read, self._store)
        report = self._report(run, interrupted=interrupted)
        if self._out is not None:
            report, remark = keep(self._out, run, report)
            if remark:
                self._log.remark(remark)
        if self._json is not None:
            self._json.result("federation", {"report": msgspec.to_builtins(report)})
        else:
            show_report(report, self._out, failures_follow=failures_follow)
        return report

    def _report(self, run: Run, *, interrupted: bool = False) -> Report:
        return make_report(run, configuration=self._config, also_used=self._also_used(run), interrupted=interrupted)

    def _also_used(self, run: Run) -> tuple[PluginUsed, ...]:
        learners = {group.tier.learner for group in run.state.groups.values() if group.tier is not None}
        return (
            self._plugins.provenance(Kind.DATA_SOURCE, self._config.data.name),
            *(self._plugins.provenance(Kind.LEARNER, name) for name in sorted(learners)),
        )


def _waiting(happenings: Subscription[Happening]) -> Iterator[Happening]:
    """Take what else has happened already."""
    with suppress(anyio.WouldBlock, anyio.EndOfStream):
        while True:
            yield happenings.receive_nowait()


def _store(config: RunConfig, file: Path) -> Store:
    if config.store.path is None:
        return MemoryStore()
    from tierwise.runtime.stores.sqlite import SqliteStore  # SQLAlchemy takes its time

    return SqliteStore(file.parent / config.store.path)


async def _records(store: Store) -> Sequence[Record]:
    """Return what is in a store, which may not be there yet."""
    path = getattr(store, "path", None)
    return [] if path is not None and not path.exists() else await store.records()
