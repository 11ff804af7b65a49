"""What both programs need to speak to the other side: signatures, files of secrets, what is local."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tierwise.core.errors import ConfigurationError
from tierwise.runtime.exceptions import unwrapped
from tierwise.runtime.security import files
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

SAVED_EVERY_S: Final = 10.0
"""How often what was accepted is written down."""


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

    @asynccontextmanager
    async def remembered(self) -> AsyncIterator[None]:
        """Write down now and then, and at the end, which orders were accepted.

        So none is accepted once more after it, and after a kill none that is older than `SAVED_EVERY_S`.
        """
        if self.orders is None or not isinstance(self.verifier, Verifier):
            yield
            return
        guard, path = self.verifier.guard, self.orders
        try:
            with unwrapped():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_save_now_and_then, guard, path)
                    yield
                    tasks.cancel_scope.cancel()
        finally:
            guard.save(path)


async def _save_now_and_then(guard: ReplayGuard, path: Path) -> None:
    while True:
        await anyio.sleep(SAVED_EVERY_S)
        await anyio.to_thread.run_sync(files.replace, path, guard.encode())


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
