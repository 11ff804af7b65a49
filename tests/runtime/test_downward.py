"""Federations in which devices of stronger groups are guests of weaker ones, in time that they have left."""

import functools

import anyio
import msgspec
import numpy as np
import pytest

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core.envelope import open_from_device, seal
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import GroupId
from tierwise.core.learning import LocalData
from tierwise.core.messages import Hello
from tierwise.core.selection import Postponed
from tierwise.plugins.selection.all import AllSelector
from tierwise.plugins.selection.conditions import ConditionsOptions, ConditionsSelector
from tierwise.plugins.selection.random import RandomOptions, RandomSelector
from tierwise.runtime.evaluation import evaluated_models
from tierwise.runtime.policies import Choice
from tierwise.runtime.runners import _selected
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import simulate
from tierwise.runtime.stores.memory import MemoryStore
from tierwise.runtime.transports.memory import MemoryNetwork

from .helpers import (
    LADDER,
    TASK,
    CopyingStore,
    coordinator,
    data,
    facts,
    live,
    name_of,
    plugins,
    policies,
    run_with_agents,
    settings,
    specs,
    targets_of,
)
from .test_crash import CrashingStore, simulate_with, survive
from .test_determinism import log_bytes

DOWNWARD = settings(downward=True)
STRONGER = {"g1": ("d3", "d4", "d5", "d6", "d7", "d8"), "g2": ("d6", "d7", "d8"), "g3": ()}


@functools.cache
def simulated(store=None):
    return simulate(DOWNWARD, specs(), policies=policies(), plugins=plugins(), store=store)


def events(records, kind):
    return [record.event for record in records if isinstance(record.event, kind)]


def opened(records, purpose="fit"):
    return [event for event in events(records, e.RoundOpened) if event.purpose == purpose]


# -- in a simulation


def test_every_round_of_a_weaker_group_has_the_stronger_groups_devices_as_guests():
    records = simulated().records
    assert {(event.group, event.guests) for event in opened(records)} == set(STRONGER.items())
    assert {(event.group, event.devices) for event in events(records, e.RoundClosed)} == {
        ("g1", 9),
        ("g2", 6),
        ("g3", 3),
    }
    assert not events(records, e.TaskDeclined)


def test_a_target_model_is_for_its_own_group_and_evaluated_by_it():
    done = simulated()
    assert [len(group.devices) for group in done.result.groups] == [3, 3, 3]
    assert {len(event.participants) for event in opened(done.records, "evaluate")} == {3}
    for model in evaluated_models(done.records):
        assert set(model.parts) == {f"d{3 * (int(model.group[1]) - 1) + n}" for n in range(3)}


def test_what_guests_learned_is_in_the_weak_groups_model_and_the_strongest_is_as_it_would_be():
    alone = targets_of(simulate(settings(), specs(), policies=policies(), plugins=plugins()).records)
    found = targets_of(simulated().records)
    assert {group for group in found if found[group] != alone[group]} == {"g1", "g2"}


def test_the_same_seed_gives_the_same_log():
    again = simulate(DOWNWARD, specs(), policies=policies(), plugins=plugins())
    assert log_bytes(again.records) == log_bytes(simulated().records)


def test_no_strong_group_waits_for_what_its_devices_do_as_guests():
    alone = simulate(settings(), specs(), policies=policies(), plugins=plugins()).records
    assert durations(simulated().records, "g3")[1:] == pytest.approx(durations(alone, "g3")[1:])


def durations(records, group):
    """Return how many seconds each round of a group took, but for its last evaluation."""
    opened_at = {r.event.cohort: r.at for r in records if isinstance(r.event, e.RoundOpened)}
    return [
        r.at - opened_at[r.event.cohort]
        for r in records
        if isinstance(r.event, e.CohortClosed) and r.event.group == group
    ]


BY_MEMORY = {"grouping": Choice(name="quantile", options={"by": "memory_bytes", "groups": 2})}


def hardware(number, predicted_s):
    """Return hardware on which a round of its group's tier takes so long by the prediction."""
    tiers = plugins().tier_provider(LADDER.name, LADDER.options).offers(TASK)
    cost = tiers[number // 3 and 1].cost
    flops = 24 * (cost.fit_flops_per_sample + cost.evaluate_flops_per_sample)
    return HardwareProfile.declared(
        cpu_flops=flops / predicted_s,
        memory_bytes=1_000 if number < 3 else 1_500,
        uplink_bytes_per_s=1e9,
        downlink_bytes_per_s=1e9,
    )


def pair_of_groups(strong_s, rounds=3):
    """Run two groups of three; the strong ones' rounds take so long by the prediction, the weak ones' a second."""
    seconds = [1.0] * 3 + strong_s
    fleet = {name_of(n): DeviceSpec(hardware(n, seconds[n]), data(n)) for n in range(6)}
    return simulate(
        settings(6, deadline_s=60.0, downward=True), fleet, policies=policies(rounds, **BY_MEMORY), plugins=plugins()
    ).records


def of_weak_group(records, kind):
    return [event for event in events(records, kind) if event.group == "g1"]


def test_who_has_no_time_for_both_by_the_prediction_is_not_invited():
    records = pair_of_groups([50.0, 50.0, 20.0])
    assert {event.guests for event in of_weak_group(records, e.RoundOpened)[:-1]} == {("d5",)}
    assert {event.devices for event in of_weak_group(records, e.RoundClosed)} == {4}


def test_a_guest_that_finds_no_time_says_so_and_the_round_goes_on():
    # There is time for both by the prediction, but the own work begins anew while a round of the weaker group waits.
    records = pair_of_groups([35.0, 35.0, 35.0], rounds=6)
    declined = [event for event in events(records, e.TaskDeclined) if event.cohort.startswith("g1.")]
    assert declined
    assert {event.version for event in of_weak_group(records, e.RoundClosed)} == set(range(1, 7))
    assert max(durations(records, "g1")) < 60, "no round went to its deadline"
    assert not any(event.cohort.startswith("g2.") for event in events(records, e.TaskDeclined))


def test_a_guest_whose_own_work_takes_longer_than_it_says_gives_up_when_it_is_too_late_to_begin():
    own = data(5)
    many = own.holdout.take(np.zeros(800, np.intp))  # which the prediction does not know of
    seconds = [1.0] * 3 + [5.0] * 3
    fleet = {name_of(n): DeviceSpec(hardware(n, seconds[n]), data(n)) for n in range(5)}
    fleet[name_of(5)] = DeviceSpec(hardware(5, 5.0), LocalData(own.train, many))
    given = settings(6, deadline_s=60.0, downward=True)
    records = simulate(given, fleet, policies=policies(rounds=3, **BY_MEMORY), plugins=plugins()).records
    assert ("g1.r1", "d5") in {(event.cohort, event.device) for event in events(records, e.TaskDeclined)}
    assert {event.devices for event in of_weak_group(records, e.RoundClosed)} == {5}
    assert 50 < durations(records, "g1")[0] < 60


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_coordinator_that_dies_is_continued_to_the_same_bytes(moment):
    alive = CrashingStore()
    expected = simulate_with(alive, settings=DOWNWARD)
    assert targets_of(expected) == targets_of(simulated().records)
    for append in range(2, alive.appends, 5):
        store = CrashingStore(**{moment: [append]})
        records = simulate_with(store, settings=DOWNWARD)
        assert store.crashes == 1
        assert targets_of(records) == targets_of(expected), append
        assert facts(records) == facts(expected), append


# -- with real agents


def test_real_agents_get_the_bytes_of_the_simulation():
    _, records, targets = anyio.run(functools.partial(run_with_agents, settings=DOWNWARD))
    assert targets_of(records) == targets_of(simulated().records)
    assert facts(records) == facts(simulated(store=CopyingStore()).records)
    for number, target in targets.items():
        assert target.group == f"g{1 + number // 3}"
        assert target.model.identity == targets_of(records)[target.group]


def test_real_agents_go_through_a_coordinators_death():
    async def main():
        store, network, targets = CrashingStore(after=[25, 50]), MemoryNetwork(), {}
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(live, number, network, targets)
            await survive(network.coordinator(), store, settings=DOWNWARD)
        return store.crashes, await store.records()

    crashes, records = anyio.run(main)
    assert crashes
    assert targets_of(records) == targets_of(simulated().records)


# -- selectors that know of no guests


def asked(candidates, guests, **quantities):
    profiles = [
        {name: HardwareProfile.declared(**quantities, mains_bool=float(name in mains)) for name in names}
        for names, mains in ((candidates, "abcd"), (guests, "xy"))
    ]
    return c.SelectParticipants(key="k", group=GroupId("g1"), candidates=profiles[0], guests=profiles[1], seed=3)


def test_all_take_part():
    assert sorted(_selected(AllSelector(), asked("abc", "xyz"))) == list("abcxyz")


def test_conditions_hold_for_guests_too():
    selector = ConditionsSelector(ConditionsOptions(mains=True))
    assert sorted(_selected(selector, asked("abcdef", "xyz"))) == list("abcdxy")
    assert isinstance(_selected(selector, asked("abef", "xyz")), Postponed), "guests do not bring a round about"


def test_members_are_drawn_as_they_would_be_without_guests():
    selector = RandomSelector(RandomOptions(fraction=0.5))
    without = set(_selected(selector, asked("abcdefgh", "")))
    found = set(_selected(selector, asked("abcdefgh", "uvwxyz")))
    assert {device for device in found if device in "abcdefgh"} == without
    assert 0 < len(found - without) < 6


def test_a_coordinator_with_devices_that_cannot_visit_has_no_guests():
    """Older agents say nothing of it in their hello."""

    async def main():
        class Older(MemoryNetwork):
            def report(self, arrived):
                message, body = open_from_device(arrived.data)
                if isinstance(message, Hello):
                    message = Hello(schema_hash=message.schema_hash, profile=message.profile)
                super().report(msgspec.structs.replace(arrived, data=seal(message, body)))

        store, network = MemoryStore(), Older()
        async with coordinator(network.coordinator(), store, settings=DOWNWARD) as running:
            async with anyio.create_task_group() as tasks:
                for number in range(9):
                    tasks.start_soon(live, number, network)
            await running.result()
        return await store.records()

    records = anyio.run(main)
    assert {event.guests for event in opened(records)} == {()}
    assert targets_of(records) == targets_of(
        simulate(settings(), specs(), policies=policies(), plugins=plugins()).records
    )
