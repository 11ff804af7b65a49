"""When a commit waits for more of what is coming."""

import itertools
from functools import partial
from string import ascii_letters

import anyio
import pytest

from tests.core.drive import Drive, learning
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.ids import CohortId, DeviceId
from tierwise.runtime.gathering import DURATIONS, LEAST_S, MOST_S, Gathering, patience
from tierwise.runtime.inbox import Inbox, Submitted
from tierwise.runtime.lanes import LANES
from tierwise.runtime.stores.memory import MemoryStore

from . import helpers

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def collecting(*groups: str) -> Drive:
    drive = learning(*groups)
    for number in range(len(groups)):
        drive.select(f"g{number + 1}")
    return drive


def enough(drive: Drive, *given: i.Input) -> list[bool]:
    gathering = Gathering(drive.machine.state)
    return [gathering.enough(one) for one in given]


def test_it_waits_for_the_last_of_a_cohort() -> None:
    drive = collecting("abcd")
    updates = [drive.submission(device) for device in "abcd"]
    assert enough(drive, *updates) == [False, False, False, True]
    drive.give(updates[0])
    assert enough(drive, *updates[1:]) == [False, False, True], "one has been there before"


def test_of_several_cohorts_the_first_that_is_complete_goes_on() -> None:
    drive = collecting("abcd", "efg")
    ours = [drive.submission(device) for device in "ab"]
    theirs = [drive.submission(device, cohort="g2.r1") for device in "efg"]
    assert enough(drive, *ours, *theirs) == [False, False, False, False, True]


def test_nothing_else_is_kept_waiting() -> None:
    drive = collecting("abcd")
    decline = i.DeclineTask(device=DeviceId("a"), cohort=CohortId("g1.r1"), reason="busy")
    assert enough(drive, i.Tick()) == [True]
    assert enough(drive, decline) == [True]
    assert enough(drive, drive.submission("a"), i.LoseDevice(device=DeviceId("b"), reason="silent")) == [False, True]
    drive.update(*"abcd")
    assert enough(drive, drive.submission("a")) == [True], "its cohort is closed: it is only to be told so"


def test_there_is_an_end_to_it_where_no_other_could_come() -> None:
    drive = collecting(ascii_letters)
    found = enough(drive, *(drive.submission(device) for device in ascii_letters))
    assert found.index(True) == LANES - 1


def test_only_commits_that_take_long_are_waited_for() -> None:
    assert patience(0.0) == patience(LEAST_S / DURATIONS / 2) == 0
    assert patience(LEAST_S / DURATIONS) == pytest.approx(LEAST_S)
    assert patience(1.0) == MOST_S


async def test_what_comes_while_it_waits_is_in_the_next_batch() -> None:
    inbox, drive = Inbox(), collecting("abc")
    inbox.put(Submitted(drive.submission("a")))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inbox.gather, Gathering(drive.machine.state).enough, 60.0)
        for device in "bc":
            await anyio.sleep(0.001)
            inbox.put(Submitted(drive.submission(device)))
    assert len(await inbox.get()) == 3


async def test_it_ends_with_its_time() -> None:
    inbox, drive = Inbox(), collecting("abc")
    inbox.put(Submitted(drive.submission("a")))
    await inbox.gather(Gathering(drive.machine.state).enough, 0.001)
    assert len(await inbox.get()) == 1


class Disk(MemoryStore):
    """Takes its time for each commit, and remembers how many updates were in it."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[int] = []

    async def append(self, records):
        await anyio.sleep(0.002)
        await super().append(records)
        self.updates.append(sum(isinstance(record.event, e.UpdateAccepted) for record in records))


class OneAfterTheOther:
    """Has nine devices finish three milliseconds after each other."""

    def __init__(self, turns) -> None:
        self._turns = turns

    async def run(self, function):
        await anyio.sleep(0.003 * (next(self._turns) % 9))
        return function()


async def test_updates_that_come_one_by_one_share_commits() -> None:
    store, turns = Disk(), itertools.count()
    in_turn = partial(OneAfterTheOther, turns)
    await helpers.run_with_agents(store, agent_compute=in_turn, policies=helpers.policies(rounds=5, groups=1))
    commits = [count for count in store.updates if count]
    assert sum(commits) == 45
    assert len(commits) <= 25, "each by itself, they would take about 45"
