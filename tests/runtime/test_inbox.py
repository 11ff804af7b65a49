"""Which inputs are judged together."""

import anyio
import pytest

from tierwise.core import inputs as i
from tierwise.core.ids import DeviceId
from tierwise.runtime.inbox import BATCH_LIMIT, Inbox, Submitted

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def lost(device: str) -> i.LoseDevice:
    return i.LoseDevice(device=DeviceId(device), reason="silent")


async def batches(*inputs: i.Input) -> list[list[i.Input]]:
    inbox = Inbox()
    for given in inputs:
        inbox.put(Submitted(given))
    found = []
    with anyio.move_on_after(0.01):
        while True:
            found.append([submitted.given for submitted in await inbox.get()])
    return found


async def test_what_is_about_different_devices_comes_together():
    assert await batches(lost("a"), lost("b"), lost("c")) == [[lost("a"), lost("b"), lost("c")]]


async def test_what_is_about_one_device_comes_one_after_the_other():
    assert await batches(lost("a"), lost("b"), lost("a"), lost("c")) == [
        [lost("a"), lost("b")],
        [lost("a"), lost("c")],
    ]


async def test_everything_else_comes_alone_and_overtakes_nothing():
    stop = i.StopRuled(order="check-stop/g1/1", reason=None)
    assert await batches(lost("a"), i.Tick(), stop, lost("b"), lost("c")) == [
        [lost("a")],
        [i.Tick()],
        [stop],
        [lost("b"), lost("c")],
    ]


async def test_a_batch_has_an_end():
    found = await batches(*(lost(f"d{number}") for number in range(BATCH_LIMIT + 1)))
    assert [len(batch) for batch in found] == [BATCH_LIMIT, 1]


async def test_who_waits_gets_what_comes():
    inbox, got = Inbox(), []

    async def take():
        got.extend(await inbox.get())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        inbox.put(Submitted(lost("a")))
    assert [submitted.given for submitted in got] == [lost("a")]
