"""Envelopes in memory, put together chunk by chunk."""

import numpy as np
import pytest

from tierwise.core.envelope import lead, open_from_device, seal
from tierwise.core.framing import to_bytes, unframe
from tierwise.core.ids import BlobHash, CohortId
from tierwise.core.messages import UpdateSent
from tierwise.core.transfer import BufferSink
from tierwise.core.weights import Layout, Weights

WEIGHTS = Weights(Layout.of({"w": (1000,)}), np.arange(1000, dtype=np.float32))
CHUNK = 700


def envelope(cohort: str) -> bytes:
    """Return an update's envelope, whose header has one byte more for each letter of the cohort's name."""
    blob = BlobHash("0" * 64)
    said = UpdateSent(cohort=CohortId(cohort), base=blob, blob=blob, samples=1, metrics={})
    return seal(said, to_bytes(WEIGHTS))


def written(sent: bytes, starts: list[int]) -> BufferSink:
    sink = BufferSink(len(sent))
    for start in starts:
        sink.write(start, memoryview(sent)[start : start + CHUNK])
    return sink


@pytest.mark.parametrize("length", range(1, 9))
def test_weights_that_came_in_order_are_read_where_they_are(length: int) -> None:
    sent = envelope("c" * length)
    sink = written(sent, list(range(0, len(sent), CHUNK)))
    assert sink.data == sent
    weights = unframe(open_from_device(sink.data)[1])
    assert weights == WEIGHTS
    assert np.shares_memory(weights.buffer, np.frombuffer(sink.data, np.uint8))


@pytest.mark.parametrize("length", range(1, 9))
def test_what_came_in_another_order_is_as_whole(length: int) -> None:
    sent = envelope("c" * length)
    sink = written(sent, list(reversed(range(0, len(sent), CHUNK))))
    assert sink.data == sent
    assert unframe(open_from_device(sink.data)[1]) == WEIGHTS


@pytest.mark.parametrize("beginning", [b"", b"tw", b"tw\x01\x00\x05\x00\x00", b"tws\x01\x05\x00\x00\x00", b"anything"])
def test_nothing_is_left_free_before_what_is_no_envelope(beginning: bytes) -> None:
    assert lead(beginning) == 0
    sink = BufferSink(8)
    sink.write(0, memoryview(beginning))
    assert sink.data[: len(beginning)] == beginning


def test_what_is_left_free_puts_the_body_on_a_multiple_of_eight() -> None:
    for length in range(1, 20):
        sent = envelope("c" * length)
        assert (lead(sent) + len(sent) - len(open_from_device(sent)[1])) % 8 == 0
