"""Broadcasts: the coordinator's machine and the devices', step by step."""

import math
import tracemalloc

import pytest

from tierwise.core.transfer import (
    Broadcast,
    BroadcastSettings,
    BufferSink,
    Chunk,
    Download,
    Downloaded,
    DownloadSettings,
    Gone,
    Grant,
    Manifest,
    Packet,
    Want,
    decode,
)

from .network import CHUNK, Faults, Network, ProofSink, envelope, outline_of

NOTHING = memoryview(b"")


def broadcast_of(data: bytes, **changes: object) -> Broadcast:
    settings = BroadcastSettings(**{"chunk_bytes": CHUNK, **changes})  # type: ignore[arg-type]
    broadcast = Broadcast(lambda: 1.0, settings)
    broadcast.publish(data, "g1.r1")
    return broadcast


def drawn(machine: Broadcast | Download, now: float = 0.0) -> list[Packet]:
    found = []
    while (packet := machine.next_packet(now)) is not None:
        found.append(packet)
    return found


def chunks(packets: list[Packet]) -> list[int]:
    return [packet.message.index for packet in packets if isinstance(packet.message, Chunk)]


def download_of(**changes: object) -> Download:
    settings = DownloadSettings(**{"chunk_limit_bytes": CHUNK, **changes})  # type: ignore[arg-type]
    return Download(lambda outline, tag: ProofSink(outline.size), lambda: 1.0, settings)


def manifest(data: bytes, tag: str = "g1.r1") -> tuple[Manifest, memoryview]:
    outline = outline_of(data)
    return Manifest(outline=outline, tag=tag), memoryview(data) if outline.count == 1 else NOTHING


def chunk(data: bytes, index: int) -> tuple[Chunk, memoryview]:
    return Chunk(transfer=outline_of(data).transfer, index=index), memoryview(data)[index * CHUNK : (index + 1) * CHUNK]


# -- both ends


@pytest.mark.parametrize("devices", [2, 200])
@pytest.mark.parametrize("size", [CHUNK, 30 * CHUNK])
def test_what_is_published_does_not_grow_with_the_devices(devices: int, size: int) -> None:
    network = Network(*(f"d{number}" for number in range(devices)))
    network.publish(envelope(1, size), "g1.r1")
    network.run(600)
    assert network.broadcast.published_bytes == size
    assert network.sent == ({"Manifest": 1} if size == CHUNK else {"Manifest": 1, "Chunk": 30})
    assert all(len(device.downloaded) == 1 for device in network.devices.values())


def test_a_loss_that_many_share_is_made_good_once() -> None:
    network = Network(*(f"d{number}" for number in range(100)), faults=Faults(loss=0.01))
    network.publish(envelope(1, 30 * CHUNK))
    network.run(600)
    assert all(len(device.downloaded) == 1 for device in network.devices.values())
    assert network.broadcast.published_bytes <= 4 * 30 * CHUNK
    assert network.sent["Want"] < 100 * 3


def test_a_late_joiner_gets_the_manifest_and_asks_for_the_rest() -> None:
    network = Network("early", "late")
    network._epochs["late"] += 1  # what is sent now passes it by
    network.publish(envelope(1, 5 * CHUNK), "g1.r1")
    network._epochs["late"] += 1
    network.run(10)
    assert not network.devices["late"].downloaded
    network.reconnect("late")
    network.run(20)
    assert [fact.tag for fact in network.devices["late"].downloaded] == ["g1.r1"]
    assert network.sent == {"Manifest": 1, "Chunk": 10, "Want": 1}


def test_bytes_pass_through_without_being_held() -> None:
    size = 40_000_000
    data = bytes(size)
    sink = BufferSink(size)
    broadcast = Broadcast(lambda: 0.5, BroadcastSettings(bytes_per_s=math.inf, burst_bytes=0))
    download = Download(lambda outline, tag: sink, lambda: 0.5)
    fact = None
    tracemalloc.start()
    try:
        broadcast.publish(data, "g1.r1")
        while (packet := broadcast.next_packet(0.0)) is not None:
            fact = download.receive(*decode(packet.encode()), 0.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(fact, Downloaded)
    assert sink.data == data
    assert peak < 4 * 120_000


# -- the coordinator


def test_a_manifest_goes_first_then_the_chunks_in_order() -> None:
    data = envelope(1, 4 * CHUNK)
    packets = drawn(broadcast_of(data))
    assert packets[0].message == manifest(data)[0]
    assert packets[0].retained
    assert chunks(packets) == [0, 1, 2, 3]
    assert b"".join(packet.tail for packet in packets[1:]) == data


def test_a_small_envelope_is_inline() -> None:
    data = envelope(1, CHUNK)
    (packet,) = drawn(broadcast_of(data))
    assert packet.tail == data


def test_the_pace_is_kept() -> None:
    broadcast = broadcast_of(envelope(1, 50 * CHUNK), bytes_per_s=10.0 * CHUNK, burst_bytes=5 * CHUNK)
    assert len(chunks(drawn(broadcast))) == 6  # the burst, and a last one beyond it
    times = []
    while broadcast.due_at is not None:
        now = broadcast.due_at
        times += [now] * len(chunks(drawn(broadcast, now)))
    assert len(times) == 44
    assert times[-1] == pytest.approx(4.4)


def test_wishes_are_collected_and_met_once() -> None:
    data = envelope(1, 10 * CHUNK)
    name = outline_of(data).transfer
    broadcast = broadcast_of(data, collect_s=1.0, interval_s=2.0)
    drawn(broadcast, 0.0)
    assert broadcast.receive(Want(transfer=name, ranges=((3, 5),)), 10.0) is None
    broadcast.receive(Want(transfer=name, ranges=((1, 2), (4, 7))), 10.5)
    assert not drawn(broadcast, 10.5)
    assert broadcast.due_at == 11.0
    broadcast.tick(11.0)
    broadcast.receive(Want(transfer=name, ranges=((3, 5),)), 11.0)  # they are in line already
    assert chunks(drawn(broadcast, 11.0)) == [1, 3, 4, 5, 6]
    broadcast.receive(Want(transfer=name, ranges=((3, 4),)), 12.9)
    assert broadcast.due_at is None
    assert broadcast.counters.duplicate == 2
    broadcast.receive(Want(transfer=name, ranges=((3, 4),)), 13.0)
    broadcast.tick(14.0)
    assert chunks(drawn(broadcast, 14.0)) == [3]


def test_who_asks_for_what_is_over_gets_gone_and_all_get_the_manifest() -> None:
    data = envelope(1, 10 * CHUNK)
    broadcast = broadcast_of(data)
    drawn(broadcast, 0.0)
    gone = Gone(transfer="0" * 32)
    assert [broadcast.receive(Want(transfer="0" * 32), now) for now in (1.0, 3.0, 3.1)] == [gone] * 3
    assert [packet.message for packet in drawn(broadcast, 3.1)] == [manifest(data)[0]]
    assert broadcast.receive(Want(transfer=outline_of(data).transfer), 6.0) is None
    assert [packet.message for packet in drawn(broadcast, 6.0)] == [manifest(data)[0]]
    broadcast.withdraw()
    assert broadcast.receive(Want(transfer=outline_of(data).transfer), 9.0) == Gone(transfer=outline_of(data).transfer)
    assert not drawn(broadcast, 9.0)
    assert broadcast.transfer is broadcast.due_at is None


def test_the_next_round_takes_the_place_of_what_has_not_gone_out() -> None:
    broadcast = broadcast_of(envelope(1, 10 * CHUNK))
    broadcast.next_packet(0.0)
    broadcast.next_packet(0.0)
    new = envelope(2, 3 * CHUNK)
    broadcast.publish(new, "g1.r2")
    packets = drawn(broadcast)
    assert packets[0].message == manifest(new, "g1.r2")[0]
    assert chunks(packets) == [0, 1, 2]
    broadcast.publish(new, "g1.r2")
    assert [type(packet.message) for packet in drawn(broadcast)] == [Manifest]


def test_the_coordinator_drops_what_makes_no_sense() -> None:
    data = envelope(1, 10 * CHUNK)
    broadcast = broadcast_of(data)
    drawn(broadcast)
    assert broadcast.receive(Want(transfer=outline_of(data).transfer, ranges=((0, 2**40),)), 10.0) is None
    assert broadcast.receive(Gone(transfer=outline_of(data).transfer), 10.0) is None
    assert (broadcast.counters.out_of_range, broadcast.counters.foreign) == (1, 1)
    assert broadcast.due_at is None
    with pytest.raises(ValueError, match="of 1000 bytes, the envelope has 1"):
        broadcast.publish(b"a", "", outline=outline_of(data))


# -- the device


def test_chunks_in_any_order_make_the_envelope_once() -> None:
    data = envelope(1, 5 * CHUNK - 7)
    download = download_of()
    assert download.receive(*manifest(data), 0.0) is None
    facts = [download.receive(*chunk(data, index), 1.0) for index in (4, 0, 0, 3, 1, 2, 2)]
    assert facts[:5] == [None] * 5
    done = facts[5]
    assert isinstance(done, Downloaded)
    assert (done.tag, done.size, bytes(done.sink.data)) == ("g1.r1", len(data), data)  # type: ignore[attr-defined]
    assert facts[6] is None
    assert download.receive(*manifest(data), 2.0) is None
    assert download.due_at is None
    assert (download.counters.accepted, download.counters.duplicate) == (5, 2)


def test_what_is_missing_is_asked_for_after_a_quiet_while_with_growing_pauses() -> None:
    data = envelope(1, 6 * CHUNK)
    download = download_of(quiet_s=2.0, quiet_limit_s=7.0, want_limit=4)
    download.receive(*manifest(data), 0.0)
    for index in (1, 4):
        download.receive(*chunk(data, index), 1.5)
    times = []
    while download.due_at is not None:
        now = download.due_at
        download.tick(now)
        (packet,) = drawn(download, now)
        assert packet.message == Want(transfer=outline_of(data).transfer, ranges=((0, 1), (2, 4), (5, 6)))
        times.append(now)
    assert times == [3.5, 7.5, 14.5, 21.5]
    download.receive(*chunk(data, 0), 50.0)
    assert download.due_at == 52.0
    download.resume(60.0)
    assert download.due_at == 62.0


def test_a_few_chunks_are_kept_until_their_manifest_comes() -> None:
    data = envelope(1, 6 * CHUNK)
    download = download_of(early_chunks=4)
    for index in range(6):
        assert download.receive(*chunk(data, index), 0.0) is None
    assert download.counters.unknown_transfer == 2
    download.receive(*manifest(data), 1.0)
    assert download.counters.accepted == 4
    download.tick(10.0)
    assert [packet.message for packet in drawn(download, 10.0)] == [
        Want(transfer=outline_of(data).transfer, ranges=((4, 6),))
    ]
    short = envelope(2, 2 * CHUNK)
    other = download_of()
    other.receive(*chunk(short, 1), 0.0)
    other.receive(*chunk(short, 0), 0.0)
    assert isinstance(other.receive(*manifest(short), 0.0), Downloaded)


def test_without_a_manifest_it_asks_for_that() -> None:
    data = envelope(1, 6 * CHUNK)
    download = download_of()
    download.receive(*chunk(data, 3), 0.0)
    assert download.due_at == 2.0
    download.tick(2.0)
    assert [packet.message for packet in drawn(download, 2.0)] == [Want(transfer=outline_of(data).transfer)]


def test_a_newer_manifest_replaces_an_older_download() -> None:
    sinks = []

    def open_sink(outline: object, tag: str) -> ProofSink:
        sinks.append(ProofSink(600))
        return sinks[-1]

    old, new = envelope(1, 6 * CHUNK), envelope(2, 6 * CHUNK)
    download = Download(open_sink, lambda: 1.0, DownloadSettings(chunk_limit_bytes=CHUNK))
    download.receive(*manifest(old), 0.0)
    download.receive(*chunk(old, 0), 0.0)
    download.receive(*manifest(new, "g1.r2"), 0.0)
    assert download.transfer == outline_of(new).transfer
    download.receive(*chunk(old, 1), 0.0)
    assert [sink.discarded for sink in sinks] == [True]
    assert download.counters.unknown_transfer == 1
    facts = [download.receive(*chunk(new, index), 0.0) for index in range(6)]
    assert facts[-1].tag == "g1.r2"  # type: ignore[union-attr]


def test_a_stale_manifest_replaces_nothing() -> None:
    old, new = envelope(1, 50), envelope(2, 6 * CHUNK)
    download = download_of()
    download.receive(Manifest(outline=outline_of(new), order=2), NOTHING, 0.0)
    assert download.receive(Manifest(outline=outline_of(old), order=1), memoryview(old), 0.0) is None
    assert download.transfer == outline_of(new).transfer
    assert download.counters.stale == 1
    assert isinstance(download.receive(Manifest(outline=outline_of(old), order=3), memoryview(old), 0.0), Downloaded)


def test_gone_ends_a_download_and_asks_what_there_is_instead() -> None:
    data = envelope(1, 6 * CHUNK)
    download = download_of()
    download.receive(*manifest(data), 0.0)
    download.receive(Gone(transfer="0" * 32), NOTHING, 0.0)
    assert download.transfer is not None
    download.receive(Gone(transfer=outline_of(data).transfer), NOTHING, 0.0)
    assert download.transfer is None
    download.tick(2.0)
    assert [packet.message for packet in drawn(download, 2.0)] == [Want(transfer=outline_of(data).transfer)]
    download.receive(*manifest(data), 3.0)
    assert download.transfer == outline_of(data).transfer


def test_a_device_refuses_what_is_too_large_and_drops_what_is_not_for_it() -> None:
    data = envelope(1, 6 * CHUNK)
    for changes in ({"envelope_limit_bytes": 599}, {"chunk_limit_bytes": 99}, {"chunk_count_limit": 5}):
        download = download_of(**changes)
        download.receive(*manifest(data), 0.0)
        assert download.transfer is None
        assert download.counters.oversized == 1
    download.receive(Grant(transfer="0" * 32, number=1), NOTHING, 0.0)
    assert download.counters.foreign == 1
    assert download.due_at is None


def test_a_forged_inline_envelope_is_dropped() -> None:
    data = envelope(1, 50)
    download = download_of()
    message, _ = manifest(data)
    assert download.receive(message, memoryview(bytes(50)), 0.0) is None
    assert download.counters.wrong_hash == 1
    download.resume(1.0)
    download.tick(10.0)
    assert [packet.message for packet in drawn(download, 10.0)] == [
        Want(transfer=outline_of(data).transfer, ranges=((0, 1),))
    ]
