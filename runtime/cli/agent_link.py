"""A device's end of the network, from its bundle or from what the command line says."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId, is_device_id
from tierwise.runtime.cli.links import bare, make_settings, read_password
from tierwise.runtime.security.keys import CoordinatorKey
from tierwise.runtime.security.trust import Trust
from tierwise.runtime.transports.mqtt.agent import MqttAgent
from tierwise.runtime.transports.mqtt.settings import MqttSettings

if TYPE_CHECKING:
    from tierwise.runtime.security.bundle import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """What the command line says about the network; None for what it does not say."""

    broker: str | None = None
    device: str | None = None
    federation: str | None = None
    prefix: str | None = None
    bundle: Path | None = None
    state: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    protocol: str | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class AgentLink:
    """A transport that is not connected yet, and what it was made of."""

    device: DeviceId
    settings: MqttSettings
    trust: Trust
    transport: MqttAgent


def agent_link(options: AgentOptions) -> AgentLink:
    """Make a device's link.

    Raises
    ------
    ConfigurationError
        If something cannot be, or is missing; names the option.
    """
    bundle = None if options.bundle is None else _bundle(options, options.bundle)
    device = _device(options.device if bundle is None else bundle.device)
    settings = _settings(options, bundle, device)
    if bundle is None:
        if not options.insecure and not settings.local:
            raise ConfigurationError(
                f"without it nothing is signed, and whoever reaches {settings.url} can be the coordinator: `tierwise "
                "enrol` on the coordinator's machine makes a bundle; or say --insecure if you mean it",
                key="--bundle",
            )
        trust = Trust.none(device, settings.federation)
        return AgentLink(device, settings, trust, MqttAgent(settings, device, trust.signer, trust.verifier))
    assert options.bundle is not None
    state = (options.state or options.bundle.parent) / f"{options.bundle.name}.{settings.federation}.{device}"
    trust = Trust.in_keys(
        device, settings.federation, bundle.identity.signing, CoordinatorKey(bundle.coordinator), state
    )
    transport = MqttAgent(settings, device, trust.signer, trust.verifier, bundle.coordinator.sealing_key())
    return AgentLink(device, settings, trust, transport)


def host_id(host: str | None = None) -> str:
    """Return this host's name as a device's: what cannot be in one becomes a ``-``."""
    name = socket.gethostname() if host is None else host
    plain = "".join(char if is_device_id(f"x{char}") else "-" for char in name).lstrip("._-")[:64]
    return plain or "device"


def _device(given: str | None) -> DeviceId:
    device = host_id() if given is None else given
    if not is_device_id(device):
        raise ConfigurationError(
            f"{device!r} cannot name a device: 1 to 64 of A-Z a-z 0-9 . _ - are allowed, the first a letter or digit",
            key="--id",
        )
    return DeviceId(device)


def _bundle(options: AgentOptions, path: Path) -> "Bundle":
    from tierwise.runtime.security.bundle import Bundle  # what reads certificates takes its time

    bundle = Bundle.load(path)
    for option, said, known in (
        ("--id", options.device, bundle.device),
        ("--federation", options.federation, bundle.topics.federation),
        ("--prefix", options.prefix, bundle.topics.prefix),
    ):
        if said not in (None, known):
            raise ConfigurationError(f"is {said!r}, and the bundle {path} is for {known!r}: leave it out", key=option)
    return bundle


def _settings(options: AgentOptions, bundle: "Bundle | None", device: DeviceId) -> MqttSettings:
    broker = options.broker or (bundle.broker if bundle else None)
    if broker is None:
        raise ConfigurationError(
            "say where the broker is: --broker mqtts://HOST[:PORT], or a --bundle that knows it", key="--broker"
        )
    password = None if options.password_file is None else read_password(options.password_file)
    username = options.username
    if username is None and password is not None:
        username = device  # as whom the access list of `tierwise acl` knows it
    try:
        return make_settings(
            {
                "broker": broker,
                "federation": bundle.topics.federation if bundle else options.federation,
                "prefix": bundle.topics.prefix if bundle else options.prefix,
                "username": username,
                "password": password,
                "ca": bundle.ca if bundle and options.ca_file is None and broker.startswith("mqtts:") else None,
                "ca_file": _text(options.ca_file),
                "cert_file": _text(options.cert_file),
                "key_file": _text(options.key_file),
                "protocol": options.protocol,
                "insecure": options.insecure,
            }
        )
    except ConfigurationError as error:
        names = {"ca_file": "--ca", "cert_file": "--cert", "key_file": "--key"}
        key = names.get(error.key, f"--{error.key}" if error.key else "")
        raise ConfigurationError(bare(error).replace("set `insecure`", "say --insecure"), key=key) from error


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
