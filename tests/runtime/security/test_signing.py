"""Every attack on a frame is dropped and counted by its own name."""

import struct
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.errors import DeviceError
from tierwise.runtime.security.frames import (
    FRAME_VERSION,
    HEADER_LIMIT,
    SIGNATURE_BYTES,
    Header,
    Scheme,
    assemble,
    split,
)
from tierwise.runtime.security.keys import COORDINATOR, Identity, KnownKey
from tierwise.runtime.security.ordering import ORDER_LIMIT, WINDOW, Order, ReplayGuard
from tierwise.runtime.security.signing import (
    TO_COORDINATOR,
    FrameRejectedError,
    FrameSigner,
    FrameVerifier,
    Opened,
    Rejection,
    Signer,
    UnsignedSigner,
    UnsignedVerifier,
    Verifier,
    to_device,
    to_group,
)

A = Identity.make()
B = Identity.make()
CONTROL = {"kind": "ctl", "recipient": TO_COORDINATOR}


class Keys(dict[str, KnownKey]):
    """A key book."""

    def lookup(self, sender: str) -> KnownKey | None:
        return self.get(sender)


def keys() -> Keys:
    return Keys(a=KnownKey.of(A.public), b=KnownKey.of(B.public))


def signer(name: str = "a", identity: Identity = A, federation: str = "f", boot: int = 1) -> Signer:
    return Signer(name, federation, identity.signing, boot)


@pytest.fixture
def verifier() -> Verifier:
    return Verifier("f", keys())


def rejection(verifier: FrameVerifier, frame: bytes, **expected: object) -> Rejection:
    """Return why a frame is dropped, and see that it is counted once."""
    before = verifier.rejected.total()
    with pytest.raises(FrameRejectedError) as caught:
        verifier.verify(frame, **{**CONTROL, **expected})  # type: ignore[arg-type]
    assert isinstance(caught.value, DeviceError)
    assert verifier.rejected.total() == before + 1
    assert verifier.rejected[caught.value.reason] > 0
    return caught.value.reason


# -- what is fine


@pytest.mark.parametrize("payload", [b"", b"x", bytes(200_000)])
def test_what_was_signed_is_what_is_opened(verifier: Verifier, payload: bytes) -> None:
    opened = verifier.verify(signer(boot=7).sign(payload, **CONTROL), sender="a", **CONTROL)
    assert opened == Opened("a", TO_COORDINATOR, "ctl", Order(7, 1), opened.payload)
    assert opened.payload == payload
    assert opened.payload.readonly
    assert not verifier.rejected


def test_payloads_and_frames_may_be_views(verifier: Verifier) -> None:
    frame = signer().sign(memoryview(b"payload")[2:], **CONTROL)
    assert verifier.verify(memoryview(bytearray(frame)), **CONTROL).payload == b"yload"


def test_each_stream_is_numbered_without_gaps() -> None:
    one = signer()
    orders = [
        split(one.sign(b"", kind=kind, recipient=to)).header.sequence
        for kind, to in (("ctl", "x"), ("ctl", "y"), ("ctl", "x"), ("presence", "x"), ("ctl", "x"))
    ]
    assert orders == [1, 1, 2, 1, 3]


def test_what_a_broken_connection_reorders_is_accepted_once(verifier: Verifier) -> None:
    one = signer()
    frames = [one.sign(b"", **CONTROL) for _ in range(WINDOW)]
    for frame in reversed(frames):
        verifier.verify(frame, **CONTROL)
    for frame in frames:
        assert rejection(verifier, frame) is Rejection.REPLAYED


# -- attacks


def test_cut_or_continued(verifier: Verifier) -> None:
    frame = signer().sign(b"payload", **CONTROL)
    for end in range(len(frame)):
        assert rejection(verifier, frame[:end]) is Rejection.MALFORMED
    assert rejection(verifier, frame + b"\0") is Rejection.MALFORMED
    assert rejection(verifier, frame + frame) is Rejection.MALFORMED


def test_signed_by_another_key(verifier: Verifier) -> None:
    assert rejection(verifier, signer("a", B).sign(b"", **CONTROL)) is Rejection.FORGED


def test_signed_by_nobody(verifier: Verifier) -> None:
    frame = signer().sign(b"payload", **CONTROL)
    for signature in (bytes(SIGNATURE_BYTES), B.signing.sign(frame[:-SIGNATURE_BYTES])):
        assert rejection(verifier, frame[:-SIGNATURE_BYTES] + signature) is Rejection.FORGED


def test_the_order_of_the_curve_added_to_a_signature(verifier: Verifier) -> None:
    """RFC 8032, section 5.1.7: S is below the order of the curve, or one message would have several signatures."""
    frame = signer().sign(b"payload", **CONTROL)
    s = int.from_bytes(frame[-32:], "little") + 2**252 + 27742317777372353535851937790883648493
    assert rejection(verifier, frame[:-32] + s.to_bytes(32, "little")) is Rejection.FORGED
    verifier.verify(frame, **CONTROL)


def test_from_a_stranger(verifier: Verifier) -> None:
    assert rejection(verifier, signer("c", Identity.make()).sign(b"", **CONTROL)) is Rejection.UNKNOWN


def test_from_somebody_who_was_revoked_in_between() -> None:
    book = keys()
    verifier = Verifier("f", book)
    one = signer()
    verifier.verify(one.sign(b"", **CONTROL), **CONTROL)
    book["a"] = KnownKey.of(A.public, revoked=True)
    assert rejection(verifier, one.sign(b"", **CONTROL)) is Rejection.REVOKED
    assert rejection(verifier, signer("a", Identity.make()).sign(b"", **CONTROL)) is Rejection.FORGED


def test_from_another_federation(verifier: Verifier) -> None:
    assert rejection(verifier, signer(federation="g").sign(b"", **CONTROL)) is Rejection.FEDERATION


def test_on_a_topic_of_another_kind(verifier: Verifier) -> None:
    frame = signer().sign(b"", **CONTROL)
    assert rejection(verifier, frame, kind="presence") is Rejection.KIND
    verifier.verify(frame, **CONTROL)


def test_to_another_recipient() -> None:
    verifier = Verifier("f", Keys({COORDINATOR: KnownKey.of(A.public)}))
    frame = signer(COORDINATOR).sign(b"", kind="ctl", recipient=to_device("a"))
    assert rejection(verifier, frame, recipient=to_device("b")) is Rejection.RECIPIENT
    assert rejection(verifier, frame, recipient=to_group("a")) is Rejection.RECIPIENT
    assert rejection(verifier, frame, recipient=TO_COORDINATOR) is Rejection.RECIPIENT
    verifier.verify(frame, kind="ctl", recipient=to_device("a"))


def test_a_device_cannot_send_another_devices_message_on(verifier: Verifier) -> None:
    frame = signer().sign(b"", **CONTROL)
    assert rejection(verifier, frame, sender="b") is Rejection.SENDER
    verifier.verify(frame, sender="a", **CONTROL)


def test_the_coordinators_own_words_do_not_come_back_to_it_as_a_devices() -> None:
    """A device named like the coordinator's recipient, or the coordinator's frame on a device's topic."""
    verifier = Verifier("f", keys())
    assert rejection(verifier, signer(COORDINATOR).sign(b"", **CONTROL), sender="a") is Rejection.SENDER
    assert rejection(verifier, signer(COORDINATOR).sign(b"", **CONTROL)) is Rejection.UNKNOWN


def test_a_second_time(verifier: Verifier) -> None:
    frame = signer().sign(b"", **CONTROL)
    verifier.verify(frame, **CONTROL)
    assert rejection(verifier, frame) is Rejection.REPLAYED


def test_long_ago(verifier: Verifier) -> None:
    one = signer()
    old = one.sign(b"", **CONTROL)
    for _ in range(WINDOW):
        verifier.verify(one.sign(b"", **CONTROL), **CONTROL)
    assert rejection(verifier, old) is Rejection.STALE


def test_from_before_the_sender_restarted(verifier: Verifier) -> None:
    old = signer(boot=1).sign(b"", **CONTROL)
    verifier.verify(signer(boot=2).sign(b"", **CONTROL), **CONTROL)
    assert rejection(verifier, old) is Rejection.STALE


def test_a_device_that_is_enrolled_anew_starts_anew() -> None:
    book = keys()
    verifier = Verifier("f", book)
    verifier.verify(signer(boot=10**9).sign(b"", **CONTROL), **CONTROL)
    book["a"] = KnownKey.of(B.public)
    assert verifier.verify(signer("a", B, boot=1).sign(b"", **CONTROL), **CONTROL).order == Order(1, 1)


def test_a_forged_order_does_not_silence_the_sender(verifier: Verifier) -> None:
    forged = signer("a", B, boot=ORDER_LIMIT).sign(b"", **CONTROL)
    assert rejection(verifier, forged) is Rejection.FORGED
    assert verifier.verify(signer().sign(b"heard", **CONTROL), **CONTROL).payload == b"heard"


def test_an_order_for_another_topic_does_not_count_here(verifier: Verifier) -> None:
    one = signer()
    frame = one.sign(b"here", **CONTROL)
    assert rejection(verifier, frame, kind="presence") is Rejection.KIND
    assert rejection(verifier, frame, sender="b") is Rejection.SENDER
    assert verifier.verify(frame, **CONTROL).payload == b"here"


def test_what_is_retained_comes_as_often_as_it_likes(verifier: Verifier) -> None:
    one = signer()
    manifest = one.sign(b"round 3", kind="manifest", recipient=to_group("g1"))
    expected = {"kind": "manifest", "recipient": to_group("g1"), "ordered": False}
    for _ in range(3):
        assert verifier.verify(manifest, **expected).order == Order(1, 1)
    verifier.verify(one.sign(b"", **CONTROL), **CONTROL)
    assert rejection(verifier, manifest[:-1] + bytes([manifest[-1] ^ 1]), **expected) is Rejection.FORGED


def test_a_guard_kept_over_a_restart() -> None:
    guard = ReplayGuard()
    frame = signer().sign(b"", **CONTROL)
    Verifier("f", keys(), guard).verify(frame, **CONTROL)
    assert rejection(Verifier("f", keys(), guard), frame) is Rejection.REPLAYED


def test_a_last_will_is_above_the_birth_that_was_made_before_it(verifier: Verifier) -> None:
    one = signer()
    presence = {"kind": "presence", "recipient": TO_COORDINATOR}
    frames = [one.sign(said, **presence) for said in (b"here", b"gone", b"here", b"gone")]
    orders = [verifier.verify(frame, ordered=False, **presence).order for frame in frames]
    assert sorted(set(orders)) == orders
    assert verifier.verify(signer(boot=2).sign(b"here", **presence), ordered=False, **presence).order > orders[-1]


# -- any damage at all


def every_flip(frame: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


def test_every_single_bit_counts(verifier: Verifier) -> None:
    frame = signer().sign(b"payload", **CONTROL)
    for damaged in every_flip(frame):
        rejection(verifier, damaged)
    assert verifier.verify(frame, **CONTROL).payload == b"payload"


@settings(deadline=None)
@given(st.binary(max_size=200), st.data())
def test_any_bits_of_any_frame_count(payload: bytes, data: st.DataObject) -> None:
    verifier = Verifier("f", keys())
    frame = bytearray(signer().sign(payload, **CONTROL))
    for bit in data.draw(st.sets(st.integers(0, 8 * len(frame) - 1), min_size=1, max_size=20)):
        frame[bit // 8] ^= 1 << bit % 8
    rejection(verifier, bytes(frame))


@given(st.binary(max_size=300))
def test_noise_is_dropped(noise: bytes) -> None:
    for verifier in (Verifier("f", keys()), UnsignedVerifier("f")):
        rejection(verifier, noise)


@given(st.binary(max_size=100), st.integers(0, 1))
def test_noise_that_looks_like_a_header_is_dropped(noise: bytes, scheme: int) -> None:
    prefix = struct.pack("<2sBBHI", b"tf", FRAME_VERSION, scheme, len(noise), 0)
    for verifier in (Verifier("f", keys()), UnsignedVerifier("f")):
        rejection(verifier, prefix + noise + bytes(SIGNATURE_BYTES * scheme))


# -- headers that nobody should send


def signed_header(**changes: object) -> bytes:
    """Return a frame of A whose header is changed, under a valid signature."""
    header = {"federation": "f", "sender": "a", "recipient": TO_COORDINATOR, "kind": "ctl", "boot": 1, "sequence": 1}
    encoded = msgspec.msgpack.encode({**header, **changes})
    signed = struct.pack("<2sBBHI", b"tf", FRAME_VERSION, 1, len(encoded), 0) + encoded
    return signed + A.signing.sign(signed)


def test_a_header_by_hand_is_fine(verifier: Verifier) -> None:
    opened = verifier.verify(signed_header(), **CONTROL)
    assert (opened.sender, opened.kind, opened.order, opened.payload) == ("a", "ctl", Order(1, 1), b"")


def test_what_a_later_version_adds_is_left_out() -> None:
    later, now = (Verifier("f", keys()).verify(frame, **CONTROL) for frame in (signed_header(hops=3), signed_header()))
    assert later == now


@pytest.mark.parametrize(
    "changes",
    [{"boot": 0}, {"sequence": -1}, {"sequence": ORDER_LIMIT + 1}, {"sequence": 1.5}, {"sequence": None},
     {"sender": ""}, {"sender": "x" * 81}, {"sender": 5}, {"more": bytes(HEADER_LIMIT)}],
)  # fmt: skip
def test_impossible_headers(verifier: Verifier, changes: dict[str, object]) -> None:
    assert rejection(verifier, signed_header(**changes)) is Rejection.MALFORMED


def test_another_version_is_told_apart(verifier: Verifier) -> None:
    frame = bytearray(signer().sign(b"", **CONTROL))
    frame[2] += 1
    with pytest.raises(FrameRejectedError, match=r"makes frames of version 2, this tierwise reads 1: upgrade"):
        verifier.verify(bytes(frame), **CONTROL)
    assert verifier.rejected == {Rejection.VERSION: 1}


def test_a_frame_that_cannot_be_is_not_made() -> None:
    header = Header(federation="f" * HEADER_LIMIT, sender="a", recipient="b", kind="c", boot=1, sequence=1)
    with pytest.raises(ValueError, match="1024 bytes of header"):
        assemble(Scheme.UNSIGNED, header, b"")


# -- without keys


def test_unsigned_frames_go_the_same_way() -> None:
    verifier: FrameVerifier = UnsignedVerifier("f")
    one: FrameSigner = UnsignedSigner("a", "f")
    frame = one.sign(b"payload", **CONTROL)
    opened = verifier.verify(frame, sender="a", **CONTROL)
    assert opened.payload == b"payload"
    assert rejection(verifier, frame) is Rejection.REPLAYED
    assert rejection(verifier, one.sign(b"", **CONTROL), kind="presence") is Rejection.KIND
    assert rejection(verifier, one.sign(b"", **CONTROL), sender="b") is Rejection.SENDER
    assert rejection(verifier, one.sign(b"", **CONTROL), recipient=to_device("a")) is Rejection.RECIPIENT
    assert rejection(verifier, UnsignedSigner("a", "g").sign(b"", **CONTROL)) is Rejection.FEDERATION
    verifier.verify(frame, ordered=False, **CONTROL)


def test_an_unsigned_sender_that_restarts_is_heard() -> None:
    verifier = UnsignedVerifier("f")
    verifier.verify(UnsignedSigner("a", "f", boot=1).sign(b"", **CONTROL), **CONTROL)
    again = verifier.verify(UnsignedSigner("a", "f").sign(b"again", **CONTROL), **CONTROL)
    assert (again.sender, again.payload) == ("a", b"again")


def test_who_signs_and_who_does_not_never_understand_each_other(verifier: Verifier) -> None:
    unsigned = UnsignedSigner("a", "f").sign(b"", **CONTROL)
    assert rejection(verifier, unsigned) is Rejection.SCHEME
    assert rejection(UnsignedVerifier("f"), signer().sign(b"", **CONTROL)) is Rejection.SCHEME


def test_taking_the_signature_away_does_not_help(verifier: Verifier) -> None:
    frame = bytearray(signer().sign(b"", **CONTROL)[:-SIGNATURE_BYTES])
    frame[3] = Scheme.UNSIGNED
    assert rejection(verifier, bytes(frame)) is Rejection.SCHEME


def test_the_text_names_who_and_why(verifier: Verifier) -> None:
    with pytest.raises(FrameRejectedError) as caught:
        verifier.verify(signer(federation="g").sign(b"", **CONTROL), **CONTROL)
    assert str(caught.value) == (
        "dropped a frame that says it is from 'a': it belongs to another federation ('g', expected 'f')"
    )
    assert caught.value.sender == "a"
