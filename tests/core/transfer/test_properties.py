"""Whatever the network does: everything arrives, once, byte for byte, under credit, in bounded time."""

import random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tierwise.core.transfer import DeskSettings

from .network import CHUNK, Faults, Network, envelope, outline_of

faults = st.builds(
    Faults,
    loss=st.floats(0, 0.5),
    copy=st.floats(0, 0.3),
    cut=st.floats(0, 0.2),
    foreign=st.floats(0, 0.3),
    delay_s=st.floats(0, 0.5),
    spread_s=st.floats(0, 2.0),
)
seeds = st.integers(0, 2**32)
long_run = settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink what takes thousands of events takes minutes
)
ENOUGH_S = 20_000.0


@st.composite
def desks(draw: st.DrawFn) -> DeskSettings:
    window = draw(st.integers(1, 8))
    return DeskSettings(
        chunk_limit_bytes=CHUNK,
        window_chunks=window,
        pool_chunks=draw(st.integers(1, 20)),
    )


@long_run
@given(seeds, faults, desks(), st.lists(st.integers(1, 15 * CHUNK), min_size=1, max_size=5), st.booleans())
def test_every_upload_arrives_once_and_under_credit(seed, mistreatment, desk, sizes, restarting) -> None:
    network = Network(*(f"d{number}" for number in range(len(sizes))), seed=seed, faults=mistreatment, desk=desk)
    chance = random.Random(seed)
    envelopes = {}
    for number, (device, size) in enumerate(zip(network.devices.values(), sizes, strict=True)):
        device.offer(envelope(seed + 100 + number, size))  # replaced before long
        network.run(network.now + chance.random())
        envelopes[device.name] = envelope(seed + number, size)
        device.offer(envelopes[device.name])
    for _ in range(chance.randrange(6)):
        network.run(network.now + 10 * chance.random())
        if restarting and chance.random() < 0.4:
            network.restart_coordinator()
        else:
            network.reconnect(chance.choice(list(network.devices)))
    network.run(network.now + ENOUGH_S)

    for name, data in envelopes.items():
        transfer = outline_of(data).transfer
        assert [fact.transfer for fact in network.devices[name].uploaded][-1] == transfer
        facts = [fact for fact in network.received if (fact.sender, fact.transfer) == (name, transfer)]
        assert facts
        assert all(bytes(fact.sink.data) == data and fact.size == len(data) for fact in facts)
        if not restarting:
            assert len(facts) == 1
    for chunk, times in network.chunks.items():
        assert times <= network.granted[chunk], "sent without credit"
    assert network.desk.in_flight == 0
    assert network.desk.uploads == 0
    assert network.desk.due_at is None
    assert all(device.upload.due_at is None for device in network.devices.values())


@long_run
@given(seeds, faults, st.lists(st.integers(1, 40 * CHUNK), min_size=1, max_size=3), st.integers(1, 6))
def test_every_broadcast_reaches_every_device_once(seed, mistreatment, sizes, devices) -> None:
    network = Network(*(f"d{number}" for number in range(devices)), seed=seed, faults=mistreatment)
    chance = random.Random(seed)
    for number, size in enumerate(sizes):
        network.publish(envelope(seed + number, size), f"g1.r{number}", order=number)
        for _ in range(chance.randrange(3)):
            network.run(network.now + 3 * chance.random())
            network.reconnect(chance.choice(list(network.devices)))
    network.run(network.now + ENOUGH_S)

    last = envelope(seed + len(sizes) - 1, sizes[-1])
    for device in network.devices.values():
        transfers = [fact.transfer for fact in device.downloaded]
        assert len(transfers) == len(set(transfers))
        assert outline_of(last).transfer in transfers
        for fact in device.downloaded:
            number = int(fact.tag.removeprefix("g1.r"))
            assert bytes(fact.sink.data) == envelope(seed + number, sizes[number])
    assert network.broadcast.due_at is None


@long_run
@given(seeds, st.integers(0, 30 * CHUNK - 1), st.integers(2, 8))
def test_counters_add_up(seed, size, devices) -> None:
    """Every readable chunk that the desk hears is counted once, as what it is."""
    network = Network(
        *(f"d{number}" for number in range(devices)),
        seed=seed,
        faults=Faults(loss=0.2, copy=0.3, cut=0.3, foreign=0.3, spread_s=1.0),
    )
    heard = {"chunks": 0, "foreign": 0}
    receive = network.desk.receive

    def counted(sender, message, tail, now):
        if type(message).__name__ == "Chunk":
            heard["chunks"] += 1
        elif type(message).__name__ != "Offer":
            heard["foreign"] += 1
        return receive(sender, message, tail, now)

    network.desk.receive = counted
    for number, device in enumerate(network.devices.values()):
        device.offer(envelope(seed + number, size + 1))
    network.run(ENOUGH_S)
    counters = network.desk.counters
    assert counters.foreign == heard["foreign"]
    assert counters.accepted + counters.dropped - counters.foreign == heard["chunks"]
    assert counters.accepted == devices * outline_of(envelope(0, size + 1)).count
    assert len(network.received) == devices
