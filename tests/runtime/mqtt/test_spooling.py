"""Large envelopes in files without a name."""

import mmap

import numpy as np
import pytest

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.envelope import open_from_device, seal
from tierwise.core.framing import to_bytes
from tierwise.core.ids import BlobHash, CohortId
from tierwise.core.messages import UpdateSent
from tierwise.core.weights import Layout, Weights
from tierwise.plugins.codecs.plain import Float32Codec
from tierwise.runtime.transports.mqtt.spooling import FileSink, spooled

WEIGHTS = Weights(Layout.of({"w": (1000,)}), np.arange(1000, dtype=np.float32))
CODING = CodedUpdates(Float32Codec(), "float32", WEIGHTS.layout)
CHUNK = 700


def chunks(cohort):
    """Cut an update's envelope, whose header has one byte more for each letter of the cohort's name."""
    blob = BlobHash("0" * 64)
    said = UpdateSent(cohort=CohortId(cohort), base=blob, blob=blob, samples=1, metrics={})
    envelope = seal(said, to_bytes(WEIGHTS))
    return {start: envelope[start : start + CHUNK] for start in range(0, len(envelope), CHUNK)}


def through_a_sink(directory, sent, order):
    sink = FileSink(directory, sum(map(len, sent.values())))
    for start in order:
        sink.write(start, memoryview(sent[start]))
    return sink.finish()


def values(view):
    (array,) = CODING.read(open_from_device(view)[1], "it").values()
    return array


@pytest.mark.parametrize("length", range(1, 9))
@pytest.mark.parametrize("way", ["unsealed", "sealed"])
def test_an_update_is_read_where_it_was_spooled(tmp_path, way, length):
    sent = chunks("c" * length)
    view = through_a_sink(tmp_path, sent, sent) if way == "unsealed" else spooled(tmp_path, iter(sent.values()))
    assert isinstance(view.obj, mmap.mmap)
    assert view == b"".join(sent.values())
    assert np.array_equal(values(view), WEIGHTS.buffer)
    assert np.shares_memory(values(view), np.frombuffer(view, np.uint8))


@pytest.mark.parametrize("length", range(1, 9))
def test_what_came_in_another_order_is_as_whole(tmp_path, length):
    sent = chunks("c" * length)
    view = through_a_sink(tmp_path, sent, reversed(sent))
    assert view == b"".join(sent.values())
    assert np.array_equal(values(view), WEIGHTS.buffer)


def test_what_is_no_envelope_is_kept_as_it_is(tmp_path):
    assert spooled(tmp_path, [b"", b"tw", b"any", b"thing"]) == b"twanything"
    assert spooled(tmp_path, []) == b""
