"""Things of many senders, handled side by side; those of one in order."""

import anyio
import pytest

from tierwise.runtime.lanes import LANES, WAITING_LIMIT, Lanes

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Handling:
    """Handles nothing until it is told to, and notes what it was given."""

    def __init__(self):
        self.begun, self.done = [], []
        self.may_end = anyio.Event()

    async def __call__(self, thing):
        self.begun.append(thing)
        await self.may_end.wait()
        self.done.append(thing)


async def test_different_senders_side_by_side_and_one_in_order():
    handling = Handling()
    lanes = Lanes(handling)
    async with anyio.create_task_group() as tasks:
        lanes.start(tasks)
        for number in range(3):
            for sender in "ab":
                await lanes.put(sender, f"{sender}{number}")
        await anyio.wait_all_tasks_blocked()
        assert handling.begun == ["a0", "b0"]
        handling.may_end.set()
        await anyio.wait_all_tasks_blocked()
        assert [thing for thing in handling.done if thing[0] == "a"] == ["a0", "a1", "a2"]
        assert [thing for thing in handling.done if thing[0] == "b"] == ["b0", "b1", "b2"]
        assert not lanes._of, "nobody is remembered of whom nothing waits"
        tasks.cancel_scope.cancel()


async def test_who_brings_much_does_not_keep_others_waiting():
    lanes = Lanes(handled := Handling())
    handled.may_end.set()
    for number in range(100):
        await lanes.put("flood", number)
    await lanes.put("other", "word")
    async with anyio.create_task_group() as tasks:
        lanes.start(tasks)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert handled.done.index("word") <= LANES
    assert len(handled.done) == 101


async def test_what_waits_is_bounded():
    lanes = Lanes(handling := Handling())
    async with anyio.create_task_group() as tasks:
        for number in range(WAITING_LIMIT):
            await lanes.put("flood", number)
        with anyio.move_on_after(0.05) as waiting:
            await lanes.put("flood", "one too many")
        assert waiting.cancelled_caught
        handling.may_end.set()
        lanes.start(tasks)
        with anyio.fail_after(10):
            await lanes.put("flood", "the last")
            await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert handling.done == [*range(WAITING_LIMIT), "the last"]


async def test_what_fails_ends_it():
    async def fail(thing):
        raise OSError(thing)

    async def run():
        lanes = Lanes(fail)
        async with anyio.create_task_group() as tasks:
            lanes.start(tasks)
            await lanes.put("a", "broken")

    with pytest.raises(ExceptionGroup) as raised:
        await run()
    assert raised.group_contains(OSError, match="broken")
