r"""Data that only the holder of one private key can read.

The sender agrees on a secret with the recipient's public key by a key pair that it makes for this one purpose and
throws away (X25519, RFC 7748), derives a key from it (HKDF-SHA256, RFC 5869), and encrypts with ChaCha20-Poly1305
(RFC 8439). So what was sealed stays closed even if the sender's own keys become known; it opens if the recipient's
does.

Large data is cut into segments of 1 MiB, each encrypted on its own, by the STREAM construction (Hoang, Reyhanitabar,
Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015): the nonce is
the segment's number and a flag that is 1 for the last one only. So a segment that is missing, twice, in another place
or behind the last one does not open, and neither side needs more memory than a segment's::

    0    4   b"tws\x01"
    4    32  the ephemeral public key
    36       segments, each 16 bytes longer than what is in it; all but the last hold 1 MiB

Sealed data is 36 bytes longer, and 16 more for each MiB begun; nothing sealed has 52 bytes. The context (federation,
cohort, device) is associated data of every segment: what is sealed for one cohort does not open as anything else.

Sealing says nothing about who sealed it: anybody can seal to a public key. That is what the signed message with the
hash of the sealed bytes is for. Two sealings of the same data differ, so who must repeat the same bytes has to keep
them.
"""

import io
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tierwise.core.errors import ConfigurationError, DeviceError

SEGMENT_BYTES: Final = 1024 * 1024
TAG_BYTES: Final = 16
PUBLIC_BYTES: Final = 32

_MAGIC: Final = b"tws\x01"
_HEAD_BYTES: Final = len(_MAGIC) + PUBLIC_BYTES
_SEALED_BYTES: Final = SEGMENT_BYTES + TAG_BYTES
_PURPOSE: Final = b"tierwise seal 1"
_ENCODER: Final = msgspec.msgpack.Encoder()


class SealBrokenError(DeviceError):
    """Sealed data that does not open: damaged, cut, sealed to another key or for another context.

    Which of these, nobody can tell, and nobody should be told.
    """

    def __init__(self, context: "SealContext") -> None:
        self.context = context
        super().__init__(
            f"what {context.device!r} sealed for cohort {context.cohort!r} of federation {context.federation!r} does "
            "not open: it was damaged, or sealed to another key or for something else; if this goes on, the device's "
            "bundle has another coordinator's key, and it must be enrolled anew"
        )


class SealContext(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What sealed data is for; both sides must name the same.

    It is encoded as a msgpack array, in which each text has its length in front: no two contexts look the same.
    """

    federation: str
    cohort: str
    device: str


def sealed_size(size: int) -> int:
    """Return how many bytes ``size`` bytes have when they are sealed."""
    return _HEAD_BYTES + size + TAG_BYTES * max(1, -(-size // SEGMENT_BYTES))


def seal_to(public: X25519PublicKey, data: bytes | memoryview, context: SealContext) -> bytes:
    """Seal data that fits into memory twice; see `seal_segments`."""
    return _joined(seal_segments(public, data, context))


def unseal(private: X25519PrivateKey, sealed: bytes | memoryview, context: SealContext) -> bytes:
    """Open sealed data that fits into memory twice; see `unseal_segments`."""
    return _joined(unseal_segments(private, sealed, context))


def _joined(pieces: Iterable[bytes]) -> bytes:
    """Join pieces as they come: ``b"".join`` would first have all of them, and take as much memory again."""
    whole = io.BytesIO()
    whole.writelines(pieces)
    return whole.getvalue()


def seal_segments(public: X25519PublicKey, data: bytes | memoryview, context: SealContext) -> Iterator[bytes]:
    """Seal data of any size; takes little more memory than a segment.

    Parameters
    ----------
    public
        The recipient's key.
    data
        For example a view of a memory-mapped file.
    context
        What it is for.

    Yields
    ------
    bytes
        Pieces of the sealed data, in order.

    Raises
    ------
    ConfigurationError
        If ``public`` is one of the few values that are nobody's key (RFC 7748, section 6.1).
    """
    view = memoryview(data).cast("B")
    ephemeral = X25519PrivateKey.generate()
    ephemeral_public = ephemeral.public_key().public_bytes_raw()
    try:
        secret = ephemeral.exchange(public)
    except ValueError as error:
        raise ConfigurationError("the public key to seal to is nobody's: enrol the device anew") from error
    cipher = _cipher(secret, ephemeral_public, public.public_bytes_raw())
    yield _MAGIC + ephemeral_public
    associated = _ENCODER.encode(context)
    count = max(1, -(-len(view) // SEGMENT_BYTES))
    for number in range(count):
        segment = view[number * SEGMENT_BYTES : (number + 1) * SEGMENT_BYTES]
        yield cipher.encrypt(_nonce(number, last=number == count - 1), segment, associated)


def unseal_segments(private: X25519PrivateKey, sealed: bytes | memoryview, context: SealContext) -> Iterator[bytes]:
    """Open sealed data of any size; takes little more memory than a segment.

    What it has yielded is authentic, but only when it ends without an error is it all: discard everything otherwise.

    Parameters
    ----------
    private
        The recipient's key.
    sealed
        For example a view of a memory-mapped file.
    context
        What it must be for.

    Yields
    ------
    bytes
        Segments of the data, in order.

    Raises
    ------
    SealBrokenError
        If anything at all is wrong with it.
    """
    view = memoryview(sealed).cast("B")
    body = view[_HEAD_BYTES:]
    count = max(1, -(-len(body) // _SEALED_BYTES))
    # An empty last segment stands for empty data only: otherwise, data would have two forms.
    if bytes(view[: len(_MAGIC)]) != _MAGIC or len(body) - (count - 1) * _SEALED_BYTES < TAG_BYTES + (count > 1):
        raise SealBrokenError(context)
    ephemeral_public = bytes(view[len(_MAGIC) : _HEAD_BYTES])
    try:
        secret = private.exchange(X25519PublicKey.from_public_bytes(ephemeral_public))
    except ValueError:  # the shared secret is zero, which everybody knows
        raise SealBrokenError(context) from None
    cipher = _cipher(secret, ephemeral_public, private.public_key().public_bytes_raw())
    associated = _ENCODER.encode(context)
    for number in range(count):
        segment = body[number * _SEALED_BYTES : (number + 1) * _SEALED_BYTES]
        try:
            opened = cipher.decrypt(_nonce(number, last=number == count - 1), segment, associated)
        except InvalidTag:
            raise SealBrokenError(context) from None
        yield opened


def _cipher(secret: bytes, ephemeral: bytes, recipient: bytes) -> ChaCha20Poly1305:
    """Derive the key for one sealing.

    Both public keys are the salt: X25519 alone gives the same secret for several encodings of one point, so they must
    be bound to the key (RFC 7748, section 7; RFC 9180, section 4.1, does the same).
    """
    derived = HKDF(algorithm=SHA256(), length=32, salt=ephemeral + recipient, info=_PURPOSE).derive(secret)
    return ChaCha20Poly1305(derived)


def _nonce(number: int, *, last: bool) -> bytes:
    """Return the nonce of a segment. It is unique, because a key seals once."""
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
