"""A small MQTT broker in this process: amqtt, for trying out and for tests.

What it lacks, compared with mosquitto and its like (amqtt 0.12): it speaks MQTT 3.1.1 only, has no shared
subscriptions, did not deliver what was for a session that was offline, and held up to 7.6 times a payload in memory. It
has no TLS and no users here. So it is no broker for production; the transport works with it all the same.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Final

from tierwise.core.errors import ConfigurationError, TransportError

EXTRA: Final = "tierwise[broker]"
_PLUGIN: Final = "amqtt.plugins.authentication.AnonymousAuthPlugin"


def check_installed() -> None:
    """Make sure that amqtt is there, without importing it.

    Raises
    ------
    ConfigurationError
        If it is not; says how to get it.
    """
    if find_spec("amqtt") is None:
        raise ConfigurationError(
            f"the embedded broker needs amqtt, which is not installed: pip install '{EXTRA}'. Any other MQTT broker "
            "does as well, and better: mosquitto, for example"
        )


@asynccontextmanager
async def embedded_broker(host: str = "127.0.0.1", port: int = 1883) -> AsyncIterator[None]:
    """Run the broker as long as the context lasts, on asyncio.

    Parameters
    ----------
    host, port
        Where it listens.

    Raises
    ------
    ConfigurationError
        If amqtt is not installed.
    TransportError
        If it cannot listen there.
    """
    check_installed()
    from amqtt.broker import Broker
    from amqtt.errors import BrokerError

    bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": bind}},
            "plugins": {_PLUGIN: {"allow_anonymous": True}},
        }
    )
    quiet = logging.getLogger("amqtt.broker")
    before = quiet.disabled
    quiet.disabled = True  # it would print the traceback of what is told below
    try:
        await broker.start()
    except BrokerError as error:
        reason = error.__cause__ or error
        raise TransportError(
            f"the embedded broker cannot listen on {bind}: {reason}; name another --port, or stop what listens there"
        ) from error
    finally:
        quiet.disabled = before
    try:
        yield
    finally:
        await broker.shutdown()
