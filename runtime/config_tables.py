"""The tables of a configuration file that are not a plugin's, with the bounds that a message can tell."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tierwise.core.grouping import MINIMUM

CATALOGUE: Final = "catalogue"
"""The hardware of a fleet that is drawn from the packaged catalogue of real devices."""
FOREVER_S: Final = 1e9
"""Seconds; thirty years: more would be a slip of the keyboard."""

_Seconds = Annotated[float, Meta(gt=0, le=FOREVER_S)]
_DeviceCount = Annotated[int, Meta(ge=MINIMUM)]
_Count = Annotated[int, Meta(ge=1)]
_Text = Annotated[str, Meta(min_length=1)]


class FederationTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[federation]``.

    Attributes
    ----------
    name
        For people.
    seed
        All seeds of the run are derived from it.
    """

    name: str = "federation"
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class FleetTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[fleet]``.

    Attributes
    ----------
    devices
        How many to draw from the catalogue; None with a table of devices, which has as many as it has.
    hardware
        ``catalogue``, or the path of a CSV file, from the configuration's own folder: see
        `tierwise.runtime.fleet.draw.read_fleet`.
    """

    devices: _DeviceCount | None = None
    hardware: str = CATALOGUE

    @property
    def drawn(self) -> int:
        """How many devices are drawn from the catalogue."""
        return 60 if self.devices is None else self.devices


class EnrolmentTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[enrolment]``, as `EnrolmentSettings`; without either key, all devices are waited for."""

    min_devices: _DeviceCount | None = None
    window_s: _Seconds | None = None


class RoundsTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[rounds]``: `RoundSettings`, with the bounds that a message can tell."""

    deadline_s: _Seconds = 600.0
    epochs: _Count = 1
    max_samples: _Count = 1000
    traffic_bytes: _Count | None = None
    energy_j: Annotated[float, Meta(gt=0)] | None = None
    grace_s: _Seconds = 60.0
    evaluation_deadline_s: _Seconds | None = None


class UpdatesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[updates]``: `UpdateSettings`, with the bounds that a message can tell."""

    max_norm: Annotated[float, Meta(gt=0)] | None = None
    max_samples: _Count | None = None
    quarantine_after: _Count = 3


class MqttTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[mqtt]``: `tierwise.runtime.transports.mqtt.settings.MqttSettings`, of which a person sets these.

    Attributes
    ----------
    broker
        ``mqtts://HOST[:PORT]``, or ``mqtt://`` without TLS. No user and no password: the file is shown and kept.
    prefix
        What topics begin with; None for the registry's, or the default.
    username
        For the broker.
    password_file
        Whose first line is the password. Paths of files start at the configuration's own folder.
    ca_file, cert_file, key_file, protocol, chunk_bytes, keepalive_s
        As in the settings; None for their defaults.
    """

    broker: _Text = "mqtt://127.0.0.1"
    prefix: _Text | None = None
    username: _Text | None = None
    password_file: _Text | None = None
    ca_file: _Text | None = None
    cert_file: _Text | None = None
    key_file: _Text | None = None
    protocol: Literal["3.1.1", "5"] | None = None
    chunk_bytes: Annotated[int, Meta(ge=1024)] | None = None
    keepalive_s: Annotated[int, Meta(ge=1, le=65535)] | None = None


class StoreTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[store]``.

    Attributes
    ----------
    path
        The SQLite file, from the configuration's folder; None for memory, where nothing survives the program.
    """

    path: _Text | None = None


class SecurityTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[security]``.

    Attributes
    ----------
    registry
        The directory of enrolled devices, from the configuration's folder; None for messages without signatures.
    insecure
        Allows what is not protected: messages that nobody signed from anywhere but this machine, and a connection
        without TLS to anything but loopback.
    """

    registry: _Text | None = None
    insecure: bool = False
