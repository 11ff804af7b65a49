"""Frames of coded updates: what is written, and what is refused when it is read."""

import hashlib
import json

import numpy as np
import pytest
import safetensors

from tierwise.core import updates
from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.errors import LayoutError, MalformedUpdateError, ProtocolError
from tierwise.core.framing import to_bytes
from tierwise.core.ids import BlobHash, DeviceId
from tierwise.core.updates import check_update
from tierwise.core.weights import Layout, Weights
from tierwise.plugins.codecs.halves import Bfloat16Codec, Float16Codec, HalfOptions
from tierwise.plugins.codecs.int8 import Int8Codec, Int8Options
from tierwise.plugins.codecs.plain import Float32Codec
from tierwise.plugins.codecs.top_k import TopKCodec, TopKOptions

LAYOUT = Layout.of({"b": (3,), "w": (50, 43)})
DELTA = np.random.default_rng(0).normal(size=LAYOUT.size).astype(np.float32)


def coding(codec, name, layout=LAYOUT):
    return CodedUpdates(codec, name, layout)


CODINGS = {
    "float32": coding(Float32Codec(), "float32"),
    "float16": coding(Float16Codec(HalfOptions()), "float16"),
    "bfloat16": coding(Bfloat16Codec(HalfOptions()), "bfloat16"),
    "int8": coding(Int8Codec(Int8Options()), "int8"),
    "top-k": coding(TopKCodec(TopKOptions(fraction=0.1)), "top-k"),
}
INT8 = CODINGS["int8"]


def body(name, **changed):
    one = CODINGS[name]
    arrays = {key: array.copy() for key, array in one.codec.encode(DELTA, 1).items()}
    return one.frame({**arrays, **changed})


def check(data, name, **more):
    blob = BlobHash(hashlib.sha256(data).hexdigest())
    check_update(data, device=DeviceId("kitchen"), blob=blob, coding=CODINGS[name], **more)


@pytest.mark.parametrize("name", CODINGS)
def test_what_is_written_is_as_long_as_was_said_and_is_read_again(name):
    data = body(name)
    assert len(data) == CODINGS[name].update_bytes
    read = CODINGS[name].read(data, "it")
    for key, array in CODINGS[name].codec.encode(DELTA, 1).items():
        assert read[key].dtype == array.dtype
        assert read[key].tobytes() == array.tobytes()
        assert not read[key].flags.writeable
        assert np.shares_memory(read[key], np.frombuffer(data, np.uint8))
    check(data, name)


@pytest.mark.parametrize("name", CODINGS)
def test_the_safetensors_library_reads_it(name):
    read = dict(safetensors.deserialize(body(name)))
    if name == "float32":
        assert {key: array["shape"] for key, array in read.items()} == {"b": [3], "w": [50, 43]}
    else:
        coded = CODINGS[name].codec.encode(DELTA, 1)
        assert {key: bytes(array["data"]) for key, array in read.items()} == {k: a.tobytes() for k, a in coded.items()}
        assert {key: array["dtype"] for key, array in read.items()} == {
            key: form.dtype.value for key, form in CODINGS[name].form.items()
        }


def test_of_float32_the_frame_is_that_of_the_weights():
    assert body("float32") == to_bytes(Weights(LAYOUT, DELTA))


def test_the_header_says_which_codec_it_is():
    data = body("int8")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert header["__metadata__"] == {"format": "tierwise.1", "codec": "int8"}
    assert header["scales"] == {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_arrays_that_lie_askew_are_copied(shift):
    data = body("int8")
    askew = memoryview(bytes(shift) + data)[shift:]
    read = INT8.read(askew, "it")
    assert read["scales"].flags.aligned
    assert read["scales"].tobytes() == INT8.codec.encode(DELTA, 1)["scales"].tobytes()
    check(askew, "int8")


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"values": np.zeros(LAYOUT.size, np.int8)}, "gave the arrays ['values'], its form has ['scales', 'values']"),
        (
            {"values": np.zeros(LAYOUT.size, np.int8), "scales": np.zeros(4, np.float32)},
            "gave an array 'scales' of shape (4,) and dtype float32, its form has (3,) and float32",
        ),
        (
            {"values": np.zeros(LAYOUT.size, np.uint8), "scales": np.zeros(3, np.float32)},
            "gave an array 'values' of shape (2153,) and dtype uint8, its form has (2153,) and int8",
        ),
    ],
    ids=["too few", "a shape", "a dtype"],
)
def test_a_codec_that_does_not_keep_to_its_form_is_told(arrays, fault):
    with pytest.raises(LayoutError) as caught:
        INT8.frame(arrays)
    assert str(caught.value) == f"codec 'int8' {fault}"


def of_another_size():
    layout = Layout.of({"w": (2100,)})
    other = coding(Int8Codec(Int8Options()), "int8", layout)
    return other.frame(other.codec.encode(DELTA[:2100], 1))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (body("float32"), "it is in codec 'float32', the group's updates are in 'int8'; a device of an older tierwise"),
        (body("float16"), "it is in codec 'float16', the group's updates are in 'int8'"),
        (of_another_size(), "it is in codec 'int8', but not of this size or with these options"),
        (body("int8") + b"\0", "an update in codec 'int8' has"),
        (body("int8")[:-1], "an update in codec 'int8' has"),
        (b"12345", "a frame of weights has at least 8 bytes, got 5"),
        (b"\xff" * 300, "says that its header has"),
        (b"\x08" + bytes(7) + b"no json!", "the header of a frame cannot be read"),
    ],
    ids=["uncoded", "another", "another size", "too long", "cut short", "nothing", "no header", "no JSON"],
)
def test_what_is_no_update_of_this_codec_is_refused(data, fault):
    with pytest.raises(ProtocolError) as caught:
        INT8.read(data, "it")
    assert fault in str(caught.value)
    with pytest.raises(MalformedUpdateError, match=r"^the update of device 'kitchen' cannot be used: "):
        check(data, "int8")


@pytest.mark.parametrize(
    ("name", "changed", "fault"),
    [
        ("int8", {"scales": np.array([1, np.inf, 1], np.float32)}, "cannot be used: 1 of its 3 scales"),
        ("int8", {"scales": np.full(3, 3e38, np.float32)}, "values that are not finite"),
        ("float16", {"values": np.full(LAYOUT.size, np.inf, np.float16)}, "has 2153 values that are not finite"),
        ("bfloat16", {"values": np.full(LAYOUT.size, 0x7FC0, np.uint16)}, "has 2153 values that are not finite"),
        ("top-k", {"values": np.full(216, np.nan, np.float32)}, "has 216 values that are not finite"),
        ("top-k", {"indices": np.arange(216, dtype=np.uint32)[::-1]}, "cannot be used: its indices do not increase"),
        ("top-k", {"indices": np.arange(2000, 2216, dtype=np.uint32)}, "it has a value at 2215, of 2153 values"),
    ],
)
def test_arrays_that_no_honest_device_sends_are_refused(name, changed, fault):
    with pytest.raises(MalformedUpdateError) as caught:
        check(body(name, **changed), name)
    assert str(caught.value).startswith("the update of device 'kitchen' ")
    assert fault in str(caught.value)


@pytest.mark.parametrize("name", CODINGS)
def test_the_norm_is_that_of_the_decoded_values(name, monkeypatch):
    monkeypatch.setattr(updates, "BLOCK", 1024)
    values = np.concatenate(
        [block.copy() for _, block in CODINGS[name].blocks(CODINGS[name].read(body(name), ""), 1024)]
    )
    norm = float(np.linalg.norm(values.astype(np.float64)))
    check(body(name), name, max_norm=norm * 1.0001)
    with pytest.raises(MalformedUpdateError, match=f"has a norm of {norm:.4g}, at most"):
        check(body(name), name, max_norm=norm * 0.9999)
