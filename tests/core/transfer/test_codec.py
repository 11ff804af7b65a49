"""Link messages to bytes and back; limits before parsing; garbage is refused, and never anything else."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core.errors import ProtocolError
from tierwise.core.transfer import (
    DEFAULT_CHUNK_BYTES,
    Chunk,
    Gone,
    Grant,
    Manifest,
    Offer,
    Outline,
    Packet,
    Want,
    Whole,
    decode,
    encode,
)
from tierwise.core.transfer.codec import LINK_HEADER_LIMIT
from tierwise.core.transfer.outline import transfer_id
from tierwise.core.transfer.ranges import RANGES_LIMIT, indices, to_ranges

from .network import CHUNK, envelope, outline_of

SOME = "0123456789abcdef" * 2
AWS_PAYLOAD_LIMIT = 128 * 1024

transfers = st.text("0123456789abcdef", min_size=32, max_size=32)
numbers = st.integers(0, 2**48)
index_sets = st.sets(st.integers(0, 500)).map(sorted)
ranges = index_sets.map(to_ranges)
outlines = st.binary(min_size=1, max_size=600).map(lambda data: Outline.of(data, 50))
packets = st.one_of(
    st.binary(max_size=50).map(lambda data: Packet(Whole(size=len(data)), data)),
    st.builds(Offer, outline=outlines, seen=numbers).map(Packet),
    st.builds(Grant, transfer=transfers, number=numbers, ranges=ranges, done=st.booleans()).map(Packet),
    st.builds(Packet, st.builds(Chunk, transfer=transfers, index=numbers), st.binary(max_size=50)),
    st.binary(min_size=1, max_size=50).map(
        lambda data: Packet(Manifest(outline=Outline.of(data, 50), tag="g1.r3"), data)
    ),
    st.builds(Want, transfer=transfers, ranges=ranges).map(Packet),
    st.builds(Gone, transfer=transfers).map(Packet),
)


@given(packets)
def test_what_is_encoded_decodes(packet: Packet) -> None:
    message, tail = decode(packet.encode())
    assert message == packet.message
    assert tail == packet.tail
    assert tail.readonly


@given(packets, st.data())
def test_what_is_cut_short_or_damaged_is_refused_or_read_as_something(packet: Packet, data: st.DataObject) -> None:
    whole = packet.encode()
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    if damaged and data.draw(st.booleans()):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        message, tail = decode(damaged)
    except ProtocolError:
        return
    assert decode(encode(message, tail)) == (message, tail)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes, header: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(garbage)
    with pytest.raises(ProtocolError):
        decode(b"tl\x01\x00" + len(header).to_bytes(4, "little") + header)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "at least 8 bytes, got 0"),
        (b"tw\x01\x00\x00\x00\x00\x00", "begins with b'tl', got b'tw'"),
        (b"tl\x02\x00\x00\x00\x00\x00", "the sender speaks link version 2, this tierwise speaks 1: upgrade"),
        (b"tl\x01\x00\x09\x00\x00\x00", "of 8 bytes says that its header has 9"),
        (b"tl\x01\x00" + (LINK_HEADER_LIMIT + 1).to_bytes(4, "little") + bytes(LINK_HEADER_LIMIT + 1), "1048577"),
        (b"tl\x01\x00\x01\x00\x00\x00\xc0", "this is no link message"),
        (encode(Whole(size=3), b"ab"), "an envelope of 3 bytes came with 2"),
        (encode(Gone(transfer=SOME), b"ab"), "Gone has no tail, got one of 2 bytes"),
        (encode(Manifest(outline=outline_of(b"abc"))), "a manifest with 3 bytes inline came with 0"),
        (encode(Manifest(outline=outline_of(bytes(CHUNK + 1))), b"a"), "a manifest with 0 bytes inline came with 1"),
        (encode(Gone(transfer="A" * 32)), "regex"),
        (encode(Chunk(transfer=SOME, index=2**50)), "index"),
    ],
)
def test_each_refusal_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason.replace("(", r"\(")):
        decode(data)


def raw(tag: str, **fields: object) -> bytes:
    header = msgspec.msgpack.encode({"link": tag, **fields})
    return b"tl\x01\x00" + len(header).to_bytes(4, "little") + header


@pytest.mark.parametrize("bad", [((3, 3),), ((4, 2),), ((0, 2), (1, 4)), ((5, 6), (0, 1)), ((-1, 2),)])
def test_ranges_ascend(bad: tuple[tuple[int, int], ...]) -> None:
    for data in (raw("want", transfer=SOME, ranges=bad), raw("grant", transfer=SOME, number=1, ranges=bad)):
        with pytest.raises(ProtocolError, match="no link message"):
            decode(data)


def test_ranges_are_bounded() -> None:
    many = tuple((2 * index, 2 * index + 1) for index in range(RANGES_LIMIT + 1))
    with pytest.raises(ProtocolError, match="length"):
        decode(raw("want", transfer=SOME, ranges=many))
    assert to_ranges(range(0, 10_000, 2)) == many[:RANGES_LIMIT]
    assert list(indices(((0, 2), (5, 2**40)), 8)) == [0, 1, 5, 6, 7]


@given(index_sets)
def test_ranges_name_what_they_were_made_of(chosen: list[int]) -> None:
    assert list(indices(to_ranges(chosen), 501)) == chosen


def test_an_outline_proves_itself() -> None:
    good = msgspec.structs.asdict(outline_of(envelope(1, 250)))
    assert decode(raw("offer", outline=good))[0] == Offer(outline=outline_of(envelope(1, 250)))
    for field, value in [
        ("transfer", SOME),
        ("size", 251),
        ("size", 0),
        ("size", 350),
        ("chunk_size", 0),
        ("chunk_size", 99),
        ("hashes", b""),
        ("hashes", bytes(48)),
    ]:
        with pytest.raises(ProtocolError):
            decode(raw("offer", outline={**good, field: value}))


def test_an_outline_cuts_without_gaps() -> None:
    data = envelope(1, 250)
    outline = Outline.of(memoryview(data), 100)
    assert (outline.count, outline.size) == (3, 250)
    assert [(outline.offset(index), outline.length(index)) for index in range(3)] == [(0, 100), (100, 100), (200, 50)]
    assert outline == Outline.of(data, 100)
    assert outline.transfer == transfer_id(250, 100, outline.hashes)
    assert outline.transfer != Outline.of(data, 50).transfer
    with pytest.raises(ValueError, match="at least one byte"):
        Outline.of(b"", 100)


def test_default_messages_fit_the_smallest_common_limit() -> None:
    size = 800_000_000  # its outline is made up: nobody hashes 800 MB here
    count = -(-size // DEFAULT_CHUNK_BYTES)
    hashes = bytes(16 * count)
    name = transfer_id(size, DEFAULT_CHUNK_BYTES, hashes)
    outline = Outline(transfer=name, size=size, chunk_size=DEFAULT_CHUNK_BYTES, hashes=hashes)
    room_for_a_signature = 1000
    for message, tail in [
        (Offer(outline=outline, seen=2**40), b""),
        (Manifest(outline=outline, tag="x" * 256, order=2**40), b""),
        (Want(transfer=name, ranges=to_ranges(range(0, count, 2))), b""),
        (Chunk(transfer=name, index=count), bytes(DEFAULT_CHUNK_BYTES)),
        (Manifest(outline=Outline.of(bytes(DEFAULT_CHUNK_BYTES)), tag="x" * 256), bytes(DEFAULT_CHUNK_BYTES)),
    ]:
        assert len(encode(message, tail)) + room_for_a_signature <= AWS_PAYLOAD_LIMIT


def test_a_header_that_nobody_would_read_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="needs larger chunks"):
        encode(Offer(outline=Outline.of(bytes(70_000), 1)))


def test_only_a_manifest_is_retained() -> None:
    assert Packet(Manifest(outline=outline_of(b"a")), b"a").retained
    assert not Packet(Gone(transfer=SOME)).retained
