"""Where the broker is, and how it is talked to."""

import ssl
from functools import cached_property
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from tierwise.core.errors import ConfigurationError
from tierwise.core.transfer import DEFAULT_CHUNK_BYTES
from tierwise.core.transfer.outline import CHUNK_LIMIT
from tierwise.runtime.transports.mqtt.topics import PREFIX, Topics

PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
"""The usual ports, by the URL's scheme."""
KEEPALIVE_LIMIT_S: Final = 65535
CHUNK_FLOOR: Final = 1024


class MqttSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """How one end of a federation reaches its broker.

    Attributes
    ----------
    broker
        ``mqtts://HOST[:PORT]`` for TLS, or ``mqtt://HOST[:PORT]``; ``USER:PASSWORD@`` may stand before the host, with
        special characters as ``%XX``.
    username, password
        Instead of those in the URL.
    federation, prefix
        Where its topics begin: ``PREFIX/FEDERATION/``.
    chunk_bytes
        Of data in a message: what the broker takes, less about 1 kB. The coordinator must allow what devices use.
    protocol
        The version of MQTT.
    keepalive_s
        Whole seconds of silence after which broker and client look whether the other is there; a dead connection is
        noticed within twice that.
    ca_file, ca
        The certificates that the broker's must be signed by, as a file or its PEM text; without both, those that the
        system trusts.
    cert_file, key_file
        The client's certificate and key, where the broker asks for one.
    insecure
        Allows a connection without TLS to anything but loopback. It never turns off a check of TLS.
    patience_s
        How long the first connection may take. Later ones are tried for ever.
    reconnect_s, reconnect_limit_s
        The wait before connecting again, at first and at the most; jittered.
    session_s
        How long the broker shall keep what is for a client that is away (MQTT 5; with 3.1.1 the broker decides).
    farewell_s
        How long a coordinator that has ended still answers devices that lack pieces of a large model, after it last
        heard from one.

    Raises
    ------
    ConfigurationError
        If a value cannot be; it never shows the password.
    """

    broker: str
    username: str | None = None
    password: str | None = None
    federation: str = "federation"
    prefix: str = PREFIX
    chunk_bytes: int = DEFAULT_CHUNK_BYTES
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    keepalive_s: int = 30
    ca_file: str | None = None
    ca: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    insecure: bool = False
    patience_s: float = 30.0
    reconnect_s: float = 0.5
    reconnect_limit_s: float = 30.0
    session_s: int = 86_400
    farewell_s: float = 5.0

    def __post_init__(self) -> None:
        parts = self._split()
        _ = self.topics  # checks the names
        if parts.password is not None and self.password is not None:
            raise ConfigurationError("is set, and the broker's URL has one, too: leave one of them out", key="password")
        if self.secret is not None and self.user is None:
            raise ConfigurationError("is set without `username`", key="password")
        if self.protocol not in ("3.1.1", "5"):
            raise ConfigurationError(f"{self.protocol!r} is no version of MQTT: '3.1.1' or '5'", key="protocol")
        self._check_numbers()
        self._check_tls()

    def __repr__(self) -> str:  # a Struct shows its fields, and the password must not get into a log
        user = "" if self.user is None else f", username={self.user!r}"
        return f"MqttSettings(broker={self.url!r}{user}, federation={self.federation!r}, prefix={self.prefix!r})"

    __str__ = __repr__

    # -- what follows

    @cached_property
    def topics(self) -> Topics:
        """The federation's topics."""
        return Topics(self.prefix, self.federation)

    @property
    def url(self) -> str:
        """The broker's URL without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._split().scheme}://{host}:{self.port}"

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self._split().scheme == "mqtts"

    @property
    def host(self) -> str:
        """The broker's name or address."""
        return self._split().hostname or ""

    @property
    def port(self) -> int:
        """The broker's port."""
        parts = self._split()
        return parts.port or PORTS[parts.scheme]

    @property
    def local(self) -> bool:
        """Whether the broker is reached through loopback, where only this machine's own users are."""
        return _is_loopback(self.host)

    @property
    def user(self) -> str | None:
        """The user's name, wherever it was given."""
        return self.username if self.username is not None else _unquoted(self._split().username)

    @property
    def secret(self) -> str | None:
        """The password, wherever it was given."""
        return self.password if self.password is not None else _unquoted(self._split().password)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what TLS needs, or None without TLS. Reads files.

        Raises
        ------
        ConfigurationError
            If a file cannot be read or holds no certificate or key.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file, cadata=self.ca)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{self.ca_file or 'the text'!r} holds no certificates in PEM form: {error}",
                key="ca_file" if self.ca_file else "ca",
            ) from error
        context.sslsocket_class = _ClosedOnFailure
        if self.cert_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file)
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"{self.cert_file!r} with {self.key_file!r} is no certificate with its key in PEM form: {error}",
                    key="cert_file",
                ) from error
        return context

    # -- checks

    def _split(self) -> SplitResult:
        shown = _without_secret(self.broker)
        try:
            parts = urlsplit(self.broker)
            port = parts.port
            (parts.hostname or "").encode("idna")
        except ValueError:
            raise ConfigurationError(
                f"{shown!r} is no broker's URL: its host or port is not one", key="broker"
            ) from None
        rest = parts.path.rstrip("/") + parts.query + parts.fragment
        if parts.scheme not in PORTS or not parts.hostname or rest or port == 0:
            raise ConfigurationError(
                f"{shown!r} is no broker's URL: it has the form mqtts://HOST[:PORT], or mqtt:// without TLS",
                key="broker",
            )
        return parts

    def _check_numbers(self) -> None:
        for key, low, high in (
            ("chunk_bytes", CHUNK_FLOOR, CHUNK_LIMIT),
            ("keepalive_s", 1, KEEPALIVE_LIMIT_S),
            ("patience_s", 0, None),
            ("reconnect_s", 0.01, None),
            ("reconnect_limit_s", self.reconnect_s, None),
            ("session_s", 0, 2**32 - 1),
            ("farewell_s", 0, None),
        ):
            value = getattr(self, key)
            if not value >= low or (high is not None and value > high):
                most = "" if high is None else f" and at most {high}"
                raise ConfigurationError(f"is {value}, must be at least {low}{most}", key=key)

    def _check_tls(self) -> None:
        if not self.tls and not self.insecure and not self.local:
            raise ConfigurationError(
                f"{self.url} is not on this machine, and without TLS everybody on the way can read and change what is "
                "said: use mqtts://, or set `insecure` if you mean it",
                key="broker",
            )
        if not self.tls:
            for key in ("ca_file", "ca", "cert_file"):
                if getattr(self, key) is not None:
                    raise ConfigurationError(f"is for TLS, and {self.url} is without: use mqtts://", key=key)
        if self.ca_file is not None and self.ca is not None:
            raise ConfigurationError("is set, and `ca` is, too: leave one of them out", key="ca_file")
        if self.key_file is not None and self.cert_file is None:
            raise ConfigurationError("is set without its certificate: set `cert_file`", key="key_file")


class _ClosedOnFailure(ssl.SSLSocket):
    """A socket that paho, which forgets it when the handshake fails, need not close."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _is_loopback(host: str) -> bool:
    """Tell whether a host is this machine. A name is not looked up: who answers may change."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _without_secret(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}…@{rest.rpartition('@')[2]}" if "@" in rest else url


def _unquoted(text: str | None) -> str | None:
    return None if text is None else unquote(text)
