"""Agents and brokers that are killed, and all programs at once: what was acknowledged counts, and once."""

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runtime.broker import Broker, running
from tests.runtime.programs.lives import AGENTS, COORDINATOR, Lives
from tests.runtime.programs.nothing_lost import (
    check_cohorts,
    check_full,
    check_models,
    check_receipts,
    events,
    finished,
    read_log,
)
from tests.runtime.programs.processes import STORE, Running, Scene, configuration, scene
from tests.runtime.programs.undisturbed import patient
from tierwise.core import events as e

pytestmark = pytest.mark.timeout(600)

VICTIM = "d1"
LINGER_S = 300
MEMORIES = {"a broker that forgets": "", "a broker that remembers": "persistence true\nautosave_interval 1\n"}
"""What a killed broker knows afterwards: nothing, or what was true up to a second before."""


def answer(agent: Running, cohort: str, key: str, kind: str) -> bool:
    """Tell whether an agent sent or received something of a cohort."""
    return any(line.get(key) == kind and line["cohort"] == cohort for line in agent.lines() if key in line)


def kill_within_its_fit(programs: Lives, cohort: str) -> None:
    """Wait until the victim works for a cohort, and kill it."""
    (victim,) = programs.agents[VICTIM]
    victim.until(lambda one: answer(one, cohort, "received", "round"))
    assert programs.kill([VICTIM])
    assert not answer(victim, cohort, "sent", "update"), "it was too quick to be killed within its fit"


def stop_lingering(programs: Lives) -> None:
    """Wait for the agents, then end the coordinator that waits for more of them."""
    programs.end()
    assert programs.coordinator.told(signal.SIGTERM) == 0, programs.coordinator.last_words()


@contextmanager
def own_broker(folder: Path, memory: str) -> Iterator[tuple[Broker, Scene]]:
    """Give a broker that may be killed, and a scene with it."""
    place = folder / "broker"
    place.mkdir()
    more = f"{memory}persistence_location {place}/\n" if memory else ""
    with running(place, more=more) as broker, scene(folder, f"mqtt://{broker.host}:{broker.port}") as stage:
        yield broker, stage


def test_an_agent_killed_within_its_fit_delivers_in_its_next_life(stage, undisturbed) -> None:
    file = patient(stage, "fitting", rounds=3, tiers='provider = "leisurely"\nfit_s = 1.5')
    programs = Lives(stage, file, "fitting")
    kill_within_its_fit(programs, "g1.r2")
    programs.start([VICTIM])
    assert programs.coordinator.wait() == 0, programs.coordinator.last_words()
    programs.end()

    log = read_log(programs.store)
    check_full(log)
    check_receipts(check_cohorts(log), programs.agents)
    assert answer(programs.agents[VICTIM][1], "g1.r2", "sent", "update")
    check_models(stage.folder, undisturbed.models(3))


def test_an_agent_killed_within_its_fit_comes_too_late_and_takes_part_again(stage) -> None:
    file = configuration(
        stage.folder / "run.toml", stage.broker, name="late", rounds=12, groups=1, deadline_s=4,
        tiers='provider = "leisurely"\nfit_s = 0.7', more=STORE,
    )  # fmt: skip
    programs = Lives(stage, file, "late")
    kill_within_its_fit(programs, "g1.r2")
    programs.coordinator.until(lambda one: len(events(one, "round-closed")) >= 2)
    programs.start([VICTIM])
    assert programs.coordinator.wait() == 0, programs.coordinator.last_words()
    programs.end()

    log = read_log(programs.store)
    accepted = check_cohorts(log)
    check_receipts(accepted, programs.agents)
    assert ("g1.r2", VICTIM) not in accepted
    assert [r.event.version for r in log if isinstance(r.event, e.RoundClosed)] == list(range(1, 13))
    assert any(device == VICTIM and cohort not in ("g1.r1", "g1.r2") for cohort, device in accepted)
    check_models(stage.folder, finished(log))


def test_all_programs_killed_at_once_lose_nothing(stage, here, undisturbed) -> None:
    chance, records = random.Random(6), len(undisturbed.records)
    programs, lives = Lives(stage, patient(stage, "all", signed=True), "all", linger_s=LINGER_S), []
    for mark in (chance.randint(1, records - 1), records):
        programs.until(mark)
        time.sleep(chance.uniform(0, 0.1))
        killed = programs.kill([COORDINATOR, *AGENTS])
        assert COORDINATOR in killed
        assert mark == records or "was killed; started again, it goes on" in here("status", programs.store)[1]
        programs.start(killed)
        lives.append(programs.coordinator)
    stop_lingering(programs)
    programs.check(undisturbed)
    second, _ = lives  # which may have come to the end before it was killed, so that there was nothing to go on with
    assert any("going on where the store stands" in line.get("message", "") for line in second.lines())


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_a_killed_broker_and_an_agent_that_needs_what_it_kept_lose_nothing(tmp_path, undisturbed, memory) -> None:
    with own_broker(tmp_path, memory) as (broker, stage):
        chance, records = random.Random(5), len(undisturbed.records)
        file = patient(stage, "brokers", tiers='provider = "leisurely"\nfit_s = 0.1')  # most are fitting, at any time
        programs = Lives(stage, file, "brokers", linger_s=LINGER_S)
        for mark in sorted(chance.randint(1, records - 1) for _ in range(3)):
            programs.until(mark)
            time.sleep(chance.uniform(0, 0.1))
            broker.stop(kill=True)
            killed = programs.kill([chance.choice(AGENTS)])
            time.sleep(chance.uniform(0, 1))
            broker.start()
            programs.start(killed)
        stop_lingering(programs)
        programs.check(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_whatever_is_killed_nothing_is_lost(tmp_path, undisturbed, seed) -> None:
    """At each of some points of the log, some programs die, and come back in any order; often the broker as well."""
    chance, records = random.Random(seed), len(undisturbed.records)
    with own_broker(tmp_path, list(MEMORIES.values())[seed % 2]) as (broker, stage):
        programs = Lives(stage, patient(stage, "any", signed=chance.random() < 0.5), "any", linger_s=LINGER_S)
        for mark in [*sorted(chance.randint(1, records - 1) for _ in range(7)), records]:
            programs.until(mark)
            time.sleep(chance.uniform(0, 0.05))
            victims = [name for name in (COORDINATOR, *AGENTS) if chance.random() < 0.3]
            with_broker = chance.random() < 0.3
            print(f"seed {seed}: at {mark} die {victims}{' and the broker' if with_broker else ''}")
            if with_broker:
                broker.stop(kill=True)
            killed = programs.kill(victims)
            chance.shuffle(killed)
            if with_broker:
                time.sleep(chance.uniform(0, 1))
                broker.start()
            programs.start(killed)
        stop_lingering(programs)
        programs.check(undisturbed)
