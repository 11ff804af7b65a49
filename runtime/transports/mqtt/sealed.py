"""Envelopes that only the coordinator can read, whatever broker carries them."""

from collections.abc import Iterator
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tierwise.core.ids import DeviceId
from tierwise.runtime.pages import let_go
from tierwise.runtime.security.sealing import SealContext, seal_to, unseal_segments

_BEGINNING: Final = b"tws\x01"
"""Of sealed data; an envelope's third byte is its protocol version, and never this one."""


def is_sealed(data: bytes | memoryview) -> bool:
    """Tell sealed envelopes from others."""
    beginning = bytes(data[: len(_BEGINNING)])
    let_go(data)  # for a byte of a file, the system may have brought 2 MB
    return beginning == _BEGINNING


def sealed_by(device: DeviceId, federation: str, key: X25519PublicKey, envelope: bytes) -> bytes:
    """Return an envelope that a device seals to the coordinator."""
    return seal_to(key, envelope, _context(device, federation))


def unsealed_from(
    device: DeviceId, federation: str, key: X25519PrivateKey, sealed: bytes | memoryview
) -> Iterator[bytes]:
    """Yield the pieces of an envelope that a device has sealed.

    Raises
    ------
    SealBrokenError
        If it does not open.
    """
    for piece in unseal_segments(key, sealed, _context(device, federation)):
        yield piece
        let_go(sealed)


def _context(device: DeviceId, federation: str) -> SealContext:
    # What cohort it is for stands in the envelope, which was not opened yet; the signature binds the outline to the
    # device and the moment.
    return SealContext(federation=federation, cohort="", device=device)
