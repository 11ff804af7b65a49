"""A coordinator's end over MQTT, with the keys of a registry or without keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tierwise.core.errors import ConfigurationError
from tierwise.runtime.security.keys import COORDINATOR
from tierwise.runtime.security.registry import Registry
from tierwise.runtime.security.trust import Trust
from tierwise.runtime.transports.mqtt.coordinator import MqttCoordinator
from tierwise.runtime.transports.mqtt.settings import MqttSettings


@asynccontextmanager
async def mqtt_coordinator(
    settings: MqttSettings, *, registry: Path | None = None, spool_dir: Path | None = None
) -> AsyncIterator[MqttCoordinator]:
    """Give a coordinator's transport, which the coordinator then connects.

    ::

        store = SqliteStore("digits.db")
        async with (
            mqtt_coordinator(mqtt, registry=Path("registry"), spool_dir=store.incoming) as transport,
            Coordinator(settings, transport=transport, store=store) as coordinator,
        ):
            ...

    As long as the context lasts, the registry's directory gets to know what was heard last, so that nobody can repeat
    it to the next coordinator.

    Parameters
    ----------
    settings
        Where the broker is, and as which federation.
    registry
        The directory that `tierwise enrol` made. None for no keys: then nothing is signed or sealed, which a broker
        that is not on this machine calls for ``settings.insecure``.
    spool_dir
        Where large updates are put, with room for one of each device; `SqliteStore.incoming` saves a copy of each.
        None for the system's temporary files.

    Raises
    ------
    ConfigurationError
        If there is no registry there, it is of another federation or prefix, or it is needed.
    """
    if registry is None and not settings.insecure and not settings.local:
        raise ConfigurationError(
            f"without it no message is signed, and whoever reaches {settings.url} can be any device: `tierwise enrol` "
            "makes a registry; or set `insecure` if you mean it",
            key="registry",
        )
    opened = None if registry is None else Registry.open(registry)
    if opened is not None:
        for key, ours, theirs in (
            ("federation", settings.federation, opened.topics.federation),
            ("prefix", settings.prefix, opened.topics.prefix),
        ):
            if ours != theirs:
                raise ConfigurationError(
                    f"is {ours!r}, and the devices of the registry {registry} were enrolled with {theirs!r}", key=key
                )
    trust, transport = coordinator_end(settings, opened, spool_dir)
    async with trust.remembered():
        yield transport


def coordinator_end(
    settings: MqttSettings, registry: Registry | None, spool_dir: Path | None
) -> tuple[Trust, MqttCoordinator]:
    """Make a coordinator's transport, and the trust that it rests on; that of a registry counts a start.

    Raises
    ------
    ConfigurationError
        If the registry's files are damaged or cannot be written.
    """
    if registry is None:
        trust, sealing_key = Trust.none(COORDINATOR, settings.federation), None
    else:
        identity = registry.coordinator()
        state = registry.directory / COORDINATOR
        trust = Trust.in_keys(COORDINATOR, settings.federation, identity.signing, registry, state)
        sealing_key = identity.sealing
    return trust, MqttCoordinator(settings, trust.signer, trust.verifier, spool_dir, sealing_key=sealing_key)
