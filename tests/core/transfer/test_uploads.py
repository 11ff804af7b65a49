"""Uploads: a device's machine and the coordinator's desk, step by step."""

import tracemalloc

import pytest

from tierwise.core.transfer import (
    Abandoned,
    BufferSink,
    Chunk,
    DeskSettings,
    Gone,
    Grant,
    Manifest,
    Offer,
    Outline,
    Packet,
    Received,
    Refused,
    Repeated,
    Upload,
    UploadDesk,
    Uploaded,
    UploadSettings,
    Want,
    decode,
)

from .network import CHUNK, Faults, Network, ProofSink, envelope, outline_of

ME = "me"


def desk_of(**changes: object) -> UploadDesk:
    settings = DeskSettings(**{"chunk_limit_bytes": CHUNK, **changes})  # type: ignore[arg-type]
    return UploadDesk(lambda sender, outline: ProofSink(outline.size), settings)


def drawn(desk: UploadDesk, now: float = 0.0) -> list[tuple[str, object]]:
    found = []
    while (addressed := desk.next_packet(now)) is not None:
        found.append((addressed.receiver, addressed.packet.message))
    return found


def sent(upload: Upload, now: float = 0.0) -> list[Packet]:
    found = []
    while (packet := upload.next_packet(now)) is not None:
        found.append(packet)
    return found


def upload_of(data: bytes, **changes: object) -> Upload:
    upload = Upload(lambda: 1.0, UploadSettings(**{"chunk_bytes": CHUNK, **changes}))  # type: ignore[arg-type]
    upload.offer(data)
    return upload


def chunk(data: bytes, index: int) -> tuple[Chunk, memoryview]:
    return Chunk(transfer=outline_of(data).transfer, index=index), memoryview(data)[index * CHUNK : (index + 1) * CHUNK]


def offered(desk: UploadDesk, data: bytes, sender: str = ME, now: float = 0.0, seen: int = 0) -> object:
    return desk.receive(sender, Offer(outline=outline_of(data), seen=seen), memoryview(b""), now)


def ranges(message: object) -> tuple[tuple[int, int], ...]:
    assert isinstance(message, Grant)
    return message.ranges


# -- both ends


@pytest.mark.parametrize("count", [1, 2, 8, 15, 16])
def test_a_lossless_upload_of_a_window_takes_an_offer_two_grants_and_its_chunks(count: int) -> None:
    network = Network(ME)
    network.devices[ME].offer(envelope(1, count * CHUNK))
    network.run(60)
    assert network.sent == {"Offer": 1, "Grant": 2, "Chunk": count}
    assert network.desk.counters.dropped == 0


def test_a_lossless_upload_sends_each_chunk_once_and_grants_half_windows() -> None:
    network = Network(ME)
    network.devices[ME].offer(envelope(1, 100 * CHUNK))
    network.run(60)
    assert network.sent == {"Offer": 1, "Grant": 1 + 11 + 1, "Chunk": 100}  # 16, then 84 by 8, then done


def test_the_time_of_the_last_chunk_is_reported() -> None:
    network = Network(ME, faults=Faults(delay_s=1.0))
    network.devices[ME].offer(envelope(1, 3 * CHUNK))
    network.run(60)
    assert [fact.last_chunk_at for fact in network.received] == [3.0]  # offer, grant, chunks


def test_a_slow_link_is_not_flooded_with_copies() -> None:
    """Each chunk takes six seconds, longer than the desk waits at first, and queues behind those before it."""
    desk = desk_of(regrant_s=5.0)
    data = envelope(1, 40 * CHUNK)
    upload = upload_of(data)
    now, sent_chunks, fact = 0.0, 0, None
    line: list[tuple[float, Packet]] = []
    free_at = 0.0
    while fact is None and now < 2000:
        for packet in sent(upload, now):
            is_chunk = isinstance(packet.message, Chunk)
            sent_chunks += is_chunk
            free_at = max(free_at, now) + (6.0 if is_chunk else 0.01)
            line.append((free_at, packet))
        due = [upload.due_at, desk.due_at, line[0][0] if line else None]
        now = max(now, min(at for at in due if at is not None))
        while line and line[0][0] <= now:
            _, packet = line.pop(0)
            fact = desk.receive(ME, packet.message, memoryview(packet.tail), now) or fact
        upload.tick(now)
        desk.tick(now)
        for _, message in drawn(desk, now):
            upload.receive(message)  # type: ignore[arg-type]
    assert isinstance(fact, Received)
    assert sent_chunks <= 40 + 16  # at most the first window goes twice


def test_after_a_restart_of_the_coordinator_chunks_are_answered_with_gone() -> None:
    network = Network(ME, faults=Faults(delay_s=0.1))
    network.devices[ME].offer(envelope(1, 100 * CHUNK))
    network.run(0.5)
    assert network.desk.counters.accepted
    network.restart_coordinator()
    network.run(60)
    assert network.sent["Gone"]
    assert [fact.size for fact in network.received] == [100 * CHUNK]
    assert network.now == 60
    assert network.received[0].last_chunk_at < 5


def test_after_a_reconnection_only_what_is_missing_is_sent() -> None:
    network = Network(ME, faults=Faults(delay_s=0.1))
    network.devices[ME].offer(envelope(1, 100 * CHUNK))
    network.run(0.65)
    accepted = network.desk.counters.accepted
    network.reconnect(ME)
    network.run(60)
    assert accepted
    assert network.sent["Chunk"] <= 100 + 16
    assert network.received[0].last_chunk_at < 10


@pytest.mark.parametrize("size", [1_000_000, 40_000_000])
def test_bytes_pass_through_without_being_held(size: int) -> None:
    """Beyond source and sink no more is held than a few chunks and the bookkeeping."""
    data = bytes(size)
    settings = UploadSettings()
    upload = Upload(lambda: 0.5, settings)
    sink = BufferSink(size)
    desk = UploadDesk(lambda sender, outline: sink)
    fact = None
    tracemalloc.start()
    try:
        upload.offer(data)
        while fact is None:
            packet = upload.next_packet(0.0)
            if packet is not None:
                message, tail = decode(packet.encode())
                fact = desk.receive(ME, message, tail, 0.0)
            for _, message in drawn(desk):
                upload.receive(message)  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(fact, Received)
    assert fact.sink is sink
    assert sink.data == data
    assert peak < 4 * settings.chunk_bytes


# -- the device


def test_nothing_is_sent_without_a_grant() -> None:
    data = envelope(1, 20 * CHUNK)
    upload = upload_of(data)
    assert [packet.message for packet in sent(upload)] == [Offer(outline=outline_of(data))]
    assert upload.due_at == 2.0
    name = outline_of(data).transfer
    upload.receive(Grant(transfer=name, number=1, ranges=((3, 5), (19, 4000))))
    assert upload.due_at is None
    assert [(packet.message, packet.tail) for packet in sent(upload)] == [chunk(data, index) for index in (3, 4, 19)]
    assert upload.due_at == 2.0


def test_an_offer_is_repeated_with_growing_pauses_and_says_what_was_seen() -> None:
    upload = upload_of(envelope(1, 300), retry_limit_s=10.0)
    now, times = 0.0, []
    for _ in range(6):
        assert len(sent(upload, now)) == 1
        times.append(now)
        now = upload.due_at
        upload.tick(now - 0.01)
        assert not sent(upload, now)
        upload.tick(now)
    assert times == [0, 2, 6, 14, 24, 34]
    upload.receive(Grant(transfer=upload.transfer, number=7, ranges=((0, 1),)))
    (only,) = sent(upload, now)
    assert isinstance(only.message, Chunk)
    assert upload.due_at == now + 2.0
    upload.tick(upload.due_at)
    assert sent(upload, now + 2.0)[0].message.seen == 7


def test_a_copy_of_a_grant_is_no_second_grant() -> None:
    upload = upload_of(envelope(1, 300))
    grant = Grant(transfer=upload.transfer, number=1, ranges=((0, 2),))
    upload.receive(grant)
    assert len(sent(upload)) == 2
    upload.receive(grant)
    assert not sent(upload)
    assert upload.counters.duplicate == 1


def test_done_is_said_once_for_each_offer() -> None:
    data = envelope(1, 300)
    upload = upload_of(data)
    done = Grant(transfer=upload.transfer, number=1, done=True)
    assert upload.receive(done) == Uploaded(done.transfer)
    assert upload.transfer is upload.due_at is None
    assert upload.receive(done) is None
    assert not sent(upload)
    upload.offer(data)
    assert len(sent(upload)) == 1
    assert upload.receive(done) == Uploaded(done.transfer)


def test_a_newer_envelope_takes_the_place_of_an_older_one() -> None:
    old, new = envelope(1, 900), envelope(2, 900)
    upload = upload_of(old)
    upload.receive(Grant(transfer=outline_of(old).transfer, number=1, ranges=((0, 5),)))
    upload.offer(new)
    assert [packet.message for packet in sent(upload)] == [Offer(outline=outline_of(new))]
    assert upload.receive(Grant(transfer=outline_of(old).transfer, number=2, done=True)) is None
    assert upload.transfer == outline_of(new).transfer
    assert upload.counters.unknown_transfer == 1


def test_the_same_envelope_under_way_changes_nothing() -> None:
    data = envelope(1, 900)
    upload = upload_of(data)
    sent(upload)
    assert upload.offer(bytes(bytearray(data))) == outline_of(data).transfer
    assert not sent(upload)


def test_gone_makes_it_offer_again_once() -> None:
    upload = upload_of(envelope(1, 900))
    gone = Gone(transfer=upload.transfer)
    sent(upload)
    upload.receive(Grant(transfer=upload.transfer, number=1, ranges=((0, 9),)))
    upload.next_packet(0.0)
    for _ in range(5):
        upload.receive(gone)
    assert [type(packet.message) for packet in sent(upload)] == [Offer]
    upload.receive(gone)
    assert not sent(upload)


def test_resuming_says_where_it_stands_before_anything_else() -> None:
    upload = upload_of(envelope(1, 900))
    upload.receive(Grant(transfer=upload.transfer, number=3, ranges=((0, 9),)))
    upload.resume()
    (only,) = sent(upload)
    assert isinstance(only.message, Offer)
    assert only.message.seen == 3
    idle = Upload(lambda: 0.0)
    idle.resume()
    assert idle.next_packet(0.0) is None


def test_a_device_ignores_what_is_not_for_it() -> None:
    upload = upload_of(envelope(1, 900))
    sent(upload)
    for message in (Want(transfer=upload.transfer), Offer(outline=outline_of(b"a"))):
        assert upload.receive(message) is None
    assert upload.receive(Grant(transfer=upload.transfer, number=1, ranges=((50, 60),))) is None
    assert not sent(upload)
    assert (upload.counters.foreign, upload.counters.out_of_range) == (2, 1)
    assert upload.due_at is not None
    with pytest.raises(ValueError, match="of 900 bytes, the envelope has 3"):
        upload.offer(b"abc", outline_of(envelope(1, 900)))


# -- the desk


def test_the_pool_is_shared_in_turn() -> None:
    desk = desk_of(pool_chunks=16, window_chunks=8)
    data = {name: envelope(number, 100 * CHUNK) for number, name in enumerate("abcd")}
    for name in data:
        offered(desk, data[name], name)
    assert [(name, ranges(grant)) for name, grant in drawn(desk)] == [("a", ((0, 8),)), ("b", ((0, 8),))]
    assert desk.in_flight == 16
    turns = []
    for index in range(4):
        for name in "ab":
            desk.receive(name, *chunk(data[name], index), 0.0)
        turns += [name for name, _ in drawn(desk)]
    assert turns == ["c", "d"]
    assert desk.in_flight == 16


def test_a_greedy_sender_gets_a_window_and_no_more() -> None:
    desk = desk_of(window_chunks=4)
    data = envelope(1, 100 * CHUNK)
    for _ in range(10):
        offered(desk, data)
        drawn(desk)
    assert desk.in_flight == 4
    desk.receive(ME, *chunk(data, 50), 0.0)
    assert desk.counters.uncredited == 1
    assert desk.counters.accepted == 0


def test_what_was_seen_and_did_not_arrive_is_granted_again_at_once() -> None:
    desk = desk_of()
    data = envelope(1, 10 * CHUNK)
    offered(desk, data)
    drawn(desk)
    for index in (0, 1, 3, 4, 5, 7, 8):
        desk.receive(ME, *chunk(data, index), 1.0)
    offered(desk, data, now=1.5, seen=1)
    assert [ranges(grant) for _, grant in drawn(desk, 1.5)] == [((2, 3), (6, 7), (9, 10))]


def test_a_lost_grant_is_made_again_when_the_sender_asks_again_after_a_while() -> None:
    desk = desk_of(regrant_s=5.0)
    data = envelope(1, 10 * CHUNK)
    offered(desk, data)
    drawn(desk)
    offered(desk, data, now=1.0)  # this may have crossed the grant
    assert not drawn(desk, 1.0)
    offered(desk, data, now=3.0)
    assert [ranges(grant) for _, grant in drawn(desk, 3.0)] == [((0, 10),)]


def test_a_sender_that_was_slow_is_waited_for_as_long_as_it_is() -> None:
    desk = desk_of(regrant_s=5.0)
    data = envelope(1, 10 * CHUNK)
    offered(desk, data)
    drawn(desk)
    desk.tick(5.0)
    drawn(desk, 5.0)
    assert desk.due_at == 15.0
    desk.receive(ME, *chunk(data, 0), 6.0)
    desk.receive(ME, *chunk(data, 1), 6.25)
    assert desk.due_at == 11.25
    desk.receive(ME, *chunk(data, 2), 10.25)
    desk.tick(11.25)
    assert desk.due_at == 18.25
    assert desk.in_flight == 7


def test_what_a_whole_window_has_overtaken_is_granted_again() -> None:
    desk = desk_of(window_chunks=4)
    data = envelope(1, 40 * CHUNK)
    offered(desk, data)
    granted: list[tuple[int, int]] = []
    for index in (*range(1, 12),):
        granted += [pair for _, grant in drawn(desk) for pair in ranges(grant)]
        desk.receive(ME, *chunk(data, index), 0.0)
    granted += [pair for _, grant in drawn(desk) for pair in ranges(grant)]
    assert granted[:3] == [(0, 4), (4, 6), (0, 1)]
    assert granted.count((0, 1)) == 2
    assert desk.due_at == 5.0


def test_silence_takes_the_credit_back_and_a_silent_sender_gets_none() -> None:
    desk = desk_of(regrant_s=5.0, unanswered_limit=3)
    data = envelope(1, 10 * CHUNK)
    offered(desk, data)
    times, now = [], 0.0
    while now < 100:
        for _, grant in drawn(desk, now):
            assert ranges(grant) == ((0, 10),)
            times.append(now)
        now += 1.0
        assert desk.due_at is not None
        assert desk.tick(now) == ()
    assert times == [0, 5, 15]
    assert desk.in_flight == 0
    offered(desk, data, now=now)
    assert len(drawn(desk, now)) == 1


def test_an_idle_upload_is_given_up_and_its_sink_discarded() -> None:
    sinks = []

    def open_sink(sender: str, outline: Outline) -> ProofSink:
        sinks.append(ProofSink(outline.size))
        return sinks[-1]

    desk = UploadDesk(open_sink, DeskSettings(chunk_limit_bytes=CHUNK, idle_s=100.0))
    data = envelope(1, 10 * CHUNK)
    offered(desk, data)
    assert not sinks
    drawn(desk)
    desk.receive(ME, *chunk(data, 4), 7.0)
    given_up: list[Abandoned] = []
    while desk.due_at is not None:
        given_up += desk.tick(desk.due_at)
        drawn(desk)
    assert given_up == [Abandoned(ME, outline_of(data).transfer, 1, 10)]
    assert [sink.discarded for sink in sinks] == [True]
    assert (desk.in_flight, desk.uploads) == (0, 0)
    desk.receive(ME, *chunk(data, 5), 200.0)
    assert drawn(desk) == [(ME, Gone(transfer=outline_of(data).transfer))]


def test_a_newer_offer_replaces_an_older_upload() -> None:
    desk = desk_of()
    old, new = envelope(1, 10 * CHUNK), envelope(2, 10 * CHUNK)
    offered(desk, old)
    drawn(desk)
    offered(desk, new)
    assert [message.transfer for _, message in drawn(desk)] == [outline_of(new).transfer]
    assert (desk.in_flight, desk.uploads) == (10, 1)


def completed(desk: UploadDesk, data: bytes) -> object:
    offered(desk, data)
    drawn(desk)
    facts = [desk.receive(ME, *chunk(data, index), 3.0) for index in range(outline_of(data).count)]
    assert facts[:-1] == [None] * (len(facts) - 1)
    return facts[-1]


def test_a_complete_upload_is_reported_once_and_repeated_on_request() -> None:
    desk = desk_of()
    data = envelope(1, 5 * CHUNK)
    fact = completed(desk, data)
    assert isinstance(fact, Received)
    assert (fact.sender, fact.transfer, fact.size) == (ME, outline_of(data).transfer, 500)
    assert bytes(fact.sink.data) == data  # type: ignore[attr-defined]
    ((_, done),) = drawn(desk)
    assert isinstance(done, Grant)
    assert done.done
    assert desk.receive(ME, *chunk(data, 2), 4.0) is None
    assert not drawn(desk)
    assert offered(desk, data) == Repeated(ME, fact.transfer)
    assert drawn(desk) == [(ME, done)]


def test_what_is_forgotten_is_taken_anew() -> None:
    desk = desk_of()
    data = envelope(1, 5 * CHUNK)
    completed(desk, data)
    drawn(desk)
    offered(desk, data)
    desk.forget(ME, outline_of(data).transfer)
    assert drawn(desk) == [(ME, Gone(transfer=outline_of(data).transfer))]
    assert isinstance(completed(desk, data), Received)
    offered(desk, envelope(2, 500))
    desk.forget(ME)
    assert (desk.uploads, desk.due_at is None) == (0, False)
    desk.tick(5.0)
    assert desk.due_at is None


def test_each_kind_of_wrong_chunk_is_dropped_and_counted() -> None:
    desk = desk_of()
    data = envelope(1, 10 * CHUNK - 1)
    offered(desk, data)
    drawn(desk)
    name = outline_of(data).transfer
    good, tail = chunk(data, 3)
    for message, content in [
        (good, tail),
        (good, tail),
        (Chunk(transfer=name, index=4), tail[:-1]),
        (Chunk(transfer=name, index=9), tail),
        (Chunk(transfer=name, index=10), tail),
        (Chunk(transfer=name, index=5), tail),
        (Chunk(transfer="0" * 32, index=5), tail),
        (Manifest(outline=outline_of(data)), tail[:0]),
        (Gone(transfer=name), tail[:0]),
    ]:
        assert desk.receive(ME, message, content, 0.0) is None
    found = desk.counters
    assert (found.accepted, found.duplicate, found.truncated, found.oversized, found.out_of_range) == (1, 1, 1, 1, 1)
    assert (found.wrong_hash, found.unknown_transfer, found.foreign, found.dropped) == (1, 1, 2, 8)


@pytest.mark.parametrize(
    ("changes", "size", "reason"),
    [
        ({"envelope_limit_bytes": 999}, 1000, "an envelope of 1000 bytes, 999 are allowed"),
        ({"chunk_limit_bytes": 99}, 1000, "chunks of 100 bytes, 99 are allowed"),
        ({"chunk_count_limit": 9}, 1000, "an envelope of 10 chunks, 9 are allowed: use larger ones"),
    ],
)
def test_an_offer_above_a_limit_is_refused(changes: dict[str, int], size: int, reason: str) -> None:
    desk = desk_of(**changes)
    data = envelope(1, size)
    assert offered(desk, data) == Refused(ME, outline_of(data).transfer, reason)
    assert not drawn(desk)
    assert (desk.uploads, desk.counters.oversized) == (0, 1)


def test_a_sink_that_fails_loses_no_chunk() -> None:
    class Full(ProofSink):
        full = True

        def write(self, offset: int, data: memoryview) -> None:
            if self.full:
                raise OSError("no space left on device")
            super().write(offset, data)

    desk = UploadDesk(lambda sender, outline: Full(outline.size), DeskSettings(chunk_limit_bytes=CHUNK))
    data = envelope(1, 2 * CHUNK)
    offered(desk, data)
    drawn(desk)
    with pytest.raises(OSError, match="no space"):
        desk.receive(ME, *chunk(data, 0), 0.0)
    Full.full = False
    desk.receive(ME, *chunk(data, 1), 0.0)
    desk.tick(5.0)
    assert [ranges(grant) for _, grant in drawn(desk, 5.0)] == [((0, 1),)]
    assert isinstance(desk.receive(ME, *chunk(data, 0), 6.0), Received)


def test_bookkeeping_for_many_senders_is_small() -> None:
    """200 senders with 40 MB each, one window in, of data that goes nowhere: hashes, bits, and little else."""

    class Nowhere:
        def write(self, offset: int, data: memoryview) -> None:
            pass

        def discard(self) -> None:
            pass

    data = bytes(40_000_000)
    message = Packet(Offer(outline=Outline.of(data))).encode()
    desk = UploadDesk(lambda sender, outline: Nowhere())
    transfer = Outline.of(data).transfer
    tracemalloc.start()
    try:
        for number in range(200):
            desk.receive(f"device-{number}", *decode(message), 0.0)
        for addressed, _ in zip(iter(lambda: desk.next_packet(0.0), None), range(16), strict=False):
            for index in range(16):
                desk.receive(addressed.receiver, Chunk(transfer=transfer, index=index), memoryview(data)[:120_000], 0.0)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert desk.counters.accepted == 256
    assert used < 200 * 10_000
