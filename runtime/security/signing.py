"""Frames that only their sender can have made, for their recipient, and only once.

A `Signer` makes them, a `Verifier` judges them and counts what it drops, by `Rejection`. There is one signature for
each message, and for a model or an update one for its manifest: the pieces are checked against the hashes in that.

Frames on retained topics come again with each subscription, so that they came before says nothing: verify them with
``ordered=False``. A manifest is judged by its round. A presence counts if its order is above that of the last one; so
who connects makes the frame that says it is there first, and the last will, which he hands over before, second.

For trying things out on loopback, `UnsignedSigner` and `UnsignedVerifier` do the same without keys. The two kinds never
understand each other: a `Verifier` drops unsigned frames, or an attacker would leave the signature away; an
`UnsignedVerifier` drops signed ones, because whoever signs expects to be checked, and a device that is set up with a
bundle while its coordinator runs without a registry should learn of it at the first message.

Verifying is over public values (signature, message, key), so its time tells nothing that is secret; OpenSSL signs in
constant time.
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tierwise.core.errors import DeviceError
from tierwise.runtime.security.frames import (
    Frame,
    Header,
    MalformedFrameError,
    OtherVersionError,
    Scheme,
    assemble,
    split,
)
from tierwise.runtime.security.keys import COORDINATOR, KeyBook
from tierwise.runtime.security.ordering import Judgement, Order, ReplayGuard

TO_COORDINATOR: Final = COORDINATOR
"""The recipient of what devices say."""


def to_device(device: str) -> str:
    """Return the recipient for one device. The slash keeps it apart from groups and the coordinator."""
    return f"device/{device}"


def to_group(group: str) -> str:
    """Return the recipient for all devices of a group."""
    return f"group/{group}"


TO_EVERYONE: Final = "everyone"
"""The recipient of the coordinator's presence."""


class Rejection(Enum):
    """Why a frame is dropped; the value is the end of a sentence."""

    MALFORMED = "it is no frame, or was cut"
    VERSION = "it is of another version"
    SCHEME = "one side signs and the other does not"
    FEDERATION = "it belongs to another federation"
    RECIPIENT = "it was made for another recipient"
    KIND = "it was made for another kind of topic"
    SENDER = "its sender is not the one that the topic belongs to"
    UNKNOWN = "nobody of that name is enrolled"
    REVOKED = "its sender was revoked"
    FORGED = "the signature is not its sender's"
    REPLAYED = "it has come before"
    STALE = "it is older than what has come before"


class FrameRejectedError(DeviceError):
    """A frame that is dropped.

    Parameters
    ----------
    reason
        Why.
    sender
        Who it claims to be from; empty if that cannot be read.
    detail
        More about it.
    """

    def __init__(self, reason: Rejection, sender: str = "", detail: str = "") -> None:
        self.reason = reason
        self.sender = sender
        claimed = f" that says it is from {sender!r}" if sender else ""
        super().__init__(f"dropped a frame{claimed}: {reason.value}" + (f" ({detail})" if detail else ""))


@dataclass(frozen=True, slots=True)
class Opened:
    """What an accepted frame says. ``payload`` is a read-only view of the frame's bytes."""

    sender: str
    recipient: str
    kind: str
    order: Order
    payload: memoryview


class FrameSigner(Protocol):
    """Makes frames."""

    def sign(self, payload: bytes | memoryview, *, kind: str, recipient: str) -> bytes:
        """Return a frame, which is like no other.

        Parameters
        ----------
        payload
            What to say; copied twice.
        kind
            What it is: one for each kind of topic.
        recipient
            `TO_COORDINATOR`, `TO_EVERYONE`, `to_device` or `to_group`.
        """
        ...


class FrameVerifier(Protocol):
    """Judges frames."""

    rejected: Counter[Rejection]
    """How many frames were dropped, by reason."""

    def verify(
        self,
        frame: bytes | memoryview,
        *,
        kind: str,
        recipient: str,
        sender: str | None = None,
        ordered: bool = True,
    ) -> Opened:
        """Judge a frame.

        Parameters
        ----------
        frame
            What arrived.
        kind, recipient
            What the topic that it arrived on is for.
        sender
            Whom that topic belongs to; None if the topic does not say.
        ordered
            Whether a frame counts once only. False for retained topics.

        Raises
        ------
        FrameRejectedError
            If it is dropped; it has been counted then.
        """
        ...


# -- making


class Signer:
    """Signs with Ed25519.

    Parameters
    ----------
    sender
        Who signs: the device's name, or ``coordinator``.
    federation
        In which federation.
    key
        The private key.
    boot
        From `tierwise.runtime.security.ordering.next_boot`.
    """

    def __init__(self, sender: str, federation: str, key: Ed25519PrivateKey, boot: int) -> None:
        self._headers = _Headers(sender, federation, boot)
        self._key = key

    def sign(self, payload: bytes | memoryview, *, kind: str, recipient: str) -> bytes:
        """Return a signed frame."""
        signed = assemble(Scheme.ED25519, self._headers.next(recipient, kind), payload)
        return signed + self._key.sign(signed)


class UnsignedSigner:
    """Makes frames that anybody could have made, for trying out on loopback.

    Parameters
    ----------
    sender, federation
        As for `Signer`.
    boot
        Any number that grows with each start; by default the time in milliseconds.
    """

    def __init__(self, sender: str, federation: str, boot: int | None = None) -> None:
        self._headers = _Headers(sender, federation, time.time_ns() // 1_000_000 if boot is None else boot)

    def sign(self, payload: bytes | memoryview, *, kind: str, recipient: str) -> bytes:
        """Return an unsigned frame."""
        return assemble(Scheme.UNSIGNED, self._headers.next(recipient, kind), payload)


class _Headers:
    """Counts the frames of each stream, so that a recipient sees numbers without gaps."""

    def __init__(self, sender: str, federation: str, boot: int) -> None:
        self._sender = sender
        self._federation = federation
        self._boot = boot
        self._sequences: defaultdict[tuple[str, str], int] = defaultdict(int)

    def next(self, recipient: str, kind: str) -> Header:
        self._sequences[recipient, kind] += 1
        return Header(
            federation=self._federation,
            sender=self._sender,
            recipient=recipient,
            kind=kind,
            boot=self._boot,
            sequence=self._sequences[recipient, kind],
        )


# -- judging


class Verifier:
    """Accepts what those in a key book have signed. For use by one thread.

    Parameters
    ----------
    federation
        In which federation.
    keys
        Whose key is whose: the `tierwise.runtime.security.registry.Registry` at the coordinator, a `CoordinatorKey` at
        a device.
    guard
        The orders seen so far; a new one by default.
    """

    def __init__(self, federation: str, keys: KeyBook, guard: ReplayGuard | None = None) -> None:
        self.rejected: Counter[Rejection] = Counter()
        self.guard = ReplayGuard() if guard is None else guard
        self._federation = federation
        self._keys = keys

    def verify(
        self,
        frame: bytes | memoryview,
        *,
        kind: str,
        recipient: str,
        sender: str | None = None,
        ordered: bool = True,
    ) -> Opened:
        """Judge a frame; see `FrameVerifier`."""
        try:
            parts = _split(frame, _Expected(Scheme.ED25519, self._federation, recipient, kind, sender))
            key = self._authenticate(parts)
            if ordered:
                # Last, for what is noted here must be authentic.
                _judge_order(self.guard, key, parts.header)
        except FrameRejectedError as error:
            self.rejected[error.reason] += 1
            raise
        return _opened(parts)

    def _authenticate(self, parts: Frame) -> bytes:
        """Return the sender's public key, if the frame is really his."""
        sender = parts.header.sender
        known = self._keys.lookup(sender)
        if known is None:
            raise FrameRejectedError(Rejection.UNKNOWN, sender)
        try:
            known.key.verify(bytes(parts.signature), parts.signed)
        except InvalidSignature:
            raise FrameRejectedError(Rejection.FORGED, sender) from None
        if known.revoked:  # which only the holder of its key is to be told
            raise FrameRejectedError(Rejection.REVOKED, sender)
        return known.raw


class UnsignedVerifier:
    """Accepts what nobody has signed, for trying out on loopback: all of its checks can be deceived.

    Parameters
    ----------
    federation, guard
        As for `Verifier`.
    """

    def __init__(self, federation: str, guard: ReplayGuard | None = None) -> None:
        self.rejected: Counter[Rejection] = Counter()
        self.guard = ReplayGuard() if guard is None else guard
        self._federation = federation

    def verify(
        self,
        frame: bytes | memoryview,
        *,
        kind: str,
        recipient: str,
        sender: str | None = None,
        ordered: bool = True,
    ) -> Opened:
        """Judge a frame; see `FrameVerifier`."""
        try:
            parts = _split(frame, _Expected(Scheme.UNSIGNED, self._federation, recipient, kind, sender))
            if ordered:
                _judge_order(self.guard, parts.header.sender.encode(), parts.header)
        except FrameRejectedError as error:
            self.rejected[error.reason] += 1
            raise
        return _opened(parts)


@dataclass(frozen=True, slots=True)
class _Expected:
    scheme: Scheme
    federation: str
    recipient: str
    kind: str
    sender: str | None = field(default=None)


def _split(frame: bytes | memoryview, expected: _Expected) -> Frame:
    """Take a frame apart and compare what it says with where it arrived; it may still be forged."""
    try:
        parts = split(frame)
    except OtherVersionError as error:
        raise FrameRejectedError(Rejection.VERSION, detail=str(error)) from None
    except MalformedFrameError as error:
        raise FrameRejectedError(Rejection.MALFORMED, detail=str(error)) from None
    header = parts.header
    for reason, said, wanted in (
        (Rejection.SCHEME, parts.scheme, expected.scheme),
        (Rejection.FEDERATION, header.federation, expected.federation),
        (Rejection.RECIPIENT, header.recipient, expected.recipient),
        (Rejection.KIND, header.kind, expected.kind),
        (Rejection.SENDER, header.sender, header.sender if expected.sender is None else expected.sender),
    ):
        if said != wanted:
            raise FrameRejectedError(reason, header.sender, f"{_shown(said)}, expected {_shown(wanted)}")
    return parts


def _shown(value: str | Scheme) -> str:
    return value.name.lower() if isinstance(value, Scheme) else repr(value)


def _judge_order(guard: ReplayGuard, key: bytes, header: Header) -> None:
    order = Order(header.boot, header.sequence)
    judgement = guard.judge(key, header.recipient, header.kind, order)
    if judgement is not Judgement.FRESH:
        reason = Rejection.REPLAYED if judgement is Judgement.REPLAYED else Rejection.STALE
        raise FrameRejectedError(reason, header.sender, f"boot {order.boot}, number {order.sequence}")


def _opened(parts: Frame) -> Opened:
    header = parts.header
    return Opened(header.sender, header.recipient, header.kind, Order(header.boot, header.sequence), parts.payload)
