"""``tierwise enrol``: lets a device take part."""

from pathlib import Path

import click
import msgspec

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId
from tierwise.runtime.cli import present
from tierwise.runtime.security import files
from tierwise.runtime.security.bundle import Bundle, check_broker, check_ca
from tierwise.runtime.security.keys import Identity
from tierwise.runtime.security.registry import FEDERATION, Registry, check_enrollable
from tierwise.runtime.transports.mqtt.topics import PREFIX


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """What the command tells."""

    device: DeviceId
    fingerprint: str
    bundle: str
    federation: str
    prefix: str
    coordinator: str


@click.command(
    epilog="\b\nExamples:\n  tierwise enrol kitchen --registry registry --broker mqtts://broker.example.org\n"
    "  tierwise enrol kitchen --registry registry --broker mqtts://10.0.0.2:8883 --ca ca.pem --out kitchen.json",
)
@click.argument("device", metavar="DEVICE")
@click.option(
    "--registry",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The coordinator's directory of devices. Created, with the coordinator's keys, at the first device.",
)
@click.option("--broker", required=True, metavar="URL", help="mqtts://HOST[:PORT], or mqtt:// without TLS.")
@click.option(
    "--ca", type=click.Path(path_type=Path), metavar="FILE", help="PEM certificate of the CA that the broker's is from."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="The bundle; DEVICE.bundle.json by default."
)
@click.option(
    "--federation", metavar="NAME", help=f"The federation's name, at the first device; {FEDERATION!r} by default."
)
@click.option("--prefix", metavar="PREFIX", help=f"What topics begin with, at the first device; {PREFIX!r} by default.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def enrol(
    device: str,
    registry: Path,
    broker: str,
    ca: Path | None,
    out: Path | None,
    federation: str | None,
    prefix: str | None,
    as_json: bool,
) -> None:
    """Let a device take part in a federation.

    Makes the device's key, registers its public half, and writes the device's bundle: its key, the coordinator's public
    keys, the broker's address and CA. Carry the bundle to the device by a way that you trust; whoever has it can speak
    for the device.

    A running coordinator knows the device at once. The broker does not: see `tierwise acl`.
    """
    check_enrollable(device)
    check_broker(broker)
    certificates = None if ca is None else _certificates(ca)
    opened = Registry.make(registry, prefix=prefix, federation=federation)
    coordinator = opened.coordinator().public
    bundle = Bundle(
        device=DeviceId(device),
        identity=Identity.make(),
        topics=opened.topics,
        coordinator=coordinator,
        broker=broker,
        ca=certificates,
    )
    path = Path(f"{device}.bundle.json") if out is None else out
    # The bundle first: one that is not registered is worth nothing, while a device that is registered without its
    # bundle would have to be revoked before it can be enrolled.
    bundle.save(path)
    try:
        record = opened.enrol(bundle.device, bundle.identity.public)
    except BaseException:
        path.unlink()
        raise
    _tell(
        Enrolled(
            device=record.device,
            fingerprint=record.fingerprint,
            bundle=str(path),
            federation=opened.topics.federation,
            prefix=opened.topics.prefix,
            coordinator=coordinator.fingerprint,
        ),
        as_json=as_json,
    )


def _certificates(ca: Path) -> str:
    pem = files.read(ca, remedy="name the PEM file of the CA")
    try:
        return check_ca(pem)
    except ConfigurationError as error:
        raise ConfigurationError(str(error), source=str(ca)) from error


def _tell(enrolled: Enrolled, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(enrolled), indent=2).decode())
        return
    console = present.output()
    for line in (
        f"{enrolled.device} is enrolled in federation {enrolled.federation}, with the key {enrolled.fingerprint}",
        f"the coordinator's keys: {enrolled.coordinator}",
        f"its bundle: {enrolled.bundle}; it holds the device's private key, so hand it over in confidence",
    ):
        console.print(line, soft_wrap=True)
