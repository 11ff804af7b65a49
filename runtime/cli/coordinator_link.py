"""The coordinator's end of the network, as its configuration says."""

from dataclasses import dataclass
from pathlib import Path

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import is_device_id
from tierwise.runtime.cli.links import bare, make_settings, read_password
from tierwise.runtime.config import RunConfig
from tierwise.runtime.links import coordinator_end
from tierwise.runtime.security.registry import Registry
from tierwise.runtime.security.trust import Trust
from tierwise.runtime.tables import located
from tierwise.runtime.transports.mqtt.coordinator import MqttCoordinator
from tierwise.runtime.transports.mqtt.settings import MqttSettings


@dataclass(frozen=True, slots=True)
class CoordinatorLink:
    """A transport that is not connected yet, and what it was made of."""

    settings: MqttSettings
    trust: Trust
    transport: MqttCoordinator


def coordinator_link(config: RunConfig, file: Path, spool_dir: Path | None) -> CoordinatorLink:
    """Make a coordinator's link.

    Parameters
    ----------
    config
        Its tables ``[mqtt]`` and ``[security]``, and the federation's name.
    file
        The configuration's, for messages; relative paths start at its folder.
    spool_dir
        Where large updates are put; None for the system's temporary files.

    Raises
    ------
    ConfigurationError
        If something cannot be; names the file and the key.
    """
    try:
        registry = None if config.security.registry is None else _registry(config, file.parent)
        settings = _settings(config, file.parent, registry)
    except ConfigurationError as error:
        raise located(error, str(file)) from error
    if registry is None and not config.security.insecure and not settings.local:
        raise ConfigurationError(
            f"without it no message is signed, and whoever reaches {settings.url} can be any device: `tierwise "
            "enrol` makes a registry; or set `insecure` if you mean it",
            key="security.registry",
            source=str(file),
        )
    trust, transport = coordinator_end(settings, registry, spool_dir)
    return CoordinatorLink(settings, trust, transport)


def _registry(config: RunConfig, folder: Path) -> Registry:
    assert config.security.registry is not None
    try:
        registry = Registry.open(folder / config.security.registry)
    except ConfigurationError as error:
        raise ConfigurationError(str(error), key="security.registry") from error
    topics = registry.topics
    for key, ours, theirs in (
        ("federation.name", config.federation.name, topics.federation),
        ("mqtt.prefix", config.mqtt.prefix or topics.prefix, topics.prefix),
    ):
        if ours != theirs:
            raise ConfigurationError(
                f"is {ours!r}, and the devices of the registry {registry.directory} were enrolled with {theirs!r}: set "
                "it to that, or use another registry",
                key=key,
            )
    return registry


def _settings(config: RunConfig, folder: Path, registry: Registry | None) -> MqttSettings:
    mqtt, federation = config.mqtt, config.federation.name
    if not is_device_id(federation):
        raise ConfigurationError(
            f"is {federation!r}, and over a broker it is a part of topics: 1 to 64 of A-Z a-z 0-9 . _ - are allowed, "
            "the first a letter or digit",
            key="federation.name",
        )
    paths = {"ca_file": mqtt.ca_file, "cert_file": mqtt.cert_file, "key_file": mqtt.key_file}
    try:
        return make_settings(
            {
                "broker": mqtt.broker,
                "federation": federation,
                "insecure": config.security.insecure,
                "username": mqtt.username,
                "password": None if mqtt.password_file is None else read_password(folder / mqtt.password_file),
                "prefix": mqtt.prefix or (registry.topics.prefix if registry else None),
                "chunk_bytes": mqtt.chunk_bytes,
                "protocol": mqtt.protocol,
                "keepalive_s": mqtt.keepalive_s,
                **{key: None if path is None else str(folder / path) for key, path in paths.items()},
            }
        )
    except ConfigurationError as error:
        raise ConfigurationError(bare(error), key=f"mqtt.{error.key}".rstrip(".")) from error
