"""The coordinator's directory of devices.

::

    DIR/registry.json         the federation's name and the prefix of its topics
    DIR/coordinator.key.json  the coordinator's identity: private, worth a backup
    DIR/coordinator.boot.json, coordinator.orders.json
                              how often it has started, and what it has heard last (`ordering`)
    DIR/devices/NAME.json     a device's public key, since when it is enrolled, and since when revoked

All of it is JSON that people can read. Every file is written beside its name and then moved there, and who changes
something holds a lock, so any number of programs can enrol and revoke while a coordinator runs on the same directory.
The coordinator looks at a device's file with each message from it (one `stat`, some microseconds on a local disk) and
reads it again when it has changed: a device that is revoked is not heard from its next message on.

A revoked device's file stays, so that the logs can tell it from a stranger. It can be enrolled again, which gives it
a new key.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from tierwise.core.errors import ConfigurationError, nearest
from tierwise.core.ids import DeviceId, is_device_id
from tierwise.runtime.security import files
from tierwise.runtime.security.keys import COORDINATOR, Identity, KnownKey, PublicIdentity
from tierwise.runtime.security.ordering import next_boot
from tierwise.runtime.transports.mqtt.topics import PREFIX, Topics

_LOG: Final = logging.getLogger(__name__)

FEDERATION: Final = "federation"
"""The default name of a federation, as in a configuration file."""
_SETTINGS: Final = "registry.json"
_IDENTITY: Final = "coordinator.key.json"
_BOOT: Final = "coordinator.boot.json"
_ORDERS: Final = "coordinator.orders.json"
_DEVICES: Final = "devices"
_LOCK: Final = ".lock"
_RESTORE: Final = "restore it from a backup, or enrol the federation's devices anew in another directory"


class DeviceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an enrolled device.

    Attributes
    ----------
    device
        Its name.
    public
        Its public key.
    fingerprint
        Of that key, for people; a hand-edited key with the old fingerprint is not accepted.
    enrolled, revoked
        When; None for a device that is not revoked.
    """

    format: Literal["tierwise.device.1"]
    device: DeviceId
    public: PublicIdentity
    fingerprint: str
    enrolled: datetime
    revoked: datetime | None = None

    def __post_init__(self) -> None:
        if self.fingerprint != self.public.fingerprint:
            raise ValueError(f"its key has the fingerprint {self.public.fingerprint}, not {self.fingerprint}")


class _Settings(msgspec.Struct, frozen=True, kw_only=True):
    format: Literal["tierwise.registry.1"]
    federation: str
    prefix: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """A device's file as it was read last."""

    state: tuple[int, int, int]
    known: KnownKey | None


class Registry:
    """Knows the devices of one federation, and the coordinator's own keys. For use by one thread.

    Made by `open` or `make`. It is the coordinator's key book (`tierwise.runtime.security.keys.KeyBook`).
    """

    def __init__(self, directory: Path, topics: Topics) -> None:
        self.directory = directory
        self.topics = topics
        self._seen: dict[str, _Seen] = {}

    @classmethod
    def open(cls, directory: Path) -> "Registry":
        """Open a registry.

        Raises
        ------
        ConfigurationError
            If there is none, or it is damaged.
        """
        path = directory / _SETTINGS
        data = files.read(path, remedy="`tierwise enrol` makes a registry with its first device")
        settings = files.decode(path, data, _Settings, what="registry of tierwise", remedy=_RESTORE)
        return cls(directory, Topics(settings.prefix, settings.federation))

    @classmethod
    def make(cls, directory: Path, *, prefix: str | None = None, federation: str | None = None) -> "Registry":
        """Open a registry, or make one, with the coordinator's identity.

        Parameters
        ----------
        directory
            Created, for the owner alone, if it is not there.
        prefix, federation
            A registry keeps them for good. None stands for what it has; a new one then gets the defaults.

        Raises
        ------
        ConfigurationError
            If there is one of another federation or prefix, or the directory cannot be written.
        """
        topics = Topics(PREFIX if prefix is None else prefix, FEDERATION if federation is None else federation)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (directory / _DEVICES).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cannot be a registry: {error.strerror}", source=str(directory)) from error
        with files.locked(directory / _LOCK):
            if not (directory / _SETTINGS).exists():
                if not (directory / _IDENTITY).exists():  # as after a crash between these two files
                    Identity.make(sealing=True).save(directory / _IDENTITY)
                settings = _Settings(format="tierwise.registry.1", federation=topics.federation, prefix=topics.prefix)
                files.replace(directory / _SETTINGS, files.encode(settings))
        registry = cls.open(directory)
        has = registry.topics
        for what, wanted, there in (("federation", federation, has.federation), ("prefix", prefix, has.prefix)):
            if wanted not in (None, there):
                raise ConfigurationError(
                    f"is a registry with the {what} {there!r}, not {wanted!r}: use a directory for each",
                    source=str(directory),
                )
        return registry

    def coordinator(self) -> Identity:
        """Read the coordinator's identity.

        Raises
        ------
        ConfigurationError
            If its file is gone, damaged, or others can read it.
        """
        identity = Identity.load(self.directory / _IDENTITY)
        if identity.sealing is None:
            raise ConfigurationError(
                f"holds no key for sealing, as a coordinator's must: {_RESTORE}",
                source=str(self.directory / _IDENTITY),
            )
        return identity

    def next_boot(self) -> int:
        """Count a start of the coordinator; see `tierwise.runtime.security.ordering.next_boot`."""
        return next_boot(self.directory / _BOOT)

    @property
    def orders(self) -> Path:
        """Where the coordinator saves its `tierwise.runtime.security.ordering.ReplayGuard`."""
        return self.directory / _ORDERS

    # -- devices

    def enrol(self, device: DeviceId, public: PublicIdentity) -> DeviceRecord:
        """Register a device's key; of several at once for one name, one succeeds.

        Raises
        ------
        ConfigurationError
            If the name cannot be a device's, or is taken.
        """
        check_enrollable(device)
        with files.locked(self.directory / _LOCK):
            earlier = self._read(device) if self._path(device).exists() else None
            if earlier is not None and earlier.revoked is None:
                raise ConfigurationError(
                    f"the device {device!r} is enrolled already, since {earlier.enrolled:%Y-%m-%d}: to give it a new "
                    f"key, run `tierwise revoke {device} --registry {self.directory}` first",
                    source=str(self._path(device)),
                )
            record = DeviceRecord(
                format="tierwise.device.1",
                device=device,
                public=public,
                fingerprint=public.fingerprint,
                enrolled=_now(),
            )
            files.replace(self._path(device), files.encode(record))
        return record

    def revoke(self, device: DeviceId) -> DeviceRecord:
        """Declare a device's key void; one that is revoked already stays as it is.

        Raises
        ------
        ConfigurationError
            If no device of that name is enrolled.
        """
        with files.locked(self.directory / _LOCK):
            if not is_device_id(device) or not self._path(device).exists():
                names = self._names()
                raise ConfigurationError(
                    f"no device {device!r} is enrolled{nearest(device, names)}; {len(names)} devices are",
                    source=str(self.directory),
                )
            record = self._read(device)
            if record.revoked is None:
                record = msgspec.structs.replace(record, revoked=_now())
                files.replace(self._path(device), files.encode(record))
        return record

    def devices(self) -> tuple[DeviceRecord, ...]:
        """Return all devices, the revoked ones too, by name.

        Raises
        ------
        ConfigurationError
            If a device's file is damaged.
        """
        return tuple(self._read(name) for name in self._names())

    def lookup(self, sender: str) -> KnownKey | None:
        """Return a device's key as the directory has it now; None for a name that nobody has.

        A file that cannot be read counts as a stranger's, with a warning in the log: a typing error in it must neither
        let anybody in nor stop the coordinator.
        """
        if not is_device_id(sender):  # it comes from outside, and becomes a file's name
            return None
        name = DeviceId(sender)
        try:
            found = self._path(name).stat()
        except OSError:
            self._seen.pop(sender, None)
            return None
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        seen = self._seen.get(sender)
        if seen is None or seen.state != state:
            seen = self._seen[sender] = _Seen(state, self._known(name))
        return seen.known

    def _known(self, device: DeviceId) -> KnownKey | None:
        try:
            record = self._read(device)
        except ConfigurationError as error:
            _LOG.warning("the device %s is not heard: %s", device, error)
            return None
        return KnownKey.of(record.public, revoked=record.revoked is not None)

    def _read(self, device: DeviceId) -> DeviceRecord:
        path = self._path(device)
        remedy = "restore it, or delete it and enrol the device anew"
        record = files.decode(
            path, files.read(path, remedy=remedy), DeviceRecord, what="record of a device", remedy=remedy
        )
        if record.device != device:  # a copied file, or a file system that takes A for a
            raise ConfigurationError(f"is the record of {record.device!r}, not of {device!r}", source=str(path))
        return record

    def _names(self) -> list[DeviceId]:
        found = (path.name.removesuffix(".json") for path in (self.directory / _DEVICES).glob("*.json"))
        return sorted(DeviceId(name) for name in found if is_device_id(name))

    def _path(self, device: DeviceId) -> Path:
        return self.directory / _DEVICES / f"{device}.json"


def check_enrollable(device: str) -> None:
    """Make sure that a name can be a device's.

    Raises
    ------
    ConfigurationError
        If it cannot.
    """
    if not is_device_id(device):
        raise ConfigurationError(
            f"{device!r} cannot name a device: a name has 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit"
        )
    if device == COORDINATOR:
        raise ConfigurationError(f"the name {COORDINATOR!r} is the coordinator's own: choose another for the device")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
