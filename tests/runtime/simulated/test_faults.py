"""A federation through fire: whatever is lost, late, repeated, cut off or killed, the same things hold."""

import dataclasses
import functools
import os
import subprocess
import sys

import msgspec
import pytest

from tests.runtime.helpers import descriptor, name_of, plugins_with, targets_of
from tests.runtime.simulated import harness, replay
from tests.runtime.simulated.harness import INSISTENT, RunStuckError, Setup, WitnessStore, drawn, run
from tests.runtime.simulated.invariants import BrokenInvariantError, check
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.agent import AgentStage
from tierwise.core.deciding import Rejected
from tierwise.plugins.aggregation.mean import MeanReducer
from tierwise.plugins.descriptors import AggregatorDescriptor, Kind
from tierwise.runtime.simulation.faults import (
    AgentCrash,
    CoordinatorCrash,
    FaultPlan,
    FaultyLinks,
    LinkFaults,
    Partition,
    Way,
)
from tierwise.runtime.simulation.fleet import RELIABLE

CHUNK = 25
"""Seeds of one test."""


@functools.lru_cache(maxsize=CHUNK)
def ran(seed):
    return run(drawn(seed))


def hold(seeds):
    for seed in seeds:
        try:
            check(ran(seed))
        except Exception as error:
            told = f"seed {seed}: {type(error).__name__}: {error}"
            pytest.fail(f"{told}\n\nReplay it with:\n\n    python tests/runtime/simulated/replay.py {seed}\n")


def test_enough_goes_wrong():
    outcomes = [ran(seed) for seed in range(CHUNK)]
    happened = {type(record.event) for outcome in outcomes for record in outcome.records}
    losses = {e.DeviceLost, e.DeviceReturned, e.DeviceRemoved, e.DevicePlaced}
    assert losses | {e.GroupShort, e.GroupRecovered, e.GroupMerged, e.RoundAbandoned} < happened
    assert sum(outcome.crashes for outcome in outcomes) > CHUNK
    finished = [one for one in outcomes if isinstance(one.records[-1].event, e.FederationFinished)]
    assert len(finished) > CHUNK / 2  # and enough goes right to be worth the name of a federation


@pytest.mark.parametrize("first", range(0, 50, CHUNK))
def test_whatever_goes_wrong(first):
    hold(range(first, first + CHUNK))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(50, 5_050, 100))
def test_whatever_else_goes_wrong(first):
    hold(range(first, first + 100))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seed_replays_exactly(seed):
    once, again = run(drawn(seed)), run(drawn(seed))
    assert replay.digest(once) == replay.digest(again)
    assert once.kept == again.kept


@pytest.mark.parametrize("seed", [2, 3, 7])
def test_a_seed_gives_the_same_with_worker_processes(seed):
    alone, together = run(drawn(seed)), run(drawn(seed), workers=2)
    assert replay.digest(alone) == replay.digest(together)
    assert alone.kept == together.kept
    assert alone.bodies == together.bodies


def test_a_seed_replays_exactly_in_another_process():
    # Where strings hash to something else, sets have another order.
    digests = {replay.digest(run(drawn(5)))}
    for salt in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": salt}
        command = [sys.executable, replay.__file__, "--digest", "5"]
        digests.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip())
    assert len(digests) == 1


# -- scenarios


@functools.cache
def calm():
    outcome = run(Setup(FaultPlan(seed=0)))
    check(outcome)
    return outcome


def test_a_calm_run_is_worth_disturbing():
    happened = [type(record.event) for record in calm().records]
    assert happened.count(e.RoundClosed) == 3 * harness.ROUNDS
    assert e.RoundAbandoned not in happened
    assert e.DeviceLost not in happened
    assert 20 < calm().records[-1].at < harness.HORIZON_S
    assert len(calm().kept) == 9


def survived(plan, **changed):
    """Run a plan, check it, and return what happened."""
    outcome = run(Setup(plan, **changed))
    check(outcome)
    return outcome, [type(record.event) for record in outcome.records]


def test_only_drops():
    lossy = LinkFaults(drop=0.3)
    outcome, happened = survived(FaultPlan(seed=1, up=lossy, down=lossy))
    assert isinstance(outcome.records[-1].event, e.FederationFinished)
    assert e.DeviceLost not in happened
    assert set(outcome.stages.values()) == {AgentStage.DISMISSED}
    assert len(outcome.kept) == 9


def test_only_repetitions_and_disorder_change_nothing():
    messy = LinkFaults(duplicate=0.5, reorder=0.5, delay=0.5, delay_s=(0.0, 1.0))
    outcome, _ = survived(FaultPlan(seed=2, up=messy, down=messy))
    assert targets_of(outcome.records) == targets_of(calm().records)
    assert outcome.kept == calm().kept


STRONGEST = frozenset(name_of(number) for number in (6, 7, 8))


def cut_off(for_s, noticed_after_s=5.0):
    return FaultPlan(seed=3, partitions=(Partition(STRONGEST, 10.0, 10.0 + for_s, noticed_after_s),))


def test_a_group_that_is_cut_off_too_long_is_merged_and_disturbs_nobody_weaker():
    outcome, happened = survived(cut_off(90.0))
    assert happened.count(e.GroupMerged) == 1
    assert targets_of(outcome.records)["g1"] == targets_of(calm().records)["g1"]
    assert {outcome.kept[device] for device in STRONGEST} == {targets_of(outcome.records)["g2"]}


def test_a_group_that_is_back_in_time_goes_on():
    outcome, happened = survived(cut_off(15.0))
    assert e.GroupRecovered in happened
    assert e.GroupMerged not in happened
    assert {outcome.kept[device] for device in STRONGEST} == {targets_of(outcome.records)["g3"]}


def test_a_cut_that_nobody_notices_costs_rounds_at_most():
    outcome, happened = survived(cut_off(60.0, noticed_after_s=None))
    assert e.DeviceLost not in happened
    assert {outcome.kept[device] for device in STRONGEST} == {targets_of(outcome.records)["g3"]}


@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("done", [False, True])
def test_a_storm_of_coordinator_crashes_gives_the_same_bytes(done, forgetful):
    crashes = tuple(CoordinatorCrash(write, done) for write in range(1, 400, 3))
    outcome, _ = survived(FaultPlan(seed=4, coordinator_crashes=crashes, forgetful=forgetful))
    assert outcome.crashes > 30
    assert targets_of(outcome.records) == targets_of(calm().records)
    assert outcome.kept == calm().kept


def test_agents_that_crash_and_are_back_do_their_work_again():
    crashes = tuple(AgentCrash(name_of(number), 5.0 + 3 * number, down_s=2.0) for number in range(9))
    outcome, happened = survived(FaultPlan(seed=5, agent_crashes=crashes))
    assert e.RoundAbandoned not in happened
    assert targets_of(outcome.records) == targets_of(calm().records)
    assert outcome.kept == calm().kept


def test_the_word_of_a_loss_that_comes_when_the_device_is_back_is_put_right():
    crash = AgentCrash(name_of(0), at_s=12.0, down_s=1.0, noticed_after_s=4.0)
    _, happened = survived(FaultPlan(seed=6, agent_crashes=(crash,)))
    assert happened.count(e.DeviceLost) == happened.count(e.DeviceReturned) == 1


def test_everything_at_once():
    wild = LinkFaults(drop=0.25, duplicate=0.25, delay=0.4, reorder=0.4, delay_s=(0.0, 20.0))
    plan = FaultPlan(
        seed=7,
        up=wild,
        down=wild,
        partitions=(Partition(STRONGEST, 15.0, 40.0, 6.0), Partition(frozenset({name_of(0)}), 5.0, 100.0)),
        agent_crashes=tuple(AgentCrash(name_of(number), 12.0 * number, 9.0, 3.0) for number in range(9)),
        coordinator_crashes=tuple(CoordinatorCrash(write, write % 2 == 0, 5.0) for write in range(7, 300, 11)),
        forgetful=True,
    )
    outcome, _ = survived(plan)
    assert outcome.crashes > 5
    assert any(group.version > 0 for group in outcome.state.groups.values())


# -- the harness itself: planted mistakes that it has to find


class DroppingReducer(MeanReducer):
    """Loses the last update."""

    def reduce(self, updates, samples, out):
        super().reduce(updates[:-1], samples[:-1], out)


class TwiceAcceptingMachine:
    """Counts the repetition of an update as another one."""

    def __init__(self, machine):
        self._machine = machine

    def __getattr__(self, name):
        return getattr(self._machine, name)

    @property
    def stirred(self):
        return self._machine.stirred

    @stirred.setter
    def stirred(self, stirred):
        self._machine.stirred = stirred

    def decide(self, given, now):
        try:
            return self._machine.decide(given, now)
        except Rejected as rejected:
            if rejected.refusal is e.Refusal.DUPLICATE:
                return ()  # it is not foreseen that it would be refused
            raise

    def decide_together(self, inputs, now):
        decided, sequence = [], self.sequence
        for given in inputs:
            (one,) = self._machine.decide_together([given], now)
            again = isinstance(one, Rejected) and one.refusal is e.Refusal.DUPLICATE
            group = self.state.group_of_cohort(given.cohort) if again and isinstance(given, i.SubmitUpdate) else None
            if group is not None and self.state.groups[group].cohort is not None:
                names = ("arrived_at", "cohort", "device", "blob", "size_bytes", "samples", "metrics")
                one = [e.Record(sequence=0, at=0.0, event=e.UpdateAccepted(**{n: getattr(given, n) for n in names}))]
            if not isinstance(one, Rejected):
                at = max(now, self.latest_at)
                one = [e.Record(sequence=n, at=at, event=record.event) for n, record in enumerate(one, sequence)]
                sequence += len(one)
            decided.append(one)
        return decided


class HoardingStore(WitnessStore):
    """Deletes nothing."""

    async def delete(self, blobs):
        pass


LOSSY = LinkFaults(drop=0.3)


def test_a_reducer_that_loses_an_update_is_found():
    dropping = (
        descriptor(Kind.REDUCER, "dropping", DroppingReducer),
        AggregatorDescriptor(name="dropping", reducer="dropping", server_optimizer="plain", summary="For tests."),
    )
    outcome = run(Setup(FaultPlan(seed=0), aggregator="dropping", plugins=lambda: plugins_with(*dropping)))
    with pytest.raises(BrokenInvariantError, match=r"the mean of \('d6', 'd7', 'd8'\): off by"):
        check(outcome)


def test_a_machine_that_accepts_twice_is_found():
    def alter(running):
        running.federation = running._reception._federation = TwiceAcceptingMachine(running.federation)

    repeating = LinkFaults(duplicate=1.0)
    outcome = run(Setup(FaultPlan(seed=0, up=repeating), alter=alter))
    with pytest.raises(BrokenInvariantError, match="was accepted twice"):
        check(outcome)


def test_a_store_that_keeps_too_much_is_found():
    outcome = run(Setup(FaultPlan(seed=0)), HoardingStore())
    with pytest.raises(BrokenInvariantError, match="blobs that nobody needs are there"):
        check(outcome)


def test_a_store_that_lost_something_is_found():
    with pytest.raises(BrokenInvariantError, match="blobs that the final state needs are not there"):
        check(dataclasses.replace(calm(), blobs=calm().blobs[1:]))


def test_devices_that_never_ask_are_found():
    silent = dataclasses.replace(INSISTENT, poll_s=None)
    with pytest.raises(RunStuckError, match="not every device has left"):
        run(Setup(FaultPlan(seed=1, up=LOSSY, down=LOSSY), insist=silent))


def test_agents_that_say_everything_once_are_found():
    with pytest.raises(RunStuckError):
        run(Setup(FaultPlan(seed=1, up=LOSSY, down=LOSSY), insist=RELIABLE))


# -- and mistakes that are planted in the log


def first(kind):
    return next(number for number, record in enumerate(calm().records) if isinstance(record.event, kind))


def changed(number, **fields):
    """Return the calm log with another event in a place."""
    records = list(calm().records)
    event = msgspec.structs.replace(records[number].event, **fields)
    records[number] = msgspec.structs.replace(records[number], event=event)
    return records


def numbered(records):
    return [msgspec.structs.replace(record, sequence=number) for number, record in enumerate(records)]


def without(number):
    return numbered([*calm().records[:number], *calm().records[number + 1 :]])


def repeated(number):
    return numbered([*calm().records[: number + 1], *calm().records[number:]])


CLOSED, COHORT, UPDATE = first(e.RoundClosed), first(e.CohortClosed), first(e.UpdateAccepted)
OPENED, FINISHED = first(e.RoundOpened), first(e.GroupFinished)
SURVIVORS = calm().records[COHORT].event.survivors
EARLIER = calm().records[OPENED].event.model


@pytest.mark.parametrize(
    ("records", "found"),
    [
        (calm().records[:-1], "the log ends with"),
        ([*calm().records[:5], *calm().records[6:]], "is in place"),
        (list(reversed(numbered(list(reversed(calm().records))))), "is in place"),
        (repeated(UPDATE), "was accepted twice"),
        (without(UPDATE), "accepted were"),
        (without(CLOSED), "was opened beside another"),
        (without(COHORT), "has no closed cohort"),
        (repeated(OPENED), "was opened beside another"),
        (repeated(FINISHED), "finished twice"),
        (without(FINISHED), "have not finished"),
        (changed(OPENED, round=2), "round 2 of g1 came after 0"),
        (changed(OPENED, participants=SURVIVORS[:2]), "asked"),
        (changed(COHORT, survivors=SURVIVORS[:2]), "closed with 2 devices"),
        (changed(COHORT, survivors=(*SURVIVORS, "e0")), "were asked"),
        (changed(CLOSED, version=2), "version 2 came after 0"),
        (changed(CLOSED, samples=1), "counts 1 samples"),
        (changed(CLOSED, model=EARLIER), "is not the one before and the mean of"),
        (changed(FINISHED, metrics={}), "shows an accuracy over 0 samples"),
        (changed(FINISHED, model=EARLIER), "its latest is"),
    ],
)
def test_a_mistake_in_the_log_is_found(records, found):
    with pytest.raises(BrokenInvariantError, match=found):
        check(dataclasses.replace(calm(), records=records))


@pytest.mark.parametrize("name", ["d0", "d8"])
def test_a_device_with_a_model_that_is_not_its_groups_is_found(name):
    with pytest.raises(BrokenInvariantError, match=f"device {name} of g. has the model"):
        check(dataclasses.replace(calm(), kept={**calm().kept, name: EARLIER}))


# -- the network's dice


def test_links_do_what_their_probabilities_say():
    faults = LinkFaults(drop=0.3, duplicate=0.2, delay=0.5, reorder=0.1, delay_s=(1.0, 2.0))
    links = FaultyLinks(FaultPlan(seed=8, up=faults))
    came = [list(links.arrivals(name_of(0), Way.UP, 100.0 * n)) for n in range(4_000)]
    arrived = [arrivals for arrivals in came if arrivals]
    assert len(arrived) / len(came) == pytest.approx(0.7, abs=0.03)
    assert sum(len(arrivals) == 2 for arrivals in arrived) / len(arrived) == pytest.approx(0.2, abs=0.03)
    late = sum(arrivals[0] % 100 >= 1.0 for arrivals in arrived) / len(arrived)
    assert late == pytest.approx(0.1 + 0.9 * 0.5, abs=0.03)
    assert all(arrivals[0] % 100 <= 2.0 for arrivals in arrived)
    assert list(links.arrivals(name_of(0), Way.DOWN, 5.0)) == [5.0]


def test_a_delay_holds_up_what_comes_after_it_and_reordering_does_not():
    delayed = FaultyLinks(FaultPlan(seed=9, up=LinkFaults(delay=0.5, delay_s=(5.0, 50.0))))
    came = [at for n in range(200) for at in delayed.arrivals(name_of(0), Way.UP, float(n))]
    assert came == sorted(came)
    reordered = FaultyLinks(FaultPlan(seed=9, up=LinkFaults(reorder=0.5, delay_s=(5.0, 50.0))))
    came = [at for n in range(200) for at in reordered.arrivals(name_of(0), Way.UP, float(n))]
    assert came != sorted(came)
    assert {float(n) for n in range(200)} & set(came)
