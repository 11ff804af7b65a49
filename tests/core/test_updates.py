"""Checking an update before it may count."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.core import updates
from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.errors import MalformedUpdateError
from tierwise.core.framing import to_bytes
from tierwise.core.ids import BlobHash, DeviceId
from tierwise.core.updates import check_update
from tierwise.core.weights import Layout, Role, TensorSpec, Weights
from tierwise.plugins.codecs.plain import Float32Codec

LAYOUT = Layout(
    (
        TensorSpec(name="b", shape=(2,)),
        TensorSpec(name="n", shape=(2,), role=Role.LOCAL),
        TensorSpec(name="w", shape=(3, 2)),
    )
)
PLAIN = CodedUpdates(Float32Codec(), "float32", LAYOUT.aggregated)
DELTA = Weights(LAYOUT.aggregated, np.arange(8, dtype=np.float32))


def check(body, blob=None):
    named = blob or BlobHash(hashlib.sha256(body).hexdigest())
    check_update(body, device=DeviceId("kitchen"), blob=named, coding=PLAIN)


def test_a_good_update_is_read_without_a_copy():
    body = to_bytes(DELTA)
    check(body)
    (read,) = PLAIN.read(body, "it").values()
    assert read.tolist() == DELTA.buffer.tolist()
    assert not read.flags.writeable
    assert np.shares_memory(read, np.frombuffer(body, np.uint8))


def test_it_is_said_when_a_part_was_read(monkeypatch):
    monkeypatch.setattr(updates, "BLOCK", 3)  # of 8 values
    monkeypatch.setattr(updates, "BLOCK_BYTES", 100)
    body, calls = to_bytes(DELTA), []
    named = BlobHash(hashlib.sha256(body).hexdigest())
    device = DeviceId("kitchen")
    check_update(body, device=device, blob=named, coding=PLAIN, between=lambda: calls.append(None))
    assert len(calls) == -(-len(body) // 100) + 1 + 3  # its form is looked at once, its values block by block


def test_another_hash_than_the_headers():
    with pytest.raises(
        MalformedUpdateError, match=r"^the update of device 'kitchen' does not have the hash '000000000000' that its"
    ):
        check(to_bytes(DELTA), BlobHash("0" * 64))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value):
    bad = DELTA.copy()
    bad.buffer[2:4] = value
    with pytest.raises(
        MalformedUpdateError, match=r"^the update of device 'kitchen' has 2 values that are not finite$"
    ):
        check(to_bytes(bad))


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        (LAYOUT, "has a tensor 'n' that the model has not"),  # what is local stays on the device
        (Layout.of({"b": (2,)}), "lacks tensor 'w' of shape \\(3, 2\\)"),
        (Layout.of({"b": (2,), "w": (2, 3)}), "tensor 'w' has shape \\(2, 3\\), .* expected shape \\(3, 2\\)"),
    ],
)
def test_another_layout(layout, text):
    with pytest.raises(MalformedUpdateError, match=f"^the update of device 'kitchen' cannot be used: .*{text}"):
        check(to_bytes(Weights.zeros(layout)))


def test_every_truncation_and_any_garbage_is_malformed():
    body = to_bytes(DELTA)
    for length in range(len(body)):
        with pytest.raises(MalformedUpdateError, match="'kitchen'"):
            check(body[:length])
    with pytest.raises(MalformedUpdateError):
        check(body + b"\0")


@given(st.binary(max_size=300))
def test_garbage_with_the_right_hash_is_malformed(body):
    with pytest.raises(MalformedUpdateError, match="'kitchen'"):
        check(body)
