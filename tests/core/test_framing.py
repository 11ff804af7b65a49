"""Weights to bytes and back: canonical, readable by safetensors, without copies, and proof against bad bytes."""

import hashlib
import json
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tierwise.core.errors import ProtocolError
from tierwise.core.framing import HEADER_LIMIT, arrays_to_bytes, blank, frame, to_bytes, unframe
from tierwise.core.weights import Layout, Role, TensorSpec, Weights

names = st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda name: name != "__metadata__")
specs = st.builds(
    TensorSpec,
    name=names,
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    dtype=st.sampled_from(["float32", "float64", "int64"]),
    role=st.sampled_from(Role),
)
layouts = st.lists(specs, max_size=5, unique_by=lambda spec: spec.name).map(
    lambda found: Layout(tuple(sorted(found, key=lambda spec: spec.name)))
)
floats = st.floats(width=32) | st.sampled_from([np.nan, np.inf, -0.0, 1e-45])


@st.composite
def all_weights(draw: st.DrawFn) -> Weights:
    layout = draw(layouts)
    return Weights(layout, draw(hnp.arrays(np.float32, layout.size, elements=floats)))


def sample() -> Weights:
    return Weights.of({"dense.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "dense.bias": np.ones(3)})


def framed(header: object, body: bytes = b"", *, pad: bool = True) -> bytes:
    """Make a frame by hand, of a header that is JSON or raw bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8) if pad else b""
    return struct.pack("<Q", len(text)) + text + body


def entry(**changes: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


@given(st.dictionaries(names, hnp.arrays(np.float32, st.integers(1, 9), elements=floats), max_size=4))
@settings(deadline=None)
def test_named_arrays_are_framed_as_the_weights_of_them(arrays: dict[str, np.ndarray]) -> None:
    assert arrays_to_bytes(arrays) == to_bytes(Weights.of(arrays))
    strided = {name: np.repeat(array, 2)[::2] for name, array in arrays.items()}
    assert arrays_to_bytes(strided) == arrays_to_bytes(arrays)


METADATA = {"format": "tierwise.1"}


@given(all_weights())
@settings(deadline=None)
@example(Weights.of({}))
def test_every_frame_reads_back_as_the_weights_that_it_was_made_of(weights: Weights) -> None:
    data = to_bytes(weights)
    read = unframe(data)
    assert read == weights
    assert read.layout == weights.layout
    assert to_bytes(read) == data
    assert len(data) % 4 == 0


@given(all_weights())
def test_a_blank_frame_is_filled_in_place(weights: Weights) -> None:
    data, values = blank(weights.layout)
    values[...] = weights.buffer
    assert data == to_bytes(weights)


@given(all_weights())
@settings(deadline=None)
def test_the_safetensors_library_reads_our_frames(weights: Weights) -> None:
    tensors = safetensors.numpy.load(to_bytes(weights))
    assert tensors.keys() == {spec.name for spec in weights.layout.tensors}
    for name, view in weights.items():
        assert tensors[name].shape == view.shape
        assert tensors[name].tobytes() == view.tobytes()


@given(all_weights())
@settings(deadline=None)
def test_the_identity_is_the_hash_of_the_frame(weights: Weights) -> None:
    assert weights.identity == hashlib.sha256(to_bytes(weights)).hexdigest()


def test_the_order_in_which_tensors_are_given_changes_nothing() -> None:
    arrays = {"b": np.ones(2), "a": np.zeros((2, 2)), "c": np.full(3, 7.0)}
    one = Weights.of(arrays)
    other = Weights.of(dict(reversed(arrays.items())))
    assert to_bytes(one) == to_bytes(other)
    assert one.identity == other.identity


def test_a_frame_is_what_it_always_was() -> None:
    header = (
        b'{"Z":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"__metadata__":{"format":"tierwise.1"},'
        b'"dense.bias":{"dtype":"F32","shape":[3],"data_offsets":[4,16]},'
        b'"dense.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[16,40]}}'
    )
    values = np.array([9, 1, 1, 1, 0, 1, 2, 3, 4, 5], "<f4").tobytes()
    weights = Weights.of({**dict(sample().items()), "Z": np.array([9.0])})
    assert to_bytes(weights) == framed(header, values)


def test_other_dtypes_and_roles_are_kept_in_the_metadata() -> None:
    layout = Layout((TensorSpec(name="count", shape=(1,), dtype="int64", role=Role.LOCAL),))
    data = to_bytes(Weights.zeros(layout))
    assert b'"dtype:count":"int64"' in data
    assert b'"role:count":"local"' in data
    assert unframe(data).layout == layout


# -- without copies


def test_a_frame_is_a_view_of_the_buffer() -> None:
    weights = sample()
    _, body = frame(weights)
    assert np.shares_memory(np.frombuffer(body, np.float32), weights.buffer)
    assert body.nbytes == weights.buffer.nbytes


@pytest.mark.parametrize("wrap", [bytes, memoryview, lambda data: memoryview(bytearray(data))])
def test_what_is_read_is_a_read_only_view_of_the_bytes(wrap) -> None:
    data = wrap(to_bytes(sample()))
    read = unframe(data)
    assert np.shares_memory(read.buffer, np.frombuffer(data, np.uint8))
    assert not read.buffer.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        read.buffer[0] = 1


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_a_frame_at_an_odd_place_in_a_message_is_read_into_aligned_memory(shift: int) -> None:
    data = b"x" * shift + to_bytes(sample())
    read = unframe(memoryview(data)[shift:])
    assert read == sample()
    assert read.buffer.flags.aligned
    assert not read.buffer.flags.writeable


def test_weights_that_cannot_be_written_to_can_be_framed() -> None:
    data = to_bytes(sample())
    assert to_bytes(unframe(data)) == data


# -- bad bytes


def test_every_truncation_is_refused() -> None:
    data = to_bytes(sample())
    for length in range(len(data)):
        with pytest.raises(ProtocolError):
            unframe(data[:length])


@pytest.mark.parametrize("more", [1, 4, 8])
def test_bytes_behind_the_end_are_refused(more: int) -> None:
    with pytest.raises(ProtocolError, match=f"names 36 bytes of tensors, {36 + more} follow"):
        unframe(to_bytes(sample()) + bytes(more))


def test_every_bit_of_the_header_matters() -> None:
    """A flipped bit is refused; within a tensor's name it may spell another name, which is read as that."""
    data = to_bytes(sample())
    header, _ = frame(sample())
    starts = {name: header.index(name.encode()) for name in ("dense.bias", "dense.weight")}
    letters = {place for name, start in starts.items() for place in range(start, start + len(name))}
    for place in range(len(header)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            if place not in letters:
                with pytest.raises(ProtocolError):
                    unframe(bytes(flipped))
                continue
            try:
                other = unframe(bytes(flipped))
            except ProtocolError:
                continue
            assert other.layout != sample().layout
            assert to_bytes(other) == bytes(flipped)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_noise_is_refused(noise: bytes) -> None:
    for data in (noise, framed(noise), framed(noise, bytes(8))):
        with pytest.raises(ProtocolError):
            unframe(data)


@pytest.mark.parametrize("length", [HEADER_LIMIT + 1, 2**40, 2**63, 2**64 - 1])
def test_a_header_that_claims_to_be_huge_is_refused_before_it_is_read(length: int) -> None:
    with pytest.raises(ProtocolError, match=rf"header has {length} bytes \(at most {HEADER_LIMIT}\)"):
        unframe(struct.pack("<Q", length) + b"{}      ")


def test_a_header_over_the_limit_is_refused_though_its_bytes_are_there() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        unframe(framed(b"{" + b" " * HEADER_LIMIT))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 5000,
        b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        {},
        {"a": entry()},
        {"__metadata__": 3, "a": entry()},
        {"__metadata__": {"format": "pt"}, "a": entry()},
        {"__metadata__": {**METADATA, "more": "x"}, "a": entry()},
        {"__metadata__": {**METADATA, "role:a": "boss"}, "a": entry()},
        {"__metadata__": {**METADATA, "role:a": "aggregate"}, "a": entry()},
        {"__metadata__": {**METADATA, "role:b": "local"}, "a": entry()},
        {"__metadata__": METADATA, "a": entry(dtype="F64")},
        {"__metadata__": METADATA, "a": entry(dtype="I32")},
        {"__metadata__": METADATA, "a": entry(shape=[])},
        {"__metadata__": METADATA, "a": entry(shape=[-2])},
        {"__metadata__": METADATA, "a": entry(shape=[2, 0])},
        {"__metadata__": METADATA, "a": entry(shape=[2**62, 4], data_offsets=[0, 2**66])},
        {"__metadata__": METADATA, "a": entry(shape=[2**80], data_offsets=[0, 2**82])},
        {"__metadata__": METADATA, "a": entry(shape="2")},
        {"__metadata__": METADATA, "a": entry(shape=[2.0])},
        {"__metadata__": METADATA, "a": entry(data_offsets=[8, 16])},
        {"__metadata__": METADATA, "a": entry(data_offsets=[0, 4])},
        {"__metadata__": METADATA, "a": entry(data_offsets=[0])},
        {"__metadata__": METADATA, "a": entry(more=1)},
        {
            "__metadata__": METADATA,
            "a": entry(shape=[1], data_offsets=[4, 8]),
            "b": entry(shape=[1], data_offsets=[0, 4]),
        },
        {"a": entry(), "__metadata__": METADATA},
        b'{"__metadata__":{"format":"tierwise.1"},"a":{},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        b'{"__metadata__":{"format":"tierwise.1"}, "a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    ],
    ids=lambda header: str(header)[:60],
)
def test_a_header_that_is_not_canonical_is_refused(header: object) -> None:
    with pytest.raises(ProtocolError):
        unframe(framed(header, bytes(8)))


def test_a_header_with_other_padding_is_refused() -> None:
    good = {"__metadata__": METADATA, "a": entry()}
    assert unframe(framed(good, bytes(8))).layout == Layout.of({"a": (2,)})
    text = json.dumps(good, separators=(",", ":")).encode()
    for padded in (text, text + b" " * (8 + -len(text) % 8)):
        with pytest.raises(ProtocolError, match="canonical"):
            unframe(framed(padded, bytes(8), pad=False))


def test_what_the_library_wrote_is_refused_with_the_way_out() -> None:
    with pytest.raises(ProtocolError, match=r"the safetensors library reads it, tierwise\.core\.framing writes it"):
        unframe(safetensors.numpy.save({"a": np.zeros(2, np.float32)}))
