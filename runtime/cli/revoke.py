"""``tierwise revoke``: shuts a device out."""

from pathlib import Path

import click
import msgspec

from tierwise.core.ids import DeviceId
from tierwise.runtime.cli import present
from tierwise.runtime.security.registry import Registry


@click.command(
    epilog="\b\nExamples:\n  tierwise revoke kitchen --registry registry",
)
@click.argument("device", metavar="DEVICE")
@click.option(
    "--registry",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The coordinator's directory of devices.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the device's record as one JSON document.")
def revoke(device: str, registry: Path, as_json: bool) -> None:
    """Shut a device out of a federation, for good or until it is enrolled anew.

    A running coordinator drops whatever the device says from now on. The broker still lets it in until it has a new
    access list, see `tierwise acl`, and the user is removed from its password file.
    """
    record = Registry.open(registry).revoke(DeviceId(device))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(record), indent=2).decode())
        return
    present.output().print(
        f"{record.device} is revoked since {record.revoked:%Y-%m-%d %H:%M:%S} UTC: the key {record.fingerprint} is "
        "void",
        soft_wrap=True,
    )
