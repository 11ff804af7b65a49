"""Federations whose updates are coded: in memory, in a simulation, and gone on with."""

import functools

import anyio
import msgspec
import numpy as np
import pytest

from tierwise.core import events as e
from tierwise.core import messages as m
from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.coding import ArrayForm, Dtype
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import TierName
from tierwise.core.tiers import CodecChoice, Cost, Tier
from tierwise.core.weights import Layout
from tierwise.plugins.codecs.plain import Float32Codec
from tierwise.plugins.descriptors import Kind
from tierwise.runtime.codecs import Codecs
from tierwise.runtime.policies import Choice
from tierwise.runtime.simulation.fleet import DeviceSpec, SimulatedFleet
from tierwise.runtime.simulation.run import run_virtually, simulate
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.transports.memory import MemoryNetwork

from .helpers import (
    TASK,
    CopyingStore,
    agent,
    coordinator,
    data,
    descriptor,
    facts,
    in_thread,
    live,
    name_of,
    plugins,
    plugins_with,
    policies,
    run_with_agents,
    settings,
    specs,
    targets_of,
)
from .test_crash import CrashingStore, simulate_with

CODED = ("float16", "bfloat16", "int8", "top-k")


def run(codec, options=None, **changed):
    chosen = policies(codec=Choice(name=codec, options=options or {}), **changed)
    return simulate(settings(), specs(), policies=chosen, plugins=plugins(), store=CopyingStore())


def updates(records):
    return [record.event for record in records if isinstance(record.event, e.UpdateAccepted)]


def tiers(records):
    return {record.event.group: record.event.tier for record in records if isinstance(record.event, e.TierAssigned)}


@pytest.mark.parametrize("codec", CODED)
def test_a_coded_update_is_as_large_as_the_tier_says(codec):
    done = run(codec)
    assigned = tiers(done.records)
    assert {tier.codec.name for tier in assigned.values()} == {codec}
    sent = updates(done.records)
    assert len(sent) == 18
    for one in sent:
        tier = assigned[one.cohort.partition(".")[0]]
        assert one.size_bytes == tier.cost.upload_bytes
        assert tier.cost.update_bytes == tier.cost.upload_bytes


@pytest.mark.parametrize("codec", CODED)
def test_the_same_bytes_in_memory_and_in_a_simulation(codec):
    _, records, _ = anyio.run(lambda: run_with_agents(policies=policies(codec=Choice(name=codec))))
    assert facts(records) == facts(run(codec).records)


def test_float32_is_what_is_sent_without_a_codec():
    plain, chosen = (
        simulate(settings(), specs(), policies=policies(), plugins=plugins(), store=CopyingStore()),
        run("float32"),
    )
    assert plain.records == chosen.records
    assert {tier.cost.upload_bytes for tier in tiers(plain.records).values()} == {None}


@pytest.mark.parametrize("codec", ["float16", "bfloat16", "int8"])
def test_what_is_learned_is_about_the_same(codec):
    coded, plain = run(codec, rounds=4), run("float32", rounds=4)
    assert targets_of(coded.records) != targets_of(plain.records)
    for one, other in zip(coded.result.groups, plain.result.groups, strict=True):
        moved = np.abs(other.model.buffer).max()
        np.testing.assert_allclose(one.model.buffer, other.model.buffer, atol=0.05 * moved)


CODED_POLICIES = policies(rounds=3, codec=Choice(name="top-k", options={"fraction": 0.3}))


@functools.cache
def undisturbed():
    store = CrashingStore()
    return store, simulate_with(store, policies=CODED_POLICIES)


@pytest.mark.parametrize(
    ("when", "step"),
    [("after", 7), *(pytest.param(when, 1, marks=pytest.mark.slow) for when in ("before", "after"))],
)
def test_wherever_a_coordinator_dies_the_next_one_gets_the_same_bytes(when, step):
    store, expected = undisturbed()
    for append in range(2, store.appends + 1, step):
        crashing = CrashingStore(**{when: [append]})
        records = simulate_with(crashing, policies=CODED_POLICIES)
        assert crashing.crashes == 1
        assert facts(records) == facts(expected), f"it died {when} append {append}"
        assert targets_of(records) == targets_of(expected)


def test_what_was_lost_is_sent_with_the_next_update():
    with_it, without = (run("top-k", {"fraction": 0.1, "error_feedback": one}, rounds=2) for one in (True, False))
    for number, same in ((1, 9), (2, 0)):  # in the first round nothing was lost yet
        first, second = (
            {one.blob for one in updates(done.records) if one.cohort.endswith(f".r{number}")}
            for done in (with_it, without)
        )
        assert len(first) == len(second) == 9
        assert len(first & second) == same


def announcements(devices, codec):
    """Run a federation of simulated devices, and return what was announced of its rounds of training."""
    heard = []

    class Hearing(SimulatedFleet):
        def hand_round(self, group, letter):
            message = letter.message
            if isinstance(message, m.RoundAnnounced) and message.purpose is e.Purpose.FIT:
                heard.append(message)
            super().hand_round(group, letter)

    async def main():
        fleet = Hearing(devices, TASK, in_thread(devices))
        chosen = policies(groups=1, rounds=2, codec=Choice(name=codec))
        limits = settings(len(devices), deadline_s=30.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fleet.run)
            running = coordinator(fleet, devices=len(devices), settings=limits, policies=chosen)
            async with running:
                await running.result()
            tasks.cancel_scope.cancel()

    run_virtually(main())
    return heard


def test_a_round_tells_which_one_made_its_model_and_who_was_left_out():
    fleet = specs(4)
    slow = HardwareProfile.declared(cpu_flops=5.0)  # it takes longer than the deadline
    fleet[name_of(3)] = DeviceSpec(slow, data(3, samples=13))
    first, second = announcements(fleet, "int8")
    assert (first.made_by, first.left_out) == (None, ())
    assert (second.made_by, second.left_out) == ("g1.r1", ("d3",))


def test_without_a_codec_nothing_more_is_told():
    assert {(one.made_by, one.left_out) for one in announcements(specs(3), "float32")} == {(None, ())}


class Unknown:
    """A codec that only a coordinator has."""

    feedback = False

    def form(self, size):
        return {"v": ArrayForm(dtype=Dtype.F16, length=size)}


def test_a_device_without_the_codec_says_so():
    async def main():
        known = plugins_with(descriptor(Kind.CODEC, "unknown", Unknown))
        network, store = MemoryNetwork(), MemoryStore()
        chosen = policies(rounds=1, codec=Choice(name="unknown"))
        given = {"settings": settings(3, grace_s=0.1), "policies": chosen, "plugins": known}
        async with coordinator(network.coordinator(), store, devices=3, **given) as running:
            async with anyio.create_task_group() as tasks:
                for number in range(3):
                    tasks.start_soon(live, number, network)
            await running.result()
        return await store.records()

    declined = [record.event for record in anyio.run(main) if isinstance(record.event, e.TaskDeclined)]
    assert {one.device for one in declined} == {"d0", "d1", "d2"}
    (reason,) = {one.reason for one in declined}
    assert reason.startswith("there is no codec named 'unknown'; installed: bfloat16, float16, float32, int8, top-k.")


def test_an_update_that_is_not_coded_is_refused_and_told():
    class Old:
        """What a device has that knows nothing of codecs."""

        def of(self, tier):
            return CodedUpdates(Float32Codec(), "float32", tier.layout.aggregated)

    async def main():
        network, store = MemoryNetwork(), MemoryStore()
        chosen = policies(rounds=1, groups=1, codec=Choice(name="int8"))
        async with coordinator(network.coordinator(), store, devices=4, policies=chosen) as running:
            async with anyio.create_task_group() as tasks:
                for number in range(3):
                    tasks.start_soon(live, number, network)
                async with agent(3, network) as old:
                    old._codecs = Old()
                    await old.target()
            await running.result()
        return await store.records()

    records = anyio.run(main)
    (fault,) = (record.event for record in records if isinstance(record.event, e.DeviceFaulted))
    assert (fault.device, fault.refusal) == ("d3", e.Refusal.MALFORMED)
    assert "it is in codec 'float32', the group's updates are in 'int8'" in fault.reason
    assert len(updates(records)) == 3


def test_each_codec_is_made_once_and_by_its_own_options():
    codecs = Codecs(plugins())
    first, again = (codecs(CodecChoice(name="top-k", options={"fraction": 0.5})) for _ in range(2))
    assert first is again
    assert codecs(CodecChoice(name="top-k")).form(100)["values"].length == 5
    assert first.form(100)["values"].length == 50


def test_how_a_tier_is_coded_is_found_once_and_anew_for_another_tier_of_that_name():
    codecs = Codecs(plugins())
    layout = Layout.of({"a": (100,)})
    cost = Cost(parameters=100, fit_flops_per_sample=1, evaluate_flops_per_sample=1, bytes=400, memory_bytes=400)
    tier = Tier(name=TierName("t"), learner="mlp", options={}, layout=layout, cost=cost)
    coding = codecs.of(tier)
    assert coding is codecs.of(msgspec.structs.replace(tier))
    assert coding.plain
    other = codecs.of(msgspec.structs.replace(tier, codec=CodecChoice(name="int8")))
    assert (other.name, other.plain) == ("int8", False)
    assert codecs.of(tier).plain
