"""What both programs need to speak to the other side: signatures, files of secrets, what is local."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tierwise.core.errors import ConfigurationError
from tierwise.runtime.security.keys import KeyBook
from tierwise.runtime.security.ordering import ReplayGuard, next_boot
from tierwise.runtime.security.signing import (
    FrameSigner,
    FrameVerifier,
    Signer,
    UnsignedSigner,
    UnsignedVerifier,
    Verifier,
)
from tierwise.runtime.transports.mqtt.settings import MqttSettings


@dataclass(frozen=True, slots=True)
class Trust:
    """How frames are signed and judged.

    Attributes
    ----------
    signer, verifier
        Of this side.
    signed
        Whether there are keys; without, whoever reaches the broker can be anybody.
    """

    signer: FrameSigner
    verifier: FrameVerifier
    signed: bool
    orders: Path | None = None

    @classmethod
    def none(cls, sender: str, federation: str) -> "Trust":
        """Trust everybody."""
        return cls(UnsignedSigner(sender, federation), UnsignedVerifier(federation), signed=False)

    @classmethod
    def in_keys(cls, sender: str, federation: str, key: Ed25519PrivateKey, keys: KeyBook, state: Path) -> "Trust":
        """Trust those in a key book.

        Parameters
        ----------
        sender, federation, key
            Who signs.
        keys
            Who is heard.
        state
            Begins the names of the files in which starts are counted and orders are remembered; they belong to the
            key, and no two programs share them.

        Raises
        ------
        ConfigurationError
            If these files are damaged or cannot be written.
        """
        boot = next_boot(state.with_name(f"{state.name}.boot.json"))
        orders = state.with_name(f"{state.name}.orders.json")
        guard = ReplayGuard.load(orders)
        return cls(Signer(sender, federation, key, boot), Verifier(federation, keys, guard), signed=True, orders=orders)

    @contextmanager
    def remembered(self) -> Iterator[None]:
        """Write down at the end which orders were accepted, so that none is accepted once more after it."""
        try:
            yield
        finally:
            if self.orders is not None and isinstance(self.verifier, Verifier):
                self.verifier.guard.save(self.orders)


def make_settings(given: Mapping[str, object]) -> MqttSettings:
    """Make settings of what is given; None stands for the default.

    Raises
    ------
    ConfigurationError
        If a value cannot be; its key is the setting's.
    """
    return MqttSettings(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]


def bare(error: ConfigurationError) -> str:
    """Return an error's text without its key, to be told under another name."""
    return str(error).removeprefix(f"{error.key}: ")


def is_local(settings: MqttSettings) -> bool:
    """Tell whether the broker is reached through loopback, where only this machine's own users are."""
    try:
        return ip_address(settings.host).is_loopback
    except ValueError:
        return settings.host == "localhost" or settings.host.endswith(".localhost")


def read_password(path: Path) -> str:
    """Return the first line of a file.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text in UTF-8"
        raise ConfigurationError(f"the password file {path} cannot be read: {reason}") from error
    if not lines or not lines[0]:
        raise ConfigurationError(f"the first line of the password file {path} is empty")
    return lines[0]
