"""Any message at any time: no machine raises, and none goes beyond its bounds."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tierwise.core.transfer import (
    Broadcast,
    BroadcastSettings,
    Chunk,
    DeskSettings,
    Download,
    DownloadSettings,
    Gone,
    Grant,
    LinkMessage,
    Manifest,
    Offer,
    Upload,
    UploadDesk,
    UploadSettings,
    Want,
    Whole,
)
from tierwise.core.transfer.ranges import to_ranges

from .network import CHUNK, ProofSink, envelope, outline_of

DATA = [envelope(1, 7 * CHUNK), envelope(2, 3 * CHUNK + 1), envelope(3, 20)]
transfers = st.sampled_from([outline_of(data).transfer for data in DATA] + ["0" * 32])
outlines = st.sampled_from([outline_of(data) for data in DATA])
ranges = st.sets(st.integers(0, 12)).map(sorted).map(to_ranges)
numbers = st.integers(0, 5) | st.just(2**48)
messages = st.one_of(
    st.builds(Whole, size=st.just(0)),
    st.builds(Offer, outline=outlines, seen=numbers),
    st.builds(Grant, transfer=transfers, number=numbers, ranges=ranges, done=st.booleans()),
    st.builds(Chunk, transfer=transfers, index=st.integers(0, 8) | st.just(2**48)),
    st.builds(Manifest, outline=outlines, tag=st.text(max_size=3)),
    st.builds(Want, transfer=transfers, ranges=ranges),
    st.builds(Gone, transfer=transfers),
)


@st.composite
def heard(draw: st.DrawFn) -> tuple[LinkMessage, bytes, float]:
    """Draw a message, a tail that may be right, and a step of time."""
    message = draw(messages)
    tail = draw(st.sampled_from([b"", bytes(CHUNK), bytes(2 * CHUNK)]))
    for data in DATA:
        outline = outline_of(data)
        if isinstance(message, Chunk) and message.transfer == outline.transfer and draw(st.booleans()):
            tail = data[message.index * CHUNK :][:CHUNK]
        if isinstance(message, Manifest) and message.outline == outline and outline.count == 1:
            tail = data
    return message, tail, draw(st.sampled_from([0.0, 0.1, 3.0, 100.0]))


@settings(deadline=None)
@given(st.lists(heard(), max_size=60))
def test_no_machine_raises_and_bounds_hold(story: list[tuple[LinkMessage, bytes, float]]) -> None:
    desk = UploadDesk(
        lambda sender, outline: ProofSink(outline.size),
        DeskSettings(chunk_limit_bytes=CHUNK, pool_chunks=5, window_chunks=4),
    )
    upload = Upload(lambda: 0.5, UploadSettings(chunk_bytes=CHUNK))
    upload.offer(DATA[0])
    broadcast = Broadcast(lambda: 0.5, BroadcastSettings(chunk_bytes=CHUNK))
    broadcast.publish(DATA[0], "tag")
    download = Download(
        lambda outline, tag: ProofSink(outline.size), lambda: 0.5, DownloadSettings(chunk_limit_bytes=CHUNK)
    )
    now = 0.0
    for number, (message, tail, pause_s) in enumerate(story):
        now += pause_s
        view = memoryview(tail)
        desk.receive("abc"[number % 3], message, view, now)
        upload.receive(message)
        broadcast.receive(message, now)
        download.receive(message, view, now)
        for machine in (desk, upload, broadcast, download):
            if machine.due_at is not None and machine.due_at <= now:
                machine.tick(now)
            for _ in range(100):
                if machine.next_packet(now) is None:
                    break
            else:
                raise AssertionError(f"{machine} has endless packets")
            assert machine.due_at is None or machine.due_at > now or machine is desk
        assert 0 <= desk.in_flight <= 5
        assert desk.uploads <= 3
        assert len(download._early) <= 8
    for _ in range(100):
        if desk.due_at is None:
            break
        desk.tick(desk.due_at)
    assert (desk.in_flight, desk.uploads) == (0, 0)
