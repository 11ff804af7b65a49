"""What coordinator and agent have of the machine does not grow with the rounds.

Of the memory that the coordinator's process had more after each round, two things were found in 2,500 rounds: the cache
of SQLite, which ends at 2 MB (after some 1,100 rounds), and the record of each closed round, which the stop rule is
shown, of 0.8 kB. An agent's memory stands still after some 500 rounds, 0.2 MB above that of the first 50.

A model has 96 kB here. So a single model or update that somebody keeps for each round is 3.2 MB more in each third of
100 rounds, and would not go unnoticed.
"""

import time
from statistics import mean

import pytest

from tests.runtime.broker import needs_mosquitto, running
from tests.runtime.faults.memory import Having, having
from tests.runtime.programs.processes import configuration, scene

pytestmark = needs_mosquitto
MODEL_BYTES = 96_000
SQLITE_BYTES = 2_000_000
SLACK_BYTES = 1_000_000
"""For what the allocator does, and 0.8 kB for each round."""
SAMPLES = 30


@pytest.mark.parametrize("rounds", [100, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_nothing_grows(tmp_path, rounds) -> None:
    with running(tmp_path) as broker, scene(tmp_path, f"mqtt://{broker.host}:{broker.port}") as stage:
        store = '[store]\npath = "run.db"\n'
        file = configuration(
            tmp_path / "run.toml",
            stage.broker,
            devices=3,
            groups=1,
            rounds=rounds,
            width=3000,
            deadline_s=120,
            more=store,
        )
        coordinator = stage.start("coordinator", "coordinator", file, "--log-json")
        agents = [stage.agent(number) for number in (3, 4, 5)]  # the strong ones, whose model is the large one
        of_coordinator, of_agent = sampled(coordinator, rounds, (coordinator, agents[0]))
        assert coordinator.wait() == 0, coordinator.err.read_text()
        assert [agent.wait() for agent in agents] == [0] * 3
    assert len(of_coordinator) >= SAMPLES - 3
    assert MODEL_BYTES * rounds / 3 > SQLITE_BYTES + SLACK_BYTES  # what is kept of each round can be seen
    check(of_coordinator, SQLITE_BYTES + SLACK_BYTES)
    check(of_agent, SLACK_BYTES)


def sampled(coordinator, rounds, processes) -> list[list[Having]]:
    """Look at processes `SAMPLES` times, at even distances of rounds."""
    samples: list[list[Having]] = [[] for _ in processes]
    closed, rest, patience_until = 0, b"", time.monotonic() + 60
    with coordinator.out.open("rb") as output:
        while closed < rounds:
            read = output.read()
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                closed += b'"event":"round-closed"' in line
            if read:
                patience_until = time.monotonic() + 60
            assert time.monotonic() < patience_until, f"nothing goes on after {closed} rounds"
            if len(samples[0]) + 1 <= closed * SAMPLES // rounds < SAMPLES:  # after the last one, they may have ended
                for process, taken in zip(processes, samples, strict=True):
                    taken.append(having(process.process.pid))
            time.sleep(0.01)
    return samples


def check(samples: list[Having], most_bytes: int) -> None:
    """Compare what a process has in the middle and the last third of its rounds."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    grown = mean(one.rss for one in last) - mean(one.rss for one in middle)
    assert grown < most_bytes, f"{grown / 1e6:.1f} MB more in the last third than in the one before"
    assert max(one.files for one in last) <= max(one.files for one in middle) + 2
    assert max(one.threads for one in last) <= max(one.threads for one in middle) + 2
