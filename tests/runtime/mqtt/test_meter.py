"""What transfers tell of a link, with times in the tests' hands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierwise.runtime.transports.mqtt.meter import LinkMeter

MODEL, OTHER = b"model", b"other"
LARGE = 100_000


def upload(meter, transfer, pieces, seconds, start=0.0):
    for number, size in enumerate(pieces):
        meter.sent_piece(transfer, size, start + number * 0.001)
    meter.uploaded(transfer, start + seconds)


def download(meter, transfer, pieces, seconds, direct=False):
    """Let pieces come, the last after so many seconds."""
    for number, size in enumerate(pieces):
        meter.took_piece(transfer, size, seconds * number / (len(pieces) - 1), direct=direct)
    meter.downloaded(transfer, seconds, direct=direct)


def test_nothing_carried_nothing_learnt():
    assert LinkMeter().link == {}


def test_the_round_trip_is_the_least_of_the_latest_small_messages():
    meter = LinkMeter()
    for seconds in (0.3, 0.2, 0.9):
        meter.acknowledged(200, seconds)
    assert meter.link == {"round_trip_s": 0.2}
    for _ in range(16):  # the way has become longer
        meter.acknowledged(200, 0.7)
    assert meter.link == {"round_trip_s": 0.7}


def test_an_upload_counts_from_its_first_piece_to_the_word_that_all_is_there_less_a_round_trip():
    meter = LinkMeter()
    meter.acknowledged(200, 0.5)
    upload(meter, MODEL, [LARGE] * 5, 10.5)
    assert meter.link["uplink_bytes_per_s"] == pytest.approx(5 * LARGE / 10)


def test_a_large_message_in_one_piece_counts_until_it_is_acknowledged():
    meter = LinkMeter()
    meter.acknowledged(200, 0.1)
    meter.acknowledged(LARGE, 1.1)
    assert meter.link == {"round_trip_s": 0.1, "uplink_bytes_per_s": pytest.approx(LARGE)}


def test_a_download_counts_from_the_end_of_its_first_piece():
    meter = LinkMeter()
    download(meter, MODEL, [7 * LARGE, LARGE, LARGE], 2.0)
    assert meter.link == {"downlink_bytes_per_s": pytest.approx(LARGE)}


def test_what_comes_for_the_device_and_for_its_group_at_once_is_kept_apart():
    meter = LinkMeter()
    meter.took_piece(MODEL, LARGE, 0.0, direct=False)
    meter.took_piece(OTHER, LARGE, 1.0, direct=True)
    meter.took_piece(MODEL, LARGE, 2.0, direct=False)
    meter.downloaded(MODEL, 2.0, direct=False)
    meter.took_piece(OTHER, 3 * LARGE, 3.0, direct=True)
    meter.downloaded(OTHER, 3.0, direct=True)
    assert meter.link == {"downlink_bytes_per_s": pytest.approx(LARGE)}  # 4 * LARGE in 4 s


def test_the_latest_transfers_count_by_their_seconds():
    meter = LinkMeter()
    upload(meter, MODEL, [LARGE], 1.0)
    upload(meter, OTHER, [LARGE], 3.0)
    assert meter.link["uplink_bytes_per_s"] == pytest.approx(LARGE / 2)
    for _ in range(8):
        upload(meter, MODEL, [LARGE], 10.0)
    assert meter.link["uplink_bytes_per_s"] == pytest.approx(LARGE / 10)


@pytest.mark.parametrize(("size", "seconds"), [(5000, 60.0), (LARGE, 0.19), (LARGE, 0.004)])
def test_what_is_tiny_or_quick_tells_of_the_latency_only(size, seconds):
    meter = LinkMeter()
    meter.acknowledged(200, 0.05 if seconds > 0.1 else 1e-4)
    upload(meter, MODEL, [size], seconds)
    download(meter, MODEL, [size, size // 2, size // 2], seconds)
    meter.acknowledged(size, seconds)
    assert meter.link.keys() == {"round_trip_s"}


def test_what_was_interrupted_counts_from_where_it_goes_on():
    meter = LinkMeter()
    meter.sent_piece(MODEL, LARGE, 0.0)
    meter.took_piece(OTHER, LARGE, 0.0, direct=False)
    meter.took_piece(OTHER, LARGE, 1.0, direct=False)
    meter.interrupted()  # for an hour
    meter.sent_piece(MODEL, LARGE, 3600.0)
    meter.uploaded(MODEL, 3602.0)
    assert meter.link == {"uplink_bytes_per_s": pytest.approx(LARGE / 2)}
    meter.took_piece(OTHER, LARGE, 3600.0, direct=False)
    meter.downloaded(OTHER, 3600.0, direct=False)
    assert "downlink_bytes_per_s" not in meter.link


def test_a_transfer_that_gave_way_to_another_does_not_count():
    meter = LinkMeter()
    meter.sent_piece(MODEL, LARGE, 0.0)
    meter.sent_piece(OTHER, LARGE, 10.0)
    meter.uploaded(OTHER, 11.0)
    meter.uploaded(MODEL, 12.0)
    assert meter.link == {"uplink_bytes_per_s": pytest.approx(LARGE)}


@given(st.floats(1e3, 1e9), st.lists(st.integers(1, 4), min_size=1, max_size=12), st.floats(1e-4, 1.0))
def test_an_even_line_is_measured_as_it_is_or_not_at_all(rate, sizes, round_trip_s):
    meter = LinkMeter()
    meter.acknowledged(100, round_trip_s)
    for size in sizes:
        upload(meter, MODEL, [size * LARGE], round_trip_s + size * LARGE / rate)
        download(meter, MODEL, [LARGE, size * LARGE], size * LARGE / rate)
    for name, value in meter.link.items():
        if name != "round_trip_s":
            assert value == pytest.approx(rate, rel=1e-6)
