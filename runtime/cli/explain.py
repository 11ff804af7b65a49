"""``tierwise explain``: why a device is where it is."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import click
import msgspec
from rich.console import Console
from rich.table import Table

from tierwise.core.errors import ConfigurationError, StoreError, nearest
from tierwise.core.federation import Federation
from tierwise.core.grouping import MINIMUM
from tierwise.core.hardware import POWER, HardwareEnvelope, HardwareProfile, Origin
from tierwise.core.ids import DeviceId
from tierwise.core.tiers import RoundLimits
from tierwise.plugins.manager import Plugins
from tierwise.runtime.cli import present
from tierwise.runtime.cli.tables import unplaced_lines
from tierwise.runtime.config import RunConfig, load_config
from tierwise.runtime.config_tables import CATALOGUE
from tierwise.runtime.explaining import Deciding, DeviceExplained, Explanation, explain
from tierwise.runtime.fleet.draw import draw_fleet
from tierwise.runtime.policies import tiers_of
from tierwise.runtime.simulation.enlisting import fleet_of
from tierwise.runtime.stores.sqlite import SqliteStore
from tierwise.runtime.tables import located


@click.command(
    "explain",
    epilog="\b\nExamples:\n  tierwise explain examples/deadline.toml\n"
    "  tierwise explain examples/deadline.toml --device d013\n"
    "  tierwise explain examples/deadline.toml --json | jq '.devices[] | select(.group == null)'",
)
@click.argument("file", metavar="FILE.toml", type=click.Path(path_type=Path))
@click.option("--device", metavar="ID", help="Tell of one device alone, with all its numbers.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Instead of the file's federation.seed.")
@click.option(
    "--store", "stored", is_flag=True, help="Of the devices in the store that the file names, not of [fleet]."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
def command(file: Path, device: str | None, seed: int | None, stored: bool, as_json: bool) -> None:
    """Say why each device of a fleet is where it is, with the numbers.

    Divides the fleet of FILE.toml (the same that `tierwise simulate` draws or reads) by its grouping policy, asks its
    tier provider for each group's tier, and says what decides. Nothing is trained.

    What a round costs a device is predicted from its hardware profile, with rounds.max_samples for the samples that it
    has. Groups are those of a federation for which all devices are there from the beginning.

    With --store, the devices are those that reported their hardware to a coordinator, running or not, and the groups
    are those that they would be in if they were divided now.
    """
    plugins = Plugins.discover()
    config = load_config(file, plugins)
    if seed is not None:
        config = config.with_seed(seed)
    fleet, models = _stored(config, file) if stored else _drawn(config, file, plugins)
    explanation = _explained(config, file, plugins, fleet, models)
    if device is not None:
        explanation = _about(explanation, device, file)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(explanation), indent=2).decode())
        return
    console = present.output()
    for line in _head(explanation):
        console.print(line, soft_wrap=True)
    console.print()
    if device is None:
        _show_fleet(console, explanation)
    else:
        _show_device(console, explanation.devices[0], explanation.limits)


Fleet = dict[DeviceId, HardwareProfile]


def _drawn(config: RunConfig, file: Path, plugins: Plugins) -> tuple[Fleet, dict[DeviceId, str]]:
    """Return the fleet of a simulation, and which device model each device is, if it is one of the catalogue."""
    try:
        _, fleet = fleet_of(config, config.data_source(plugins), file.parent)
    except ConfigurationError as error:
        raise located(error, str(file), "data") from error
    if config.fleet.hardware != CATALOGUE:
        return fleet, {}
    drawn = draw_fleet(len(fleet), config.seed).values()
    return fleet, {name: one.model.model for name, one in zip(fleet, drawn, strict=True)}


def _stored(config: RunConfig, file: Path) -> tuple[Fleet, dict[DeviceId, str]]:
    """Return the devices that have reported their hardware to a coordinator."""
    if config.store.path is None:
        error = ConfigurationError("is not set: --store reads the devices from there", key="store.path")
        raise located(error, str(file))
    path = file.parent / config.store.path
    federation = Federation()
    for record in anyio.run(SqliteStore(path).records):
        federation.apply(record)
    devices = federation.state.devices
    fleet = {name: one.profile for name, one in sorted(devices.items()) if one.profile is not None}
    if len(fleet) < MINIMUM:
        raise StoreError(f"{path}: {len(fleet)} devices have reported their hardware, groups need at least {MINIMUM}")
    return fleet, {}


def _explained(
    config: RunConfig, file: Path, plugins: Plugins, fleet: Fleet, models: dict[DeviceId, str]
) -> Explanation:
    settings = config.settings(config.data_source(plugins).task, None)
    policies = config.policies
    deciding = Deciding(
        federation=config.federation.name,
        policy=policies.grouping.name,
        grouping=plugins.grouping_policy(policies.grouping.name, policies.grouping.options, where="grouping"),
        provider=policies.tiers.name,
        tiers=tiers_of(policies, plugins),
        task=settings.task,
        limits=settings.rounds.limits,
    )
    try:
        return explain(deciding, fleet, models)
    except ConfigurationError as error:
        raise located(error, str(file), "grouping") from error


def _about(explanation: Explanation, device: str, file: Path) -> Explanation:
    """Return what is told of one device: it, and its group."""
    found = [one for one in explanation.devices if one.device == device]
    if not found:
        known = [one.device for one in explanation.devices]
        raise click.UsageError(
            f"the fleet of {file} has no device {device!r}{nearest(device, known)}; its {len(known):,} devices: "
            f"{known[0]} to {known[-1]}"
        )
    name = DeviceId(device)
    return msgspec.structs.replace(
        explanation,
        groups=tuple(group for group in explanation.groups if group.group == found[0].group),
        unplaced={name: explanation.unplaced[name]} if name in explanation.unplaced else {},
        warnings=tuple(w for w in explanation.warnings if w.startswith(f"{found[0].group}: ")),
        devices=tuple(found),
    )


# -- the fleet


def _head(explanation: Explanation) -> Iterator[str]:
    limits = explanation.limits
    traffic = "any traffic" if limits.traffic_bytes is None else present.scaled(limits.traffic_bytes, "B")
    energy = "any energy" if limits.energy_j is None else present.scaled(limits.energy_j, "J")
    yield (
        f"federation {explanation.federation}: grouping policy {explanation.policy}, tier provider "
        f"{explanation.provider}"
    )
    yield (
        f"a round may take {present.duration(limits.deadline_s)}, {traffic} and {energy}; reckoned with "
        f"{limits.samples:,} samples to train on, and as many to evaluate"
    )


def _show_fleet(console: Console, explanation: Explanation) -> None:
    console.print(_offers_table(explanation))
    console.print()
    if explanation.groups:
        console.print(_groups_table(explanation))
        console.print()
    for group in explanation.groups:
        console.print(f"{group.group}: {group.tier} is {group.reason}", soft_wrap=True)
    for line in unplaced_lines(explanation.unplaced):
        console.print(line, soft_wrap=True)
    for warning in explanation.warnings:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    console.print("of one device: --device ID")


def _offers_table(explanation: Explanation) -> Table:
    coded = any(offer.cost.upload_bytes is not None for offer in explanation.offers)
    update = ("update",) if coded else ()  # else it is as large as the model
    numbers = ("parameters", "model", *update, "memory", "to train on a sample", "carried by")
    table = present.table("tier on offer", *numbers, right=numbers)
    for offer in explanation.offers:
        table.add_row(
            offer.tier,
            present.count(offer.cost.parameters),
            present.scaled(offer.cost.bytes, "B"),
            *((present.scaled(offer.cost.update_bytes, "B"),) if coded else ()),
            present.memory(offer.cost.memory_bytes),
            present.scaled(offer.cost.fit_flops_per_sample, "FLOP"),
            f"{offer.carried_by:,} of {len(explanation.devices):,}",
        )
    return table


def _groups_table(explanation: Explanation) -> Table:
    numbers = ("devices", "carry more", "slowest round", "slowest link")
    columns = ("group", "devices", "tier", "carry more", "slowest round", "processor", "memory", "slowest link")
    table = present.table(*columns, right=numbers)
    for group in explanation.groups:
        table.add_row(
            group.group,
            present.count(len(group.devices)),
            group.tier,
            present.count(group.carry_more),
            present.duration(group.round_s),
            _range("cpu_flops", group.envelope),
            _range("memory_bytes", group.envelope),
            present.scaled(min(map(group.envelope.least, ("downlink_bytes_per_s", "uplink_bytes_per_s"))), "B/s"),
        )
    return table


def _range(name: str, envelope: HardwareEnvelope) -> str:
    found = envelope.ranges[name]
    ends = dict.fromkeys(present.quantity(name, value) for value in (found.least, found.greatest))
    return " to ".join(ends)


# -- one device


def _show_device(console: Console, device: DeviceExplained, limits: RoundLimits) -> None:
    of = "" if device.model is None else f" ({device.model})"
    where = "in no group" if device.group is None else f"in {device.group}, with tier {device.tier}"
    console.print(f"{device.device}{of} is {where}", soft_wrap=True)
    console.print(device.reason or "the policy gives no reason", soft_wrap=True)
    console.print()
    console.print(_profile_table(device))
    console.print()
    console.print(_verdicts_table(device, limits))
    for verdict in device.verdicts:
        if verdict.excesses:
            told = " and ".join(map(str, verdict.excesses))
            console.print(f"{verdict.tier} is too much: {told}", soft_wrap=True)
    if limits.energy_j is not None and POWER not in device.profile.quantities:
        console.print(f"{POWER} is not known, so that energy is not judged")


def _profile_table(device: DeviceExplained) -> Table:
    table = present.table("hardware", "value", "origin", right=("value",))
    quantities = sorted(device.profile.quantities.items(), key=lambda item: (item[1].origin is Origin.DEFAULT, item[0]))
    for name, one in quantities:
        table.add_row(name, present.quantity(name, one.value), one.origin.value)
    return table


def _verdicts_table(device: DeviceExplained, limits: RoundLimits) -> Table:
    numbers = ("download", "compute", "upload", "round", "memory", "traffic", "energy")
    table = present.table("tier", *numbers, "carried", right=numbers)
    for verdict in device.verdicts:
        predicted = verdict.predicted
        times = (predicted.download_s, predicted.compute_s, predicted.upload_s, verdict.round_s)
        table.add_row(
            verdict.tier,
            *map(present.duration, times),
            present.memory(predicted.memory_bytes),
            present.scaled(predicted.traffic_bytes, "B"),
            present.MISSING if predicted.energy_j is None else present.scaled(predicted.energy_j, "J"),
            "no" if verdict.excesses else "yes",
        )
    table.add_section()
    table.add_row(
        "at the most",
        *("",) * 3,
        present.duration(limits.deadline_s),
        present.memory(device.profile.value("memory_bytes")),
        "any" if limits.traffic_bytes is None else present.scaled(limits.traffic_bytes, "B"),
        "any" if limits.energy_j is None else present.scaled(limits.energy_j, "J"),
        "",
    )
    return table
