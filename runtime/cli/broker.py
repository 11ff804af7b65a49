"""``tierwise broker``: an embedded MQTT broker."""

import asyncio
import logging
from typing import Final

import anyio
import click

from tierwise.runtime.broker import check_installed, embedded_broker
from tierwise.runtime.cli.running import run_until_told

_LOG: Final = logging.getLogger(__name__)


@click.command(epilog="\b\nExamples:\n  tierwise broker\n  tierwise broker --port 1884")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Where it listens.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=1883, show_default=True, metavar="PORT", help="Likewise."
)
def broker(host: str, port: int) -> None:
    """Start a small MQTT broker in this process, for trying out.

    It is amqtt, which `pip install 'tierwise[broker]'` brings. Not for production: it lets everybody in without TLS,
    speaks MQTT 3.1.1 only, has no shared subscriptions, does not deliver what was for a device that was offline, and
    takes up to 7.6 times a payload's memory. Take mosquitto, EMQX or HiveMQ for that.

    SIGTERM and Ctrl-C end it.
    """
    check_installed()
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # a client that goes, and the end itself, are errors there
    run_until_told(lambda: _serve(host, port))


async def _serve(host: str, port: int) -> None:
    # What a client leaves undone when it goes, amqtt leaves to the loop, which would print a traceback.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: _LOG.debug("%s", context.get("message")))
    async with embedded_broker(host, port):
        click.echo(f"an MQTT broker for trying out listens at mqtt://{host}:{port}", err=True)
        await anyio.sleep_forever()
