"""Coordinators that are killed at random points and started again: nothing is lost, and the bytes are the same.

The agents are processes that stay, and find the next coordinator by themselves.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.runtime.programs.lives import COORDINATOR, Lives
from tests.runtime.programs.undisturbed import Undisturbed, patient

STARTING = 0.3
"""How many of them come while the program starts, perhaps before it has a connection or even the store."""


@dataclass(frozen=True)
class Point:
    """Where to kill a coordinator.

    Attributes
    ----------
    records
        So many must be in the log; None for counting from the process's start.
    delay_s
        So long after that; where it counts from the start, not later than at its first record.
    """

    records: int | None
    delay_s: float


def draw(seed: int, kills: int, undisturbed: Undisturbed) -> Iterator[Point]:
    """Choose where to kill: by the clock while the program starts, and by the log, from its first record to its last.

    Where the federation has ended before all kills are done, the others come to programs that start on an ended one.
    """
    chance = random.Random(seed)
    starting = [chance.random() < STARTING for _ in range(kills)]
    last = len(undisturbed.records)
    marks = iter([*sorted(chance.randint(1, last) for _ in range(starting.count(False) - 1)), last])
    for early in starting:
        if early:
            yield Point(None, chance.uniform(0, undisturbed.start_s))
        else:  # at once, where it is known to the log alone; or when it is known to some
            yield Point(next(marks), chance.choice((0.0, chance.uniform(0, 0.05))))
    while True:
        yield Point(None, chance.uniform(0, undisturbed.start_s))


def kill_again_and_again(programs: Lives, kills: int, points: Iterator[Point]) -> list[int]:
    """Kill coordinators, and start them again; return how long the log was at each death."""
    lengths: list[int] = []
    while len(lengths) < kills:
        point = next(points)
        following = len(programs.log) + 1
        if point.records is None:  # a program that starts quicker than the measured one must not run to the end
            programs.until(following, may_end=True, limit_s=point.delay_s)
        else:
            programs.until(max(point.records, following), may_end=True)
            time.sleep(point.delay_s)
        if programs.kill([COORDINATOR]):
            lengths.append(len(programs.log))
        programs.start([COORDINATOR])
    return lengths


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("seed", "kills"), [(1, 8), *(pytest.param(seed, 30, marks=pytest.mark.slow) for seed in range(1, 11))]
)
def test_killed_coordinators_lose_nothing(stage, undisturbed, seed, kills) -> None:
    file = patient(stage, f"killed-{seed}", signed=seed % 2 == 1)
    programs = Lives(stage, file, f"killed-{seed}")
    lengths = kill_again_and_again(programs, kills, draw(seed, kills, undisturbed))
    print(f"seed {seed}: killed when the log had {lengths} records")
    assert programs.coordinator.wait() == 0, programs.coordinator.last_words()
    programs.end()
    programs.check(undisturbed)
    within = {length for length in lengths if 0 < length < len(undisturbed.records)}
    assert len(within) > kills / 3, "they came too early or too late"
