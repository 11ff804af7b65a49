"""``tierwise agent``: this machine as a device of a federation."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypedDict, Unpack

import anyio
import anyio.to_thread
import click

from tierwise.core.errors import ConfigurationError, FederationError, nearest
from tierwise.core.hardware import QUANTITIES, HardwareProfile
from tierwise.core.insistence import AgentSettings
from tierwise.plugins.manager import Plugins
from tierwise.runtime.agent import Agent, Target
from tierwise.runtime.cli.agent_link import AgentLink, AgentOptions, agent_link
from tierwise.runtime.cli.dataspec import FORM, DataSpec, read_data_spec
from tierwise.runtime.cli.dropped import left_out
from tierwise.runtime.cli.interrupt import Interrupted
from tierwise.runtime.cli.logging import JsonLog, Level, Log, TextLog, listening
from tierwise.runtime.cli.overhearing import Overheard
from tierwise.runtime.cli.plugin_files import find_plugins, plugin_files
from tierwise.runtime.cli.running import run_until_told
from tierwise.runtime.cli.unanswered import tell_unanswered
from tierwise.runtime.exceptions import unwrapped
from tierwise.runtime.targets import TargetDirectory


class Given(TypedDict):
    """The options of the command."""

    broker: str | None
    data: str
    device: str | None
    federation: str | None
    prefix: str | None
    bundle: Path | None
    state: Path | None
    declare: tuple[str, ...]
    plugin_files: tuple[Path, ...]
    out: Path | None
    username: str | None
    password_file: Path | None
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    protocol: str | None
    insecure: bool
    log_json: bool


_FILE: Final = click.Path(path_type=Path)


@click.command(
    epilog="\b\nExamples:\n  tierwise agent --broker mqtt://localhost --data digits:part=3,parts=9 --id kitchen\n"
    "  tierwise agent --bundle kitchen.bundle.json --data meters --declare uplink_bytes_per_s=1.25e6 --out models",
)
@click.option("--broker", metavar="URL", help="mqtts://HOST[:PORT], or mqtt:// without TLS. A bundle knows it, too.")
@click.option(
    "--data",
    required=True,
    metavar="SPEC",
    help=f"What to train on: {FORM}. SOURCE is a data source, or a TOML file with a table [data]; the keys are the "
    "source's options, and part, parts and seed for a share of it.",
)
@click.option("--id", "device", metavar="NAME", help="This device's name; by default the host's.")
@click.option("--federation", metavar="NAME", help="Which one to join; 'federation' by default.")
@click.option("--prefix", metavar="PREFIX", help="What the topics begin with; 'tierwise' by default.")
@click.option("--bundle", type=_FILE, metavar="FILE", help="From `tierwise enrol`: name, keys, broker, federation.")
@click.option(
    "--declare",
    multiple=True,
    metavar="QUANTITY=VALUE",
    help="Hardware that you know better than the probes, in SI units: cpu_flops=2e9. Repeatable.",
)
@plugin_files
@click.option(
    "--out",
    type=_FILE,
    metavar="DIR",
    help="Write the target model with a card; current.json names it, and the one before for going back.",
)
@click.option("--username", metavar="NAME", help="For the broker; with a password, the device's name by default.")
@click.option("--password-file", type=_FILE, metavar="FILE", help="Whose first line is the password for the broker.")
@click.option("--ca", "ca_file", type=_FILE, metavar="FILE", help="Who may have signed the broker's certificate: PEM.")
@click.option("--cert", "cert_file", type=_FILE, metavar="FILE", help="A certificate that the broker asks for.")
@click.option("--key", "key_file", type=_FILE, metavar="FILE", help="Its key.")
@click.option("--protocol", type=click.Choice(["3.1.1", "5"]), help="The version of MQTT; 3.1.1 by default.")
@click.option(
    "--state", type=_FILE, metavar="DIR", help="Where starts are counted, which protects the keys; beside the bundle."
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Allow what is not protected: no bundle, or no TLS, with a broker that is not on this machine.",
)
@click.option("--log-json", is_flag=True, help="Print a JSON object a line for all that happens.")
@click.pass_context
def agent(ctx: click.Context, **given: Unpack[Given]) -> None:
    """Be a device of a federation: train on this machine's own data, which never leaves it.

    Waits for the coordinator and trains when it is asked to, until the federation has ended. It may be stopped and
    started again at any time.

    Exits with 0 when it has its group's target model, with 1 when it was refused or there is no model for it.
    """
    plugins = find_plugins(given["plugin_files"])
    declared = _declared(given["declare"])
    spec = read_data_spec(given["data"], plugins)
    link = agent_link(
        AgentOptions(**{name: given[name] for name in AgentOptions.__dataclass_fields__})  # type: ignore[literal-required]
    )
    out = None if given["out"] is None else TargetDirectory(given["out"])
    if out is not None:
        out.claim()
    log: Log = JsonLog() if given["log_json"] else TextLog(_write)
    program = _Program(link, spec, declared, plugins, out, log)
    ctx.exit(program.run())


class _Program:
    """One call of the command."""

    def __init__(
        self,
        link: AgentLink,
        spec: DataSpec,
        declared: HardwareProfile,
        plugins: Plugins,
        out: TargetDirectory | None,
        log: Log,
    ) -> None:
        self._link = link
        self._spec = spec
        self._declared = declared
        self._plugins = plugins
        self._out = out
        self._log = log

    def run(self) -> int:
        """Take part until the end; return what to exit with."""
        with listening(self._log):
            for name in sorted(set(self._declared.quantities) - set(QUANTITIES)):
                self._log.remark(
                    f"{name} is no quantity that tierwise reads{nearest(name, QUANTITIES)}; a policy of yours may",
                    Level.WARNING,
                )
            if not self._link.trust.signed:
                self._log.remark(
                    "without --bundle nothing is signed: whoever reaches the broker can be the coordinator",
                    Level.WARNING,
                )
            try:
                target = run_until_told(self._take_part)
            except Interrupted:
                self._log.remark("stopped; the same command joins again", Level.WARNING)
                raise
            if target is None:
                raise FederationError(
                    f"the federation has ended for device {self._link.device!r} without a target model"
                )
            self._keep(target)
        return 0

    async def _take_part(self) -> Target | None:
        settings = self._link.settings
        data = await anyio.to_thread.run_sync(self._spec.load_own, abandon_on_cancel=True)  # it may take its time
        self._log.remark(
            f"{self._link.device}: {len(data.train):,} samples to train on and {len(data.holdout):,} to evaluate on"
        )
        if (dropped := left_out(self._spec.source)) is not None:
            self._log.remark(dropped, Level.WARNING)
        self._log.remark(f"connecting to the broker {settings.url} for federation {settings.federation}")
        transport = Overheard(self._link.transport, self._log)
        running = Agent(
            self._link.device,
            task=self._spec.source.task,
            data=data,
            transport=transport,
            declared=self._declared,
            plugins=self._plugins,
            settings=AgentSettings(),
        )
        async with self._link.trust.remembered(), running:
            with unwrapped():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(tell_unanswered, self._link, transport, self._log)
                    target = await running.target()
                    tasks.cancel_scope.cancel()
        return target

    def _keep(self, target: Target) -> None:
        told = f"target model of {target.group}: {target.tier.name}, version {target.version}"
        if self._out is None:
            self._log.remark(f"{told}; it is not kept, --out DIR would")
            return
        kept = self._out.keep(target, device=self._link.device, federation=self._link.settings.federation)
        self._log.remark(f"{told}, written to {self._out.path / kept.file}, sha256 {kept.sha256}")


def _declared(given: Sequence[str]) -> HardwareProfile:
    values: dict[str, float] = {}
    for one in given:
        name, _, text = one.partition("=")
        try:
            values[name] = float(text)
            HardwareProfile.declared(**{name: values[name]})
        except ValueError as error:
            reason = f": {error}" if text and "convert" not in str(error) else ""
            raise ConfigurationError(
                f"{one!r} is not QUANTITY=VALUE, such as cpu_flops=2e9{reason}; known quantities: "
                f"{', '.join(QUANTITIES)}",
                key="--declare",
            ) from error
    return HardwareProfile.declared(**values)


def _write(line: str, _level: Level) -> None:
    print(line, file=sys.stderr, flush=True)
