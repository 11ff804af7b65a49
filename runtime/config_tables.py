"""The tables of a configuration file that are not a plugin's, with the bounds that a message can tell."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tierwise.core.grouping import MINIMUM
from tierwise.core.task import Task

CATALOGUE: Final = "catalogue"
"""The hardware of a fleet that is drawn from the packaged catalogue of real devices."""
FOREVER_S: Final = 1e9
"""Seconds; thirty years: more would be a slip of the keyboard."""

_Seconds = Annotated[float, Meta(gt=0, le=FOREVER_S)]
_DeviceCount = Annotated[int, Meta(ge=MINIMUM)]
_Count = Annotated[int, Meta(ge=1)]
_Text = Annotated[str, Meta(min_length=1)]


class FederationTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the run is called, and the seed that all others are derived from.

    Attributes
    ----------
    name
        For people; over a broker it is a part of the topics, and then of ``A-Z a-z 0-9 . _ -``.
    seed
        All seeds of the run are derived from it.
    """

    name: str = "federation"
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class PluginsTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Plugins of your own that are in no package. Whoever reads the configuration runs these files.

    Attributes
    ----------
    modules
        Python files, from the configuration's folder, each with a hook that announces its plugins. Name none that you
        would not run as a program. An agent takes them as ``--plugins``.
    """

    modules: tuple[_Text, ...] = ()


class TaskTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the coordinator wants of the data source's task.

    Attributes
    ----------
    metrics
        What devices report on their hold-out; none for the usual ones: of classes ``accuracy`` and ``log_loss``, and
        there is ``auc``; of numbers ``rmse`` and ``mae``. Tables with little place show the first one.
    standardise
        Whether models bring features to a mean of 0 and a variance of 1 first. Each group finds both together, in an
        opening round in which devices tell sums and sums of squares of their features, and its model carries them.
    """

    metrics: tuple[_Text, ...] = ()
    standardise: bool = False

    def applied(self, task: Task) -> Task:
        """Return a data source's task with what this table says."""
        metrics = self.metrics or task.metrics
        return msgspec.structs.replace(task, metrics=metrics, standardise=self.standardise or task.standardise)


class FleetTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who takes part in a simulation; a coordinator has no use for it, since its devices are those that come.

    Attributes
    ----------
    devices
        How many to draw from the catalogue, 60 for None; left out where ``hardware`` is a file, which has as many as it
        has, and where the data know whose they are: then each device gets its own, and its row by its name.
    hardware
        ``"catalogue"``, 31 real device models, or the path of a CSV file with a row for each device of your own,
        from the configuration's folder.
    """

    devices: _DeviceCount | None = None
    hardware: str = CATALOGUE

    @property
    def drawn(self) -> int:
        """How many devices are drawn from the catalogue."""
        return 60 if self.devices is None else self.devices


class EnrolmentTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When groups are formed. With neither key a simulation waits for all its devices, and a coordinator 60 s.

    Attributes
    ----------
    min_devices
        As soon as so many devices have reported their hardware; None leaves it to the window.
    window_s
        After so many seconds from the federation's opening, if that is sooner; None leaves it to the number.
    """

    min_devices: _DeviceCount | None = None
    window_s: _Seconds | None = None


class RoundsTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a round is.

    The keys are those of `RoundSettings`, which explains them, with the bounds that a message can tell.
    """

    deadline_s: _Seconds = 600.0
    epochs: _Count = 1
    max_samples: _Count = 1000
    traffic_bytes: _Count | None = None
    energy_j: Annotated[float, Meta(gt=0)] | None = None
    grace_s: _Seconds = 60.0
    evaluation_deadline_s: _Seconds | None = None
    abandoned_limit: _Count = 3
    downward: bool = False


class UpdatesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device may send.

    The keys are those of `UpdateSettings`, which explains them, with the bounds that a message can tell.
    """

    max_norm: Annotated[float, Meta(gt=0)] | None = None
    max_samples: _Count | None = None
    quarantine_after: _Count = 3


class MqttTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a coordinator finds its broker; a simulation has no use for it.

    Those keys of `tierwise.runtime.transports.mqtt.settings.MqttSettings` that a person sets; it explains the rest.

    Attributes
    ----------
    broker
        ``mqtts://HOST[:PORT]``, or ``mqtt://`` without TLS. No user and no password: the file is shown and kept.
    prefix
        What topics begin with; None for the registry's, or ``"tierwise"``.
    username
        For the broker; with the access list of ``tierwise acl`` it is ``"coordinator"``.
    password_file
        Whose first line is the password.
    ca_file
        PEM certificates of who may have signed the broker's; None for those that the system trusts.
    cert_file, key_file
        The coordinator's certificate and its key, where the broker asks for one.
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
    """Where a coordinator keeps what must survive it; a simulation has no use for it.

    Attributes
    ----------
    path
        The SQLite file, from the configuration's folder; None for memory, where nothing survives the program.
    """

    path: _Text | None = None


class SecurityTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a coordinator hears; a simulation has no use for it.

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
