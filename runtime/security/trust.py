"""How one side signs, and whom it believes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
