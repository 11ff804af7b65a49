"""Identities: the key pairs of a device or the coordinator.

Signing is Ed25519 (RFC 8032), sealing is X25519 (RFC 7748). The two are separate pairs: a key that does two things
can be attacked through either. The coordinator has both; a device, to which nothing is sealed, has the first only.

A file of an identity is JSON with the raw 32-byte private keys in base64, readable by its owner alone. Public keys are
not in it, since they follow from the private ones and could only contradict them.
"""

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tierwise.runtime.security import files

KEY_BYTES: Final = 32
COORDINATOR: Final = "coordinator"
"""The coordinator's name as a sender, and its user name at a broker; no device can be enrolled under it."""

RawKey = Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class PublicIdentity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The public half of an identity, which is no secret.

    Attributes
    ----------
    signing
        The Ed25519 public key, as RFC 8032 encodes it.
    sealing
        The X25519 public key, as RFC 7748 encodes it; None for who is sent nothing sealed.
    """

    signing: RawKey
    sealing: RawKey | None = None

    @property
    def fingerprint(self) -> str:
        """A short name for comparing by eye: ``SHA256:`` and base64 of the hash over both keys."""
        digest = hashlib.sha256(b"tierwise identity 1\0" + self.signing + (self.sealing or b"")).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    def verifying_key(self) -> Ed25519PublicKey:
        """Return the key that checks signatures."""
        return Ed25519PublicKey.from_public_bytes(self.signing)

    def sealing_key(self) -> X25519PublicKey | None:
        """Return the key that data is sealed to."""
        return None if self.sealing is None else X25519PublicKey.from_public_bytes(self.sealing)


class Identity:
    """The key pairs of a device or the coordinator. What prints it does not print them.

    Parameters
    ----------
    signing
        For signing.
    sealing
        For unsealing; None for a device.
    """

    def __init__(self, signing: Ed25519PrivateKey, sealing: X25519PrivateKey | None = None) -> None:
        self.signing = signing
        self.sealing = sealing

    @classmethod
    def make(cls, *, sealing: bool = False) -> "Identity":
        """Make new keys from the system's random numbers.

        Parameters
        ----------
        sealing
            Whether things are to be sealed to it: true for the coordinator.
        """
        return cls(Ed25519PrivateKey.generate(), X25519PrivateKey.generate() if sealing else None)

    @cached_property
    def public(self) -> PublicIdentity:
        """The public half."""
        return PublicIdentity(
            signing=self.signing.public_key().public_bytes_raw(),
            sealing=None if self.sealing is None else self.sealing.public_key().public_bytes_raw(),
        )

    @property
    def fingerprint(self) -> str:
        """See `PublicIdentity`."""
        return self.public.fingerprint

    def __repr__(self) -> str:
        return f"<Identity {self.fingerprint}>"

    def save(self, path: Path) -> None:
        """Write the private keys into a file of mode 0600, whole or not at all.

        Raises
        ------
        ConfigurationError
            If there is such a file already, or it cannot be written.
        """
        data = files.encode(IdentityFile.of(self))
        files.write_new(path, data, remedy="a lost key cannot be made again; move the file away if it is not needed")

    @classmethod
    def load(cls, path: Path) -> "Identity":
        """Read the file that `save` wrote.

        Raises
        ------
        ConfigurationError
            If it is not there, others can read it, or it holds no identity.
        """
        remedy = "restore it from a backup, or make a new one and enrol whoever trusted the old one anew"
        data = files.read_secret(path, remedy=remedy)
        return files.decode(path, data, IdentityFile, what="identity of tierwise", remedy=remedy).identity()


class IdentityFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An identity as it is on disk."""

    format: Literal["tierwise.identity.1"]
    signing: RawKey
    sealing: RawKey | None = None

    def __repr__(self) -> str:  # a Struct prints its fields, and these must not get into a log
        return "<IdentityFile>"

    @classmethod
    def of(cls, identity: Identity) -> "IdentityFile":
        """Take an identity's private keys."""
        return cls(
            format="tierwise.identity.1",
            signing=identity.signing.private_bytes_raw(),
            sealing=None if identity.sealing is None else identity.sealing.private_bytes_raw(),
        )

    def identity(self) -> Identity:
        """Return the identity."""
        return Identity(
            Ed25519PrivateKey.from_private_bytes(self.signing),
            None if self.sealing is None else X25519PrivateKey.from_private_bytes(self.sealing),
        )


# -- whose key is whose


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A sender's key; one that is revoked is known only for telling why its owner is not heard."""

    key: Ed25519PublicKey
    raw: bytes
    revoked: bool = False

    @classmethod
    def of(cls, public: PublicIdentity, *, revoked: bool = False) -> "KnownKey":
        """Take the signing key of an identity."""
        return cls(public.verifying_key(), public.signing, revoked)


class KeyBook(Protocol):
    """Knows whose key is whose."""

    def lookup(self, sender: str) -> KnownKey | None:
        """Return a sender's key, or None if nobody has that name. ``sender`` is whatever a frame claims."""
        ...


class CoordinatorKey:
    """A device's key book: it hears the coordinator and nobody else.

    Parameters
    ----------
    public
        The coordinator's, as the device's bundle has it.
    """

    def __init__(self, public: PublicIdentity) -> None:
        self._known = KnownKey.of(public)

    def lookup(self, sender: str) -> KnownKey | None:
        """Return the coordinator's key."""
        return self._known if sender == COORDINATOR else None
