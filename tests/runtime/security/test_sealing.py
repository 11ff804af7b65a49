"""Sealed data opens for one key and one context, whole and unchanged, or not at all."""

import hmac
import mmap
import tracemalloc
from itertools import permutations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.errors import ConfigurationError, DeviceError
from tierwise.runtime.security.sealing import (
    SEGMENT_BYTES,
    SealBrokenError,
    SealContext,
    seal_segments,
    seal_to,
    sealed_size,
    unseal,
    unseal_segments,
)

KEY = X25519PrivateKey.generate()
PUBLIC = KEY.public_key()
CONTEXT = SealContext(federation="f", cohort="g1.r3", device="a")
HEAD = 36
SEALED = SEGMENT_BYTES + 16
SIZES = [0, 1, 1000, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 2 * SEGMENT_BYTES, 5_000_000]


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def is_broken(sealed: bytes, key: X25519PrivateKey = KEY, context: SealContext = CONTEXT) -> bool:
    try:
        unseal(key, sealed, context)
    except SealBrokenError:
        return True
    return False


@pytest.mark.parametrize("size", SIZES)
def test_round_trip(size: int) -> None:
    data = pattern(size)
    sealed = seal_to(PUBLIC, data, CONTEXT)
    assert len(sealed) == sealed_size(size)
    assert unseal(KEY, sealed, CONTEXT) == data


@given(st.binary(max_size=500))
def test_any_small_data(data: bytes) -> None:
    assert unseal(KEY, seal_to(PUBLIC, data, CONTEXT), CONTEXT) == data


def test_a_whole_takes_little_more_memory_than_its_own() -> None:
    data = pattern(16 * SEGMENT_BYTES)
    tracemalloc.start()
    try:
        sealed = seal_to(PUBLIC, data, CONTEXT)
        sealing = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        assert unseal(KEY, sealed, CONTEXT) == data
        unsealing = tracemalloc.get_traced_memory()[1] - len(sealed)
    finally:
        tracemalloc.stop()
    assert max(sealing, unsealing) <= 1.4 * len(data)  # joining all pieces would take twice as much


def test_the_overhead_is_as_documented() -> None:
    assert sealed_size(0) == 52
    assert sealed_size(SEGMENT_BYTES) == SEGMENT_BYTES + 52
    assert sealed_size(SEGMENT_BYTES + 1) == SEGMENT_BYTES + 1 + 68


def test_two_sealings_differ_and_hide_the_data() -> None:
    data = b"secret weights" * 10
    one, other = seal_to(PUBLIC, data, CONTEXT), seal_to(PUBLIC, data, CONTEXT)
    assert one[4:36] != other[4:36]
    assert one[36:] != other[36:]
    assert b"secret" not in one


def by_hand(sealed: bytes) -> ChaCha20Poly1305:
    """Derive the key as the documentation says, by another implementation of RFC 5869."""
    secret = KEY.exchange(X25519PublicKey.from_public_bytes(sealed[4:36]))
    extracted = hmac.digest(sealed[4:36] + PUBLIC.public_bytes_raw(), secret, "sha256")
    return ChaCha20Poly1305(hmac.digest(extracted, b"tierwise seal 1\x01", "sha256"))


def test_the_format_is_as_documented() -> None:
    data = pattern(SEGMENT_BYTES + 3)
    sealed = seal_to(PUBLIC, data, CONTEXT)
    assert sealed[:4] == b"tws\x01"
    body = sealed[36:]
    associated = b"\x93\xa1f\xa5g1.r3\xa1a"
    cipher = by_hand(sealed)
    assert cipher.decrypt(bytes(12), body[:SEALED], associated) == data[:SEGMENT_BYTES]
    assert cipher.decrypt(bytes(10) + b"\x01\x01", body[SEALED:], associated) == data[SEGMENT_BYTES:]


def test_data_has_one_form_only() -> None:
    """An empty last segment behind a full one would be a second form of the same data."""
    sealed = seal_to(PUBLIC, b"", CONTEXT)
    cipher, associated = by_hand(sealed), b"\x93\xa1f\xa5g1.r3\xa1a"
    full = cipher.encrypt(bytes(12), pattern(SEGMENT_BYTES), associated)
    assert is_broken(sealed[:HEAD] + full + cipher.encrypt(bytes(10) + b"\x01\x01", b"", associated))
    assert not is_broken(sealed[:HEAD] + full + cipher.encrypt(bytes(10) + b"\x01\x01", b"x", associated))


def test_another_key() -> None:
    assert is_broken(seal_to(PUBLIC, b"data", CONTEXT), key=X25519PrivateKey.generate())


@pytest.mark.parametrize(
    "context",
    [
        SealContext(federation="F", cohort="g1.r3", device="a"),
        SealContext(federation="f", cohort="g1.r4", device="a"),
        SealContext(federation="f", cohort="g1.r3", device="b"),
        SealContext(federation="fg1.r3", cohort="", device="a"),
        SealContext(federation="f", cohort="g1.r3a", device=""),
        SealContext(federation="", cohort="", device=""),
    ],
)
def test_another_context(context: SealContext) -> None:
    assert is_broken(seal_to(PUBLIC, b"data", CONTEXT), context=context)


def test_any_bit_of_a_short_one() -> None:
    sealed = seal_to(PUBLIC, b"data", CONTEXT)
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert is_broken(bytes(damaged)), bit


LONG = seal_to(PUBLIC, pattern(2 * SEGMENT_BYTES + 1000), CONTEXT)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 8 * len(LONG) - 1))
def test_any_bit_of_a_long_one(bit: int) -> None:
    damaged = bytearray(LONG)
    damaged[bit // 8] ^= 1 << bit % 8
    assert is_broken(bytes(damaged))


def test_any_end_of_a_short_one() -> None:
    sealed = seal_to(PUBLIC, b"data", CONTEXT)
    assert all(is_broken(sealed[:end]) for end in range(len(sealed)))
    assert is_broken(sealed + b"\0")
    assert is_broken(sealed + sealed)


@settings(deadline=None, max_examples=25)
@given(st.one_of(st.integers(0, len(LONG) - 1), st.sampled_from([0, 4, 36, 37, HEAD + SEALED, HEAD + 2 * SEALED])))
def test_any_end_of_a_long_one(end: int) -> None:
    assert is_broken(LONG[:end])


@pytest.mark.parametrize("size", [0, SEGMENT_BYTES, SEGMENT_BYTES + 5, 2 * SEGMENT_BYTES])
@pytest.mark.parametrize("more", [b"\0", bytes(15), bytes(16), bytes(17), bytes(SEALED)])
def test_continued(size: int, more: bytes) -> None:
    assert is_broken(seal_to(PUBLIC, pattern(size), CONTEXT) + more)


def test_segments_in_another_order_missing_or_twice() -> None:
    sealed = seal_to(PUBLIC, pattern(3 * SEGMENT_BYTES), CONTEXT)
    head, *parts = sealed[:HEAD], *(sealed[HEAD + n * SEALED : HEAD + (n + 1) * SEALED] for n in range(3))
    whole = tuple(parts)
    for order in permutations(whole):
        assert is_broken(b"".join((head, *order))) == (order != whole)
    a, b, c = whole
    for wrong in ((a, b), (a, c), (b, c), (a,), (c,), (a, b, b, c), (a, b, c, c), (a, b, c, a)):
        assert is_broken(b"".join((head, *wrong)))


def test_segments_of_another_sealing() -> None:
    one, other = (seal_to(PUBLIC, pattern(2 * SEGMENT_BYTES), CONTEXT) for _ in range(2))
    assert is_broken(one[: HEAD + SEALED] + other[HEAD + SEALED :])
    assert is_broken(one[:HEAD] + other[HEAD:])


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_points_whose_secret_everybody_knows(point: bytes) -> None:
    """RFC 7748, section 6.1: points of small order give the secret zero."""
    sealed = seal_to(PUBLIC, b"data", CONTEXT)
    assert is_broken(sealed[:4] + point + sealed[36:])
    with pytest.raises(ConfigurationError, match="is nobody's"):
        seal_to(X25519PublicKey.from_public_bytes(point), b"data", CONTEXT)


@given(st.binary(max_size=200))
def test_noise(noise: bytes) -> None:
    assert is_broken(noise)
    assert is_broken(LONG[:4] + noise)


def test_the_error_is_a_devices_and_says_whose() -> None:
    with pytest.raises(DeviceError, match=r"what 'a' sealed for cohort 'g1\.r3' of federation 'f' does not open"):
        unseal(KEY, b"", CONTEXT)


def test_what_came_before_the_damage_has_been_yielded() -> None:
    damaged = LONG[:-1] + bytes([LONG[-1] ^ 1])
    pieces = unseal_segments(KEY, damaged, CONTEXT)
    assert next(pieces) == pattern(SEGMENT_BYTES)
    next(pieces)
    with pytest.raises(SealBrokenError):
        next(pieces)


def test_memory_is_a_few_segments(tmp_path: Path) -> None:
    size = 40 * SEGMENT_BYTES
    plain, sealed, opened = (tmp_path / name for name in ("plain", "sealed", "opened"))
    with plain.open("wb") as file:
        file.truncate(size)
    tracemalloc.start()
    try:
        _through(plain, sealed, lambda data: seal_segments(PUBLIC, data, CONTEXT))
        _through(sealed, opened, lambda data: unseal_segments(KEY, data, CONTEXT))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert opened.stat().st_size == size
    assert peak < 4 * SEGMENT_BYTES


def _through(source: Path, target: Path, transform: object) -> None:
    with (
        source.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        target.open("wb") as out,
        memoryview(mapped) as view,
    ):
        for piece in transform(view):  # type: ignore[operator]
            out.write(piece)
