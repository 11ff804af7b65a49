"""Simulations: real training on virtual time, on hardware that decides how long everything takes."""

import asyncio
import gc
import threading
import time
from dataclasses import replace

import anyio
import msgspec
import numpy as np
import pytest

from tierwise.core import events as e
from tierwise.core.errors import TooFewDevicesError
from tierwise.core.hardware import HardwareProfile
from tierwise.core.learning import Fit, FitStopped, StopToken
from tierwise.core.settings import UpdateSettings
from tierwise.core.weights import Weights
from tierwise.plugins.descriptors import Kind, PluginDescriptor
from tierwise.plugins.learners.mlp import MlpLearner
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider
from tierwise.runtime.policies import Choice
from tierwise.runtime.simulation.clock import SimulationStalledError
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import run_virtually, simulate
from tierwise.runtime.stores.memory import MemoryStore

from .helpers import (
    coordinator,
    data,
    descriptor,
    name_of,
    plugins,
    plugins_with,
    policies,
    settings,
    simulated,
    specs,
    targets_of,
)


def run(devices=9, fleet=None, **changed):
    given = {"policies": policies(), "plugins": plugins(), **changed}
    return simulate(given.pop("settings", None) or settings(devices), fleet or specs(devices), **given)


def of(simulation, kind):
    return [record for record in simulation.records if isinstance(record.event, kind)]


def test_a_federation_runs_from_beginning_to_end():
    done = run()
    assert [group.version for group in done.result.groups] == [2, 2, 2]
    assert done.simulated_s == done.records[-1].at > 0
    assert {group.group: group.identity for group in done.result.groups} == targets_of(done.records)


def test_it_is_over_long_before_its_time():
    slow = {
        name: replace(spec, profile=HardwareProfile.declared(cpu_flops=1.0, downlink_bytes_per_s=1.0))
        for name, spec in specs().items()
    }
    began = time.monotonic()
    done = run(fleet=slow, settings=settings(deadline_s=1e6))
    assert done.simulated_s > 3600
    assert time.monotonic() - began < 10


def test_hardware_decides_how_long_a_round_takes():
    # One device alone is slow, and everything else costs nothing beside it.
    flops, uplink, downlink = 1e3, 50.0, 200.0
    quick = HardwareProfile.declared(
        cpu_flops=1e12, memory_bytes=1e9, uplink_bytes_per_s=1e12, downlink_bytes_per_s=1e12
    )
    slow = HardwareProfile.declared(
        cpu_flops=flops, memory_bytes=1e9, uplink_bytes_per_s=uplink, downlink_bytes_per_s=downlink
    )
    fleet = {name_of(n): DeviceSpec(slow if n == 0 else quick, data(n)) for n in range(3)}
    done = run(3, fleet, policies=policies(rounds=1, groups=1))
    (opened,) = (r for r in of(done, e.RoundOpened) if r.event.purpose == "fit")
    (late,) = (r for r in of(done, e.UpdateAccepted) if r.event.device == "d0")
    cost = done.result.groups[0].tier.cost
    compute_s = (cost.fit_flops_per_sample * 12 + cost.evaluate_flops_per_sample * 6) / flops
    least_s = compute_s + cost.bytes / downlink + late.event.size_bytes / uplink
    headers_s = 1000 / downlink + 1000 / uplink
    assert least_s < late.at - opened.at < least_s + headers_s


def test_who_is_too_slow_for_the_deadline_is_left_out_and_never_trained():
    trained = []

    class Watched(MlpLearner):
        def fit(self, weights, data, **arguments):
            trained.append(len(data))
            return super().fit(weights, data, **arguments)

    fleet = specs(4)
    fleet[name_of(3)] = DeviceSpec(HardwareProfile.declared(cpu_flops=63.0), data(3, samples=13))  # takes 40 s
    Learners.made = Watched
    done = run(
        4,
        fleet,
        settings=settings(4, deadline_s=30.0),
        policies=policies(groups=1, tiers=Choice(name="watched")),
        plugins=plugins_with(*LEARNERS),
    )
    assert {r.event.devices for r in of(done, e.RoundClosed)} == {3}
    assert 13 not in trained
    assert len(trained) == 6


class Learners(MlpLearner):
    """Stands for the class that a test puts in its place."""

    made: type = MlpLearner

    def __new__(cls, options, task):
        return Learners.made(options, task)


class LearnersTiers(MlpTierProvider):
    """One tier, of that learner."""

    def __init__(self):
        super().__init__(MlpLadderOptions(hidden=((4,),)))

    def _tier(self, rung, task):
        return msgspec.structs.replace(super()._tier(rung, task), learner="watched")


LEARNERS = [
    PluginDescriptor(
        kind=Kind.LEARNER,
        name="watched",
        target=f"{__name__}:Learners",
        options="tierwise.plugins.learners.mlp:MlpOptions",
        summary="For tests.",
    ),
    descriptor(Kind.TIER_PROVIDER, "watched", LearnersTiers),
]


def run_learner(learner, devices=4, **changed):
    Learners.made = learner
    chosen = policies(groups=1, tiers=Choice(name="watched"))
    return run(devices, policies=chosen, plugins=plugins_with(*LEARNERS), **changed)


def test_a_learner_that_fails_everywhere_is_declined_by_everybody_and_ends_its_group():
    class Broken(MlpLearner):
        def fit(self, weights, data, **arguments):
            raise MemoryError("too large")

    done = run_learner(Broken)
    declined = of(done, e.TaskDeclined)
    assert len(declined) == 3 * 4
    assert {record.event.reason for record in declined} == {"MemoryError: too large"}
    assert len(of(done, e.RoundAbandoned)) == 3
    assert done.simulated_s < 600, "nobody has to wait for a deadline"
    (group,) = done.result.groups
    assert group.failed
    assert group.version == 0


def test_a_learner_that_diverges_on_one_device_leaves_the_others_in():
    class Diverging(MlpLearner):
        def fit(self, weights, data, **arguments):
            fit = super().fit(weights, data, **arguments)
            if len(data) != 13:
                return fit
            nothing = Weights(fit.weights.layout, fit.weights.buffer * float("nan"))
            return Fit(nothing, fit.samples)

    fleet = {**specs(4), name_of(3): replace(specs(4)[name_of(3)], data=data(3, samples=13))}
    done = run_learner(Diverging, fleet=fleet)
    assert {r.event.device for r in of(done, e.TaskDeclined)} == {"d3"}
    assert {r.event.devices for r in of(done, e.RoundClosed)} == {3}


def test_an_update_that_comes_after_the_deadline_does_not_count_and_leaves_nothing():
    # Its training is done in time, and its update takes longer than is left.
    fleet = specs(4)
    slow = HardwareProfile.declared(cpu_flops=1e9, downlink_bytes_per_s=1e9, uplink_bytes_per_s=10.0)
    fleet[name_of(3)] = DeviceSpec(slow, data(3))
    seen, store = [], MemoryStore()
    done = run(
        4, fleet, settings=settings(4, deadline_s=30.0), policies=policies(groups=1), store=store, watch=seen.append
    )
    assert {r.event.devices for r in of(done, e.RoundClosed)} == {3}
    refused = [event for event in seen if isinstance(event, e.InputRejected)]
    assert {(event.device, event.refusal) for event in refused} == {("d3", e.Refusal.LATE)}
    kept = {group.identity for group in done.result.groups}
    momentum = {r.event.optimizer_state for r in of(done, e.RoundClosed)}
    assert set(anyio.run(store.blobs)) <= kept | momentum


def test_an_update_that_is_too_large_is_a_fault_of_its_device():
    class Wild(MlpLearner):
        def fit(self, weights, data, **arguments):
            fit = super().fit(weights, data, **arguments)
            far = Weights(fit.weights.layout, fit.weights.buffer + np.float32(1e3 if len(data) == 13 else 0))
            return Fit(far, fit.samples)

    fleet = {**specs(4), name_of(3): replace(specs(4)[name_of(3)], data=data(3, samples=13))}
    strict = msgspec.structs.replace(settings(4), updates=UpdateSettings(max_norm=100.0))
    done = run_learner(Wild, fleet=fleet, settings=strict)
    assert {(r.event.device, r.event.refusal) for r in of(done, e.DeviceFaulted)} == {("d3", e.Refusal.MALFORMED)}
    assert {r.event.devices for r in of(done, e.RoundClosed)} == {3}


def test_a_simulation_leaves_the_search_for_circles_as_it_was():
    before = gc.get_threshold()
    within = []
    run(watch=lambda _: within.append(gc.get_threshold()))
    assert within[0][0] > before[0]
    assert gc.get_threshold() == before


def test_too_few_devices():
    with pytest.raises(TooFewDevicesError, match=r"^2 devices reported hardware, a federation needs at least 3"):
        run(fleet=specs(2), settings=settings(9, window_s=60.0))


def test_enrolment_that_can_never_end_is_an_error_and_not_a_hang():
    store = MemoryStore()
    with pytest.raises(SimulationStalledError) as caught:
        run(fleet=specs(4), settings=settings(9), store=store)
    assert str(caught.value) == (
        "the simulation can never go on: enrolment waits for 9 devices, and 4 have reported their hardware. Lower "
        "enrolment.min_devices, or set enrolment.window_s"
    )
    assert len(anyio.run(store.records)) == 1 + 2 * 4
    run(store=store)  # with all devices it goes on


def test_told_to_stop_from_another_thread_it_stops_and_can_be_gone_on_with():
    expected = targets_of(run(policies=policies(rounds=30)).records)
    store, stop = MemoryStore(), StopToken()

    def watch(event):
        if isinstance(event, e.RoundClosed) and event.version == 3:
            thread = threading.Thread(target=stop.stop)
            thread.start()
            thread.join()

    with pytest.raises(FitStopped):
        run(policies=policies(rounds=30), store=store, stop=stop, watch=watch)
    kept = anyio.run(store.records)
    assert any(isinstance(record.event, e.RoundClosed) for record in kept)
    done = run(policies=policies(rounds=30), store=store)
    assert done.records[: len(kept)] == kept
    assert targets_of(done.records) == expected


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_interrupted_it_ends_with_that_and_can_be_gone_on_with(error):
    store = MemoryStore()

    def watch(event):
        if isinstance(event, e.RoundClosed):
            raise error

    with pytest.raises(error):
        run(store=store, watch=watch)
    assert targets_of(run(store=store).records) == targets_of(run().records)


def test_who_watches_sees_everything_from_the_opening_to_the_end():
    seen = []
    done = run(watch=seen.append)
    assert [event for event in seen if isinstance(event, e.Event)] == [record.event for record in done.records]


def test_a_fleet_outlives_a_coordinator():
    async def main():
        fleet, store = simulated(specs()), MemoryStore()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fleet.run)
            async with coordinator(fleet, store) as first:
                async for _ in first.events(e.RoundClosed):
                    break
            await asyncio.sleep(10_000)
            async with coordinator(fleet, store) as second:
                await second.result()
            tasks.cancel_scope.cancel()
        return await store.records()

    assert targets_of(run_virtually(main())) == targets_of(run().records)


def test_rounding_errors_of_a_clock_that_went_on_never_stop_it():
    # After a restart, federation time and loop time differ: what is due in one may be a hair before that in the other,
    # and virtual time would never pass the hair.
    async def main(down_s, window_s):
        fleet, store = simulated(specs(4)), MemoryStore()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fleet.run)
            chosen = settings(9, window_s=window_s)
            async with coordinator(fleet, store, settings=chosen) as first:
                async for _ in first.events(e.HardwareReported):
                    break
            await asyncio.sleep(down_s)
            async with coordinator(fleet, store, settings=chosen) as second:
                await second.result()
            tasks.cancel_scope.cancel()

    for number in range(1, 150, 3):
        run_virtually(main(number / 7, 1 + 1 / number))


def on_mains(devices, *those):
    """Return a fleet of which those devices are on the mains, and the others on a battery."""
    fleet = specs(devices)
    return {
        name_of(number): DeviceSpec(
            spec.profile.merged(HardwareProfile.declared(mains_bool=float(number in those))), spec.data
        )
        for number, spec in enumerate(fleet.values())
    }


def test_only_devices_that_fulfil_the_conditions_take_part():
    chosen = policies(groups=1, selection=Choice(name="conditions", options={"mains": True}))
    done = run(fleet=on_mains(9, 1, 4, 5, 8), policies=chosen)
    rounds = [record.event for record in of(done, e.RoundOpened)]
    fits = [event.participants for event in rounds if event.purpose is e.Purpose.FIT]
    assert fits == [tuple(map(name_of, (1, 4, 5, 8)))] * 2
    assert len(rounds[-1].participants) == 9, "the closing evaluation costs little, and is everybody's"


def test_a_group_without_willing_devices_waits_while_others_learn_and_is_told_in_the_end():
    store, seen = MemoryStore(), []
    chosen = policies(groups=3, selection=Choice(name="conditions", options={"mains": True}))
    with pytest.raises(SimulationStalledError) as caught:
        run(fleet=on_mains(9, 0, 2, 3, 4, 5, 6, 7, 8), policies=chosen, store=store, watch=seen.append)
    assert str(caught.value) == (
        "the simulation can never go on: a round waits for devices (g1: 2 of 3 devices fulfil the conditions, at least "
        "3 are needed: 1 is not on the mains). Loosen the selector's conditions, or add devices"
    )
    finished = [record.event for record in anyio.run(store.records) if isinstance(record.event, e.GroupFinished)]
    assert {event.group for event in finished} == {"g2", "g3"}
    assert not any(event.failed for event in finished)
    assert [event.group for event in seen if isinstance(event, e.RoundPostponed)] == ["g1"]
