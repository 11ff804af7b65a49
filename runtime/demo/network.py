"""``tierwise demo --mqtt``: the same job over a broker, with a process for each device."""

import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import click
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream
from rich.console import Console
from rich.table import Table

from tierwise.core import events as e
from tierwise.core.errors import FederationError, TransportError
from tierwise.core.hardware import DEFAULTS
from tierwise.core.ids import DeviceId
from tierwise.runtime.broker import check_installed
from tierwise.runtime.cli import present
from tierwise.runtime.cli.progress import Progress
from tierwise.runtime.cli.running import run_until_told
from tierwise.runtime.cli.tables import show_report
from tierwise.runtime.demo.crew import Crew, Member
from tierwise.runtime.fleet.catalogue import DeviceModel, device_models
from tierwise.runtime.output import Report, claim
from tierwise.runtime.targets import TargetDirectory

HOST: Final = "127.0.0.1"
DEVICES: Final = 9
MODELS: Final = {
    "zero": "Raspberry Pi Zero 2 W",
    "pi4": "Raspberry Pi 4 Model B (8 GB)",
    "laptop": "Framework Laptop 13 (Ryzen AI 5 340, 16 GB)",
}
"""What three devices each declare to be, weakest first; the key begins their names."""
PATIENCE_S: Final = 20.0
"""How long the broker may take to listen."""
LINE_LIMIT: Final = 64 * 1024 * 1024

CONFIGURATION: Final = """\
[federation]
name = "demo"

[data]
source = "digits"
partition = "iid"

[enrolment]
min_devices = {devices}
window_s = 110

[rounds]
deadline_s = 30
epochs = 2
max_samples = 200000        # a tier is sized for a device with so many samples

[grouping]
policy = "quantile"
groups = 3

[tiers]
provider = "mlp"
hidden = [[64], [256], [768, 384]]

[stop]
rule = "rounds"
rounds = 10

[mqtt]
broker = "{broker}"

[store]
path = "demo.db"

[security]
insecure = true
"""


def demonstrate(out: Path | None, *, as_json: bool) -> int:
    """Run the demonstration; return what to exit with.

    Parameters
    ----------
    out
        Where the coordinator writes its result; None for nowhere.
    as_json
        Whether to print one JSON document.
    """
    check_installed()
    if out is not None:
        claim(out)
        out = out.resolve()  # the coordinator is told
    show = present.messages() if as_json else present.output()
    _introduce(show)
    messages = present.messages()
    progress = Progress(messages, "the coordinator's groups")
    with tempfile.TemporaryDirectory(prefix="tierwise-demo-") as place:
        directory = Path(place)
        crew = Crew(directory)
        try:
            with progress.shown():
                report = run_until_told(lambda: _run(crew, directory, out, progress))
        finally:
            crew.kill()
        delivered = _delivered(directory, report)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        show_report(report, out)
        show.print(
            f"\n{len(delivered)} of {DEVICES} devices have their group's target model on their disk, with the hash "
            "that the coordinator has for it."
        )
    return 0 if len(delivered) == DEVICES and not any(group.failed for group in report.run.groups) else 1


# -- the processes


async def _run(crew: Crew, directory: Path, out: Path | None, progress: Progress) -> Report:
    port = _free_port()
    broker = f"mqtt://{HOST}:{port}"
    file = directory / "demo.toml"
    file.write_text(CONFIGURATION.format(devices=DEVICES, broker=broker), "utf-8")
    result = ("--out", str(out)) if out is not None else ()
    async with crew.together():
        progress.say("starting the broker")
        broker_process = await crew.start("broker", "broker", "--host", HOST, "--port", str(port))
        await _listening(broker_process, port)
        progress.say(f"starting a coordinator and {DEVICES} agents; they read their data")
        coordinator = await crew.start("coordinator", "coordinator", str(file), "--log-json", *result)
        agents = [
            await crew.start(device, *_agent(device, part, model, broker, directory))
            for part, (device, model) in enumerate(fleet().items())
        ]
        return await _follow(crew, coordinator, [broker_process, *agents], agents, progress)


async def _follow(
    crew: Crew, coordinator: Member, helpers: list[Member], agents: list[Member], progress: Progress
) -> Report:
    report: Report | None = None
    async with _minded(crew, helpers) as mind:
        async for line in _lines(coordinator):
            if "event" in line:
                progress.watch(_event(line))
            elif "result" in line:
                report = msgspec.convert(line["report"], Report)
        code = await coordinator.process.wait()
        if report is None:
            raise FederationError(f"the coordinator has ended with {code}: {coordinator.last_words()}")
        with anyio.move_on_after(PATIENCE_S):
            for agent in agents:
                await agent.process.wait()
        mind.cancel()
    return report


@asynccontextmanager
async def _minded(crew: Crew, members: list[Member]) -> AsyncIterator[anyio.CancelScope]:
    """Have an error of a member end the context."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(crew.mind, members)
        yield tasks.cancel_scope


def _agent(device: DeviceId, part: int, model: DeviceModel, broker: str, directory: Path) -> list[str]:
    declared = (f"--declare={name}={float(getattr(model, name))!r}" for name in (*DEFAULTS, "power_w"))
    return [
        "agent",
        *("--broker", broker, "--federation", "demo", "--id", device),
        *("--data", f"digits:part={part},parts={DEVICES},partition=iid"),
        *("--out", str(directory / device)),
        *declared,
    ]


async def _listening(broker: Member, port: int) -> None:
    with anyio.move_on_after(PATIENCE_S):
        while broker.process.returncode is None:
            try:
                stream = await anyio.connect_tcp(HOST, port)
            except OSError:
                await anyio.sleep(0.05)
            else:
                await stream.aclose()
                return
    raise TransportError(f"the embedded broker does not start: {broker.last_words()}")


async def _lines(member: Member) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON objects that a process prints."""
    assert member.process.stdout is not None
    stream = BufferedByteReceiveStream(member.process.stdout)
    while True:
        try:
            line = await stream.receive_until(b"\n", LINE_LIMIT)
        except (anyio.IncompleteRead, anyio.EndOfStream):
            return
        yield msgspec.json.decode(line)


def _event(line: dict[str, Any]) -> e.Event:
    fields = {key: value for key, value in line.items() if key not in ("time", "level")}
    event: e.Event = msgspec.convert(fields, e.AnyEvent)
    return event


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


# -- what is shown


def fleet() -> dict[DeviceId, DeviceModel]:
    """Return the devices, three of each model."""
    known = {model.model: model for model in device_models()}
    each = DEVICES // len(MODELS)
    return {DeviceId(f"{name}-{number + 1}"): known[model] for name, model in MODELS.items() for number in range(each)}


def _introduce(show: Console) -> None:
    show.print(
        f"{DEVICES} agents, a coordinator and an MQTT broker, each a process of its own on this machine, share "
        "scikit-learn's handwritten digits. Each agent declares the hardware of a real device; nothing is simulated: "
        "the messages go through the broker, the training and the time are real.\n"
    )
    show.print(_fleet_table())
    show.print()


def _fleet_table() -> Table:
    made = present.table("agents", "declare to be", "compute", "memory", "link", title="The fleet")
    devices: dict[str, list[DeviceId]] = {}
    models = fleet()
    for device, model in models.items():
        devices.setdefault(model.model, []).append(device)
    for name, those in devices.items():
        model = models[those[0]]
        made.add_row(
            ", ".join(those),
            name,
            present.quantity("cpu_flops", model.cpu_flops),
            present.quantity("memory_bytes", model.memory_bytes),
            present.quantity("uplink_bytes_per_s", model.uplink_bytes_per_s),
        )
    return made


def _delivered(directory: Path, report: Report) -> list[DeviceId]:
    """Return the devices that have a group's target model on their disk."""
    finished = {group.group for group in report.run.groups if group.finished}
    delivered = []
    for device in fleet():
        kept = TargetDirectory(directory / device)
        current = kept.current()
        if current is not None and kept.sound(current.current) and current.current.file.split("-")[0] in finished:
            delivered.append(device)
    return delivered
