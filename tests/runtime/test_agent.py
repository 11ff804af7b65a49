"""Real agents, and devices in the tests' own hands, that come and go and misbehave."""

import functools
import hashlib
import threading
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import anyio
import msgspec
import numpy as np
import pytest

from tierwise.core import events as e
from tierwise.core import messages as m
from tierwise.core.envelope import open_from_coordinator, open_from_device, seal
from tierwise.core.errors import ConfigurationError, DeviceError, FederationError
from tierwise.core.events import Refusal
from tierwise.core.framing import to_bytes
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import BlobHash, GroupId
from tierwise.core.learning import Dataset, FitStopped, LocalData
from tierwise.core.metrics import Metric
from tierwise.core.settings import UpdateSettings
from tierwise.core.weights import Weights
from tierwise.plugins.descriptors import Kind, PluginDescriptor
from tierwise.plugins.learners.mlp import MlpLearner
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider
from tierwise.runtime.agent import Agent
from tierwise.runtime.compute import ThreadCompute
from tierwise.runtime.policies import Choice
from tierwise.runtime.simulation.run import run_virtually
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.transports.memory import MemoryNetwork

from .helpers import (
    INSISTENT,
    TASK,
    agent,
    coordinator,
    data,
    descriptor,
    live,
    name_of,
    plugins_with,
    policies,
    profile,
    settings,
)

ONE = policies(groups=1)
METRICS = {name: Metric(sum=1.0, count=2) for name in TASK.metrics}


def federation(network, store=None, devices=4, **changed):
    return coordinator(network.coordinator(), store, devices=devices, **{"policies": ONE, **changed})


def of(records, kind):
    return [record.event for record in records if isinstance(record.event, kind)]


class ByHand:
    """A device that says what a test wants it to say."""

    def __init__(self, network, number):
        self._end = network.agent(name_of(number))
        self._number = number
        self.connected = self._end.connect
        self.follow = self._end.follow

    async def say(self, message, body=b""):
        await self._end.send(seal(message, body))

    async def say_bytes(self, data):
        await self._end.send(data)

    async def hear_bytes(self):
        """Wait for the next envelope."""
        stream = self._end.receive()
        try:
            return await anext(stream)
        finally:
            await stream.aclose()

    async def hear(self, kind):
        """Wait for a message of a kind; the others are dropped."""
        stream = self._end.receive()
        try:
            async for received in stream:
                message, body = open_from_coordinator(received)
                if isinstance(message, kind):
                    return message, bytes(body)
        finally:
            await stream.aclose()
        raise AssertionError("the network ended")

    async def join(self):
        """Join, and wait for the first round."""
        await self.say(m.Hello(schema_hash=TASK.schema_hash, profile=profile(self._number)))
        assigned, _ = await self.hear(m.Assigned)
        await self.follow(assigned.assignment.group)
        opened, _ = await self.hear(m.RoundAnnounced)
        return assigned.assignment.tier, opened

    async def deliver(self, opened, body, **changed):
        """Send an update and return its receipt."""
        sent = {
            "cohort": opened.cohort,
            "base": opened.model,
            "blob": BlobHash(hashlib.sha256(body).hexdigest()),
            "samples": 5,
            "metrics": METRICS,
            **changed,
        }
        await self.say(m.UpdateSent(**sent), body)
        receipt, _ = await self.hear(m.Receipt)
        return receipt


def with_one_by_hand(script, store=None, **changed):
    """Run a federation of three agents and one device that a script leads; return the log."""
    store = store or MemoryStore()

    async def main():
        network = MemoryNetwork()
        device = ByHand(network, 3)
        async with federation(network, store, **changed) as running, anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(functools.partial(live, number, network, settings=INSISTENT))
            async with device.connected():
                await script(device, running)
                await device.hear(m.Dismissed)
            await running.result()
        return await store.records()

    return run_virtually(main())


# -- joining


def test_a_name_that_cannot_be_one_and_data_without_samples_are_refused_at_once():
    network = MemoryNetwork()
    with pytest.raises(ConfigurationError, match=r"^'a/b' cannot name a device: 1 to 64 of A-Z a-z 0-9 . _ - are"):
        Agent("a/b", task=TASK, data=data(0), transport=network.agent("a/b"))
    nothing = LocalData(Dataset(np.zeros((0, 4), np.float32), np.zeros(0, np.int64)), data(0).holdout)
    with pytest.raises(ConfigurationError, match=r"^device 'd0' has no training samples$"):
        agent(0, network, data=nothing)


def test_a_device_with_data_of_another_task_is_refused_and_told_why():
    async def main():
        network = MemoryNetwork()
        async with federation(network), agent(0, network, task=msgspec.structs.replace(TASK, features=5)) as running:
            await running.target()

    with pytest.raises(
        DeviceError,
        match=r"^the coordinator refused device 'd0': device 'd0' has data of schema '\w+', task 'clouds' has schema "
        r"'\w+' \(4 features, 3 classes\): give its agent data of this task$",
    ):
        run_virtually(main())


class MeetingProbe:
    """Measures until the network has been reached."""

    reached = threading.Event()

    async def measure(self):
        await anyio.to_thread.run_sync(MeetingProbe.reached.wait, 10)
        return {"memory_bytes": float(MeetingProbe.reached.is_set())}


def test_an_agent_measures_while_it_connects():
    @asynccontextmanager
    async def connect(end):
        MeetingProbe.reached.set()
        async with end.connect():
            yield

    async def main():
        network = MemoryNetwork()
        hearing = network.coordinator().receive()
        end = network.agent("d0")
        reaching = SimpleNamespace(connect=lambda: connect(end), receive=end.receive, send=end.send, follow=end.follow)
        known = plugins_with(descriptor(Kind.PROBE, "meeting", MeetingProbe))
        changed = {"declared": None, "probes": ["meeting"], "plugins": known, "transport": reaching}
        async with agent(0, network, settings=INSISTENT, **changed):
            hello, _ = open_from_device((await anext(hearing)).data)
        await hearing.aclose()
        return hello.profile.value("memory_bytes")

    MeetingProbe.reached.clear()
    assert anyio.run(main) == 1.0


def test_who_waits_for_the_target_of_an_agent_that_is_left_is_told():
    said = []

    async def wait(running):
        try:
            await running.target()
        except FederationError as error:
            said.append(str(error))

    async def main():
        async with anyio.create_task_group() as tasks, agent(0, MemoryNetwork(), settings=INSISTENT) as running:
            tasks.start_soon(wait, running)
            await anyio.sleep(1)

    run_virtually(main())
    assert said == ["the agent of device 'd0' was stopped before the federation's end"]


def test_an_agent_outlives_garbage_and_a_damaged_target():
    async def main():
        network = MemoryNetwork()
        end = network.coordinator()
        async with agent(0, network, settings=INSISTENT) as running:
            tier = MlpTierProvider(MlpLadderOptions()).offers(TASK)[0]
            model = Weights.zeros(tier.layout)
            target = m.TargetAnnounced(group=GroupId("g1"), version=1, model=model.identity, reason="done")
            await end.send("d0", b"garbage")
            await end.send("d0", seal(m.Goodbye(reason="that is a device's")))
            assignment = m.Assignment(group=GroupId("g1"), tier=tier)
            await end.send("d0", seal(m.Welcome(federation="f", assignment=assignment)))
            await end.send("d0", seal(target, b"no frame"))
            await end.send("d0", seal(target, to_bytes(Weights(tier.layout, model.buffer + 1))))
            await end.send("d0", seal(target, to_bytes(model)))
            await end.send("d0", seal(target, b"no frame"))
            await end.send("d0", seal(m.Dismissed(reason="over")))
            return await running.target(), model

    target, model = run_virtually(main())
    assert target.model == model
    assert (target.group, target.version, target.reason) == ("g1", 1, "done")


# -- coming and going


def test_a_device_that_disconnects_and_returns_in_mid_round_still_takes_part():
    async def main():
        network, store = MemoryNetwork(), MemoryStore()
        device = ByHand(network, 3)
        async with federation(network, store) as running, anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(functools.partial(live, number, network, settings=INSISTENT))
            async with device.connected():
                await device.join()
            await anyio.sleep(5)
            await live(3, network, settings=INSISTENT)
            await running.result()
        return await store.records()

    records = run_virtually(main())
    assert [type(event) for event in of(records, (e.DeviceLost, e.DeviceReturned))] == [e.DeviceLost, e.DeviceReturned]
    assert [event.devices for event in of(records, e.RoundClosed)] == [4, 4]
    assert records[-1].at < 10, "nobody waited for a deadline"


def test_a_device_that_stays_away_is_waited_for_once_and_then_left_out():
    async def main():
        network, store = MemoryNetwork(), MemoryStore()
        device = ByHand(network, 3)
        async with federation(network, store) as running, anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(functools.partial(live, number, network, settings=INSISTENT))
            async with device.connected():
                await device.join()
            await running.result()
        return await store.records()

    records = run_virtually(main())
    closed = [record for record in records if isinstance(record.event, e.RoundClosed)]
    assert [record.event.devices for record in closed] == [3, 3]
    assert closed[0].at == 600
    assert closed[1].at < 700


def test_a_late_joiner_is_placed_and_takes_part_in_the_next_round():
    async def main():
        network, store = MemoryNetwork(), MemoryStore()
        running = federation(network, store, devices=3, policies=policies(groups=1, rounds=6))
        async with running, anyio.create_task_group() as tasks:
            watching = running.events(e.RoundClosed, lossless=True)
            for number in range(3):
                tasks.start_soon(functools.partial(live, number, network, settings=INSISTENT))
            await anext(watching)
            tasks.start_soon(functools.partial(live, 8, network, settings=INSISTENT))
            async for _ in watching:
                pass
            await running.result()
        return await store.records()

    records = run_virtually(main())
    assert of(records, e.DevicePlaced) == [e.DevicePlaced(device=name_of(8), group=GroupId("g1"))]
    devices = [event.devices for event in of(records, e.RoundClosed)]
    assert devices[0] == 3
    assert devices[-1] == 4


def test_a_late_joiner_comes_to_no_group_whose_tier_it_cannot_carry():
    small = profile(5).merged(HardwareProfile.declared(memory_bytes=1_000))

    async def main():
        network, store = MemoryNetwork(), MemoryStore()
        running = federation(network, store, devices=6, policies=policies(groups=2, rounds=6))
        async with running, anyio.create_task_group() as tasks:
            watching = running.events(e.RoundClosed, lossless=True)
            for number in range(6):
                tasks.start_soon(functools.partial(live, number, network, settings=INSISTENT))
            await anext(watching)
            tasks.start_soon(functools.partial(live, 7, network, settings=INSISTENT, declared=small))
            async for _ in watching:
                pass
            await running.result()
        return await store.records()

    # As fast as the strong group, but with the memory of the weak one.
    assert [event.group for event in of(run_virtually(main()), e.DevicePlaced)] == ["g1"]


def test_a_removed_device_is_told_and_its_update_does_not_count():
    async def be_silent(device):
        async with device.connected():
            await device.join()  # and nothing else: the round waits for it

    async def main():
        network, store = MemoryNetwork(), MemoryStore()
        device = ByHand(network, 3)
        async with federation(network, store, devices=5) as running, anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(functools.partial(live, number, network, settings=INSISTENT))
            tasks.start_soon(be_silent, ByHand(network, 4))
            async with device.connected():
                tier, opened = await device.join()
                assert (await device.deliver(opened, to_bytes(Weights.zeros(tier.layout)))).refusal is None
                running.remove_device(name_of(3), "sold")
                await device.hear(m.Dismissed)
            await running.result()
        return await store.records()

    records = run_virtually(main())
    assert of(records, e.DeviceRemoved) == [e.DeviceRemoved(device=name_of(3), reason="sold")]
    assert name_of(3) in {event.device for event in of(records, e.UpdateAccepted)}
    assert {event.devices for event in of(records, e.RoundClosed)} == {3}


def test_a_removed_device_that_greets_again_is_refused():
    async def script(device, running):
        await device.join()
        running.remove_device(name_of(3), "sold")
        assert (await device.hear(m.Dismissed))[0].reason == "removed: sold"
        await device.say(m.Hello(schema_hash=TASK.schema_hash, profile=profile(3)))
        refused, _ = await device.hear(m.Refused)
        assert refused == m.Refused(refusal=Refusal.REMOVED, reason="device 'd3' was removed: sold")
        running.remove_device(name_of(3), "twice")
        await device.say(m.Goodbye(reason="bye"))
        running.remove_device(name_of(99), "never there")
        await anyio.sleep(1)
        await device.say(m.Hello(schema_hash=TASK.schema_hash, profile=profile(3)))
        await device.hear(m.Refused)

    async def main():
        network = MemoryNetwork()
        device = ByHand(network, 3)
        async with federation(network) as running, anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(functools.partial(live, number, network, settings=INSISTENT))
            async with device.connected():
                await script(device, running)
            await running.result()

    run_virtually(main())


@pytest.mark.parametrize("iterations", range(12))
def test_a_device_may_be_removed_at_any_moment_of_its_joining(iterations):
    async def main():
        network = MemoryNetwork()
        device = ByHand(network, 3)
        async with federation(network, devices=3) as running, anyio.create_task_group() as tasks:
            async with device.connected():
                await device.say(m.Hello(schema_hash=TASK.schema_hash, profile=profile(3)))
                for _ in range(iterations):
                    await anyio.lowlevel.checkpoint()
                running.remove_device(name_of(3), "sold")
                await anyio.sleep(1)
            running.remove_device(name_of(3), "sold")
            for number in range(3):
                tasks.start_soon(functools.partial(live, number, network, settings=INSISTENT))
            return await running.result()

    result = run_virtually(main())
    assert result.groups[0].version == 2


# -- updates that do not count


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        (lambda tier: (b"garbage", {}), Refusal.MALFORMED),
        (lambda tier: (to_bytes(Weights.zeros(tier.layout)), {"blob": "0" * 64}), Refusal.MALFORMED),
        (lambda tier: (to_bytes(Weights.zeros(tier.layout)), {"samples": 0}), Refusal.MALFORMED),
        (lambda tier: (to_bytes(Weights.zeros(tier.layout)), {"metrics": {}}), Refusal.MALFORMED),
        (lambda tier: (to_bytes(Weights.zeros(tier.layout)), {"base": "0" * 64}), Refusal.WRONG_BASE),
        (
            lambda tier: (to_bytes(Weights(tier.layout, np.full(tier.layout.size, np.nan, np.float32))), {}),
            Refusal.MALFORMED,
        ),
    ],
)
def test_an_update_that_cannot_be_used_is_refused_and_nobody_waits_for_another(spoil, refusal):
    async def script(device, running):
        tier, opened = await device.join()
        for _ in range(2):
            body, changed = spoil(tier)
            receipt = await device.deliver(opened, body, **changed)
            assert receipt.refusal is refusal
            opened, _ = await device.hear(m.RoundAnnounced)

    store = MemoryStore()
    records = with_one_by_hand(script, store)
    assert [event.devices for event in of(records, e.RoundClosed)] == [3, 3]
    assert [(fault.cohort, fault.refusal) for fault in of(records, e.DeviceFaulted)] == [
        ("g1.r1", refusal),
        ("g1.r2", refusal),
    ]
    (target,) = of(records, e.GroupFinished)
    (state,) = [event.optimizer_state for event in of(records, e.RoundClosed)][1:]
    assert sorted(anyio.run(store.blobs)) == sorted([target.model, state])
    last = [record.at for record in records if isinstance(record.event, e.RoundClosed)][-1]
    assert last < 600, "no round waited for its deadline"


def test_an_update_that_comes_twice_counts_once_and_gets_its_receipt_twice():
    async def script(device, running):
        tier, opened = await device.join()
        body = to_bytes(Weights.zeros(tier.layout))
        for _ in range(3):
            assert (await device.deliver(opened, body)).refusal is None
        await device.say(m.TaskRefused(cohort=opened.cohort, reason="changed my mind"))
        opened, _ = await device.hear(m.RoundAnnounced)
        await device.deliver(opened, body)

    records = with_one_by_hand(script)
    assert [event.devices for event in of(records, e.RoundClosed)] == [4, 4]
    assert [event.device for event in of(records, e.UpdateAccepted)].count("d3") == 2
    assert of(records, e.TaskDeclined) == []


def test_other_mistakes_of_a_device_get_their_refusal_and_disturb_nobody():
    async def script(device, running):
        tier, opened = await device.join()
        body = to_bytes(Weights.zeros(tier.layout))
        await device.say_bytes(b"garbage")
        await device.say_bytes(seal(m.Dismissed(reason="that is the coordinator's")))
        for cohort, refusal in (("g1.r99", Refusal.UNKNOWN_COHORT), ("x", Refusal.UNKNOWN_COHORT)):
            assert (await device.deliver(opened, body, cohort=cohort)).refusal is refusal
        await device.say(m.EvaluationSent(cohort=opened.cohort, base=opened.model, metrics=METRICS))
        assert (await device.hear(m.Receipt))[0].refusal is Refusal.MALFORMED
        following, _ = await device.hear(m.RoundAnnounced)
        assert (await device.deliver(opened, body)).refusal is Refusal.LATE
        assert (await device.deliver(following, body)).refusal is None

    store = MemoryStore()
    patient = msgspec.structs.replace(settings(4), updates=UpdateSettings(quarantine_after=9))
    records = with_one_by_hand(script, store, settings=patient)
    assert [event.devices for event in of(records, e.RoundClosed)] == [3, 4]
    assert len(anyio.run(store.blobs)) == 2


class SlowStore(MemoryStore):
    """A disk that takes its time for what is large, and counts its commits."""

    def __init__(self, put_s=0.0, append_s=0.0):
        super().__init__()
        self._put_s, self._append_s = put_s, append_s
        self.appends = []

    async def put(self, data):
        await anyio.sleep(self._put_s)
        return await super().put(data)

    async def append(self, records):
        await anyio.sleep(self._append_s)
        self.appends.append([type(record.event) for record in records])
        await super().append(records)


def test_an_update_counts_by_when_it_came_however_long_it_takes_to_keep_it():
    async def script(device, running):
        tier, opened = await device.join()
        body = to_bytes(Weights.zeros(tier.layout))
        await anyio.sleep(opened.deadline_in_s - 1)
        assert (await device.deliver(opened, body)).refusal is None
        opened, _ = await device.hear(m.RoundAnnounced)
        await anyio.sleep(opened.deadline_in_s + 1)
        assert (await device.deliver(opened, body)).refusal is Refusal.LATE

    records = with_one_by_hand(script, SlowStore(put_s=5.0), settings=settings(4, deadline_s=20.0))
    assert [event.devices for event in of(records, e.RoundClosed)] == [4, 3]
    opened = [event.deadline_at for event in of(records, e.RoundOpened)]
    closed = [record.at for record in records if isinstance(record.event, e.CohortClosed)]
    assert opened[0] + 3 < closed[0] < opened[0] + 6, "the deadline waited for what had come before it"
    assert closed[1] == pytest.approx(opened[1])


def test_what_comes_while_the_disk_is_busy_shares_a_commit():
    store = SlowStore(append_s=0.1)

    async def main():
        network = MemoryNetwork()
        async with federation(network, store, devices=12) as running, anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(functools.partial(live, number, network, settings=INSISTENT))
            await running.result()

    run_virtually(main())
    updates = [kinds.count(e.UpdateAccepted) for kinds in store.appends if e.UpdateAccepted in kinds]
    assert sum(updates) == 24
    assert len(updates) <= 6


def test_a_device_that_keeps_sending_what_cannot_be_used_is_quarantined_until_it_is_released():
    async def script(device, running):
        tier, opened = await device.join()
        good, bad = (to_bytes(Weights(tier.layout, np.full(tier.layout.size, one, np.float32))) for one in (0, 9e9))
        for _ in range(3):
            receipt = await device.deliver(opened, bad)
            assert receipt.refusal is Refusal.MALFORMED
            assert "has a norm of" in receipt.reason
            opened, _ = await device.hear(m.RoundAnnounced)
        assert name_of(3) not in opened.participants
        receipt = await device.deliver(opened, good)
        assert receipt.refusal is Refusal.QUARANTINED
        assert "has a norm of" in receipt.reason
        hello = m.Hello(schema_hash=TASK.schema_hash, profile=profile(3))
        await device.say(hello)
        assert (await device.hear(m.Refused))[0].refusal is Refusal.QUARANTINED
        running.release_device(name_of(3))
        await device.say(hello)
        await device.hear(m.Welcome)
        while opened.participants is not None:
            opened, _ = await device.hear(m.RoundAnnounced)
        assert (await device.deliver(opened, good)).refusal is None

    strict = msgspec.structs.replace(settings(4), updates=UpdateSettings(max_norm=100.0))
    records = with_one_by_hand(script, settings=strict, policies=policies(rounds=9, groups=1))
    (quarantined,) = of(records, e.DeviceQuarantined)
    assert quarantined.device == name_of(3)
    assert [event.refusal for event in of(records, e.DeviceFaulted)] == [Refusal.MALFORMED] * 3
    assert of(records, e.DeviceReleased) == [e.DeviceReleased(device=name_of(3))]


@pytest.mark.parametrize(
    ("speaks", "older"), [((2, 3), "the coordinator"), ((0, 0), "the device")], ids=["newer", "older"]
)
def test_a_device_of_another_version_is_told_so_in_its_own(speaks, older):
    async def main():
        network = MemoryNetwork()
        device = ByHand(network, 0)
        async with federation(network) as running, device.connected():
            hello = m.Hello(schema_hash=TASK.schema_hash, profile=profile(0), speaks=speaks)
            await device.say_bytes(seal(hello, version=speaks[1]))
            refused = await device.hear_bytes()
            await device.say_bytes(seal(m.Goodbye(reason="night"), version=speaks[1]))
            return refused, await device.hear_bytes(), dict(running.federation.state.devices)

    refused, again, devices = run_virtually(main())
    assert refused[2] == again[2] == speaks[1]
    message, _ = open_from_coordinator(refused)
    assert message.refusal is Refusal.WRONG_VERSION
    assert f"upgrade tierwise on {older}" in message.reason
    assert open_from_coordinator(again)[0].refusal is Refusal.WRONG_VERSION
    assert devices == {}


def test_an_agent_that_is_refused_for_its_version_says_so():
    async def main():
        network = MemoryNetwork()
        there = network.coordinator()
        async with there.connect(), agent(0, network) as running:
            stream = there.receive()
            await anext(stream)
            refused = m.Refused(refusal=Refusal.WRONG_VERSION, reason="upgrade tierwise on the device")
            await there.send(name_of(0), seal(refused, version=9))
            try:
                await running.target()
            finally:
                await stream.aclose()

    with pytest.raises(DeviceError, match="refused device 'd0': upgrade tierwise on the device"):
        run_virtually(main())


def test_a_device_that_never_enrolled_is_told_to_introduce_itself():
    async def main():
        network = MemoryNetwork()
        stranger = ByHand(network, 9)
        async with federation(network), stranger.connected():
            opened = m.RoundAnnounced(
                group=GroupId("g1"),
                cohort="g1.r1",
                purpose="fit",
                model="0" * 64,
                participants=None,
                budget=settings().rounds.budget,
                seed=1,
                deadline_in_s=1.0,
            )
            return await stranger.deliver(opened, b"body")

    assert run_virtually(main()).refusal is Refusal.UNKNOWN_DEVICE


# -- learners


class Patient(MlpLearner):
    """Trains until it is told to stop, if the device is the one with 13 samples."""

    stopped = threading.Event()

    def fit(self, weights, data, **arguments):
        if len(data) != 13:
            return super().fit(weights, data, **arguments)
        while True:
            time.sleep(0.001)
            try:
                arguments["stop"].check()
            except FitStopped:
                Patient.stopped.set()
                raise


class Broken(MlpLearner):
    def fit(self, weights, data, **arguments):
        if len(data) == 13:
            raise MemoryError("too large")
        return super().fit(weights, data, **arguments)


class TiersOf(MlpTierProvider):
    learner = ""

    def __init__(self):
        super().__init__(MlpLadderOptions(hidden=((4,),)))

    def _tier(self, rung, task):
        return msgspec.structs.replace(super()._tier(rung, task), learner=self.learner)


class PatientTiers(TiersOf):
    learner = "patient"


class BrokenTiers(TiersOf):
    learner = "broken"


LEARNERS = [
    PluginDescriptor(
        kind=Kind.LEARNER,
        name=cls.__name__.lower(),
        target=f"{__name__}:{cls.__name__}",
        options="tierwise.plugins.learners.mlp:MlpOptions",
        summary="For tests.",
    )
    for cls in (Patient, Broken)
]
TIERS = [descriptor(Kind.TIER_PROVIDER, cls.learner, cls) for cls in (PatientTiers, BrokenTiers)]
PLUGINS = plugins_with(*LEARNERS, *TIERS)


def run_learner(name, **rounds):
    async def main():
        network, store = MemoryNetwork(), MemoryStore()
        chosen = {"policies": policies(groups=1, tiers=Choice(name=name)), "plugins": PLUGINS}
        async with federation(network, store, settings=settings(4, **rounds), **chosen) as running:
            async with anyio.create_task_group() as tasks:
                for number in range(4):
                    own = data(number, samples=13 if number == 3 else 12)
                    changed = {"data": own, "compute": ThreadCompute(workers=1), "plugins": PLUGINS}
                    tasks.start_soon(functools.partial(live, number, network, **changed))
            await running.result()
        return await store.records()

    return anyio.run(main)


def test_a_fit_that_takes_too_long_is_told_to_stop_at_the_deadline():
    Patient.stopped.clear()
    records = run_learner("patient", deadline_s=0.4)
    assert Patient.stopped.is_set()
    assert [event.devices for event in of(records, e.RoundClosed)] == [3, 3]
    assert {event.device for event in of(records, e.EvaluationAccepted)} == {f"d{n}" for n in range(4)}


def test_a_learner_that_fails_is_declined_with_its_reason_and_not_waited_for():
    records = run_learner("broken", deadline_s=30.0)
    assert of(records, e.TaskDeclined) == [
        e.TaskDeclined(cohort=f"g1.r{n}", device=name_of(3), reason="MemoryError: too large") for n in (1, 2)
    ]
    assert records[-1].at < 10
