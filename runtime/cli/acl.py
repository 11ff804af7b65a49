"""``tierwise acl``: the broker's access list."""

from pathlib import Path

import click

from tierwise.core.errors import ConfigurationError
from tierwise.runtime.security.acl import mosquitto_acl
from tierwise.runtime.security.registry import Registry
from tierwise.runtime.transports.mqtt.topics import Topics


@click.command(
    epilog="\b\nExamples:\n  tierwise acl --for mosquitto --registry registry > /etc/mosquitto/tierwise.acl\n"
    "  tierwise acl --for mosquitto --registry registry --out tierwise.acl",
)
@click.option(
    "--for", "broker", required=True, type=click.Choice(["mosquitto"], case_sensitive=False), help="Which broker."
)
@click.option(
    "--registry",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The coordinator's directory of devices.",
)
@click.option("--prefix", metavar="PREFIX", help="Instead of the registry's: what topics begin with.")
@click.option("--federation", metavar="NAME", help="Instead of the registry's: the federation's name.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, in place of an earlier one."
)
def acl(broker: str, registry: Path, prefix: str | None, federation: str | None, out: Path | None) -> None:  # noqa: ARG001
    """Write the access list of a broker: who may read and write which topics.

    Each enrolled device is a user of the broker by its own name, and the coordinator is the user 'coordinator'. A
    device may write its own topics only; revoked devices may do nothing.
    """
    opened = Registry.open(registry)
    topics = Topics(prefix or opened.topics.prefix, federation or opened.topics.federation)
    text = mosquitto_acl(topics, [record.device for record in opened.devices() if record.revoked is None])
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot be written: {error.strerror}", source=str(out)) from error
