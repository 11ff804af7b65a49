"""The one file that a device is given: who it is, whom it trusts, and where the broker is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec
from cryptography.x509 import load_pem_x509_certificates

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId
from tierwise.runtime.security import files
from tierwise.runtime.security.keys import Identity, IdentityFile, PublicIdentity
from tierwise.runtime.transports.mqtt.topics import Topics

SCHEMES: Final = ("mqtt", "mqtts")
"""Of a broker's URL; the second means TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a device needs to take part.

    Attributes
    ----------
    device
        Its name.
    identity
        Its key.
    topics
        Names the federation and the prefix.
    coordinator
        The coordinator's public keys, which it trusts from the first message on.
    broker
        ``mqtt://HOST[:PORT]``, or ``mqtts://`` for TLS.
    ca
        The certificates of who may have signed the broker's, as PEM; None for those that the system trusts.
    """

    device: DeviceId
    identity: Identity
    topics: Topics
    coordinator: PublicIdentity
    broker: str
    ca: str | None = None

    def save(self, path: Path) -> None:
        """Write it into a file of mode 0600, whole or not at all.

        Raises
        ------
        ConfigurationError
            If there is such a file already, or it cannot be written.
        """
        data = files.encode(
            _BundleFile(
                format="tierwise.bundle.1",
                device=self.device,
                federation=self.topics.federation,
                prefix=self.topics.prefix,
                broker=self.broker,
                identity=IdentityFile.of(self.identity),
                coordinator=self.coordinator,
                ca=self.ca,
            )
        )
        files.write_new(path, data, remedy="move it away, or name another file")

    @classmethod
    def load(cls, path: Path) -> "Bundle":
        """Read the file that `save` wrote.

        Raises
        ------
        ConfigurationError
            If it is not there, others can read it, or it holds no bundle.
        """
        remedy = "`tierwise enrol` on the coordinator's machine writes one"
        data = files.read_secret(path, remedy=remedy)
        read = files.decode(path, data, _BundleFile, what="bundle of tierwise", remedy=remedy)
        try:
            return cls(
                device=read.device,
                identity=read.identity.identity(),
                topics=Topics(read.prefix, read.federation),
                coordinator=read.coordinator,
                broker=check_broker(read.broker),
                ca=None if read.ca is None else check_ca(read.ca.encode()),
            )
        except ConfigurationError as error:
            raise ConfigurationError(str(error), source=str(path)) from error


class _BundleFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    format: Literal["tierwise.bundle.1"]
    device: DeviceId
    federation: str
    prefix: str
    broker: str
    identity: IdentityFile
    coordinator: PublicIdentity
    ca: str | None = None


def check_broker(url: str) -> str:
    """Return a broker's URL if it is one.

    Raises
    ------
    ConfigurationError
        If it is none, or has more in it than scheme, host and port. User and password are not part of it: a URL gets
        into logs and lists of processes.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{_shown(url)} is no broker's URL: {error}") from error
    if "@" in parts.netloc:
        raise ConfigurationError(f"user and password do not belong into the broker's URL {_shown(url)}: set them apart")
    rest = parts.path.rstrip("/") + parts.query + parts.fragment
    if parts.scheme not in SCHEMES or not parts.hostname or rest or port == 0:
        raise ConfigurationError(
            f"{url!r} is no broker's URL: it has the form mqtts://HOST[:PORT], or mqtt:// without TLS"
        )
    return url


def check_ca(pem: bytes) -> str:
    """Return certificates if they are some.

    Raises
    ------
    ConfigurationError
        If there is no certificate in PEM form in it, or a private key.
    """
    if b"PRIVATE KEY" in pem:
        raise ConfigurationError("holds a private key, which no device may have: give the CA's certificate alone")
    try:
        load_pem_x509_certificates(pem)
        return pem.decode("ascii")
    except ValueError as error:
        raise ConfigurationError(f"holds no certificate in PEM form: {error}") from error


def _shown(url: str) -> str:
    """Return a URL without what may be a password."""
    scheme, _, rest = url.partition("://")
    return repr(f"{scheme}://…@{rest.rpartition('@')[2]}" if "@" in rest else url)
