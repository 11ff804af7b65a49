"""The loop on virtual time."""

import asyncio
import threading
import time

import anyio
import pytest

from tierwise.core.errors import TierwiseError
from tierwise.runtime.simulation.clock import SimulationStalledError, VirtualTimeLoop
from tierwise.runtime.simulation.run import run_virtually


def now():
    return asyncio.get_running_loop().time()


def test_time_begins_at_zero_and_jumps_exactly():
    async def main():
        assert now() == 0
        await asyncio.sleep(0)
        assert now() == 0
        seen = []
        for seconds in (0.1, 1e-6, 3600.0, 0.3, 86_400.0 * 365, 1e-3):
            due_at = now() + seconds
            await asyncio.sleep(seconds)
            seen.append(now() - due_at)
        return seen

    began = time.monotonic()
    assert all(abs(error) < 1e-8 for error in run_virtually(main()))
    assert time.monotonic() - began < 5


def test_a_timer_never_comes_before_its_time_as_far_as_a_loop_can_tell():
    async def main():
        loop, early = asyncio.get_running_loop(), []
        for number in range(2000):
            due_at = number * 0.1 + 1e6 / (number + 1)
            loop.call_at(due_at, lambda due_at=due_at: early.append(due_at - now()))
        await asyncio.sleep(2e6)
        return early

    early = run_virtually(main())
    assert len(early) == 2000
    assert max(early) <= 0


def test_twenty_thousand_sleepers_wake_in_order_and_at_once():
    async def main():
        woken = []

        async def sleep(number):
            await asyncio.sleep(number * 7919 % 20_000)
            woken.append((now(), number))

        async with asyncio.TaskGroup() as tasks:
            for number in range(20_000):
                tasks.create_task(sleep(number))
        return woken

    began = time.monotonic()
    woken = run_virtually(main())
    assert [at for at, _ in woken] == list(range(20_000))
    assert all(number * 7919 % 20_000 == at for at, number in woken)
    assert time.monotonic() - began < 30


def test_of_equal_times_what_was_scheduled_first_happens_first():
    async def main():
        order = []

        async def sleep(number):
            await asyncio.sleep(5)
            order.append(number)

        async with asyncio.TaskGroup() as tasks:
            for number in range(100):
                tasks.create_task(sleep(number))
        return order

    assert run_virtually(main()) == list(range(100))


def test_time_stands_still_while_anything_is_runnable():
    async def main():
        for _ in range(1000):
            await asyncio.sleep(0)
        return now()

    assert run_virtually(main()) == 0


def test_cancelled_timers_do_not_count():
    async def main():
        loop = asyncio.get_running_loop()
        for seconds in range(1, 300):
            loop.call_later(seconds / 100, print).cancel()
        await asyncio.sleep(1000)
        return now()

    assert run_virtually(main()) == 1000


def test_anyios_deadlines_are_on_virtual_time():
    async def main():
        with anyio.move_on_after(600):
            await anyio.sleep_forever()
        return anyio.current_time()

    assert run_virtually(main()) == 600


def test_waiting_for_what_never_happens_is_an_error():
    cleaned = []

    async def main():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)  # cleaning up may take its time
            cleaned.append(now())

    loop = VirtualTimeLoop()
    with pytest.raises(SimulationStalledError, match="waits for something that will never happen"):
        run_virtually(main(), loop)
    assert issubclass(SimulationStalledError, TierwiseError)
    assert cleaned == [1]
    assert loop.is_closed()


def test_calls_from_other_threads_are_served():
    async def main():
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(heard.set))
        thread.start()
        thread.join()
        await heard.wait()
        return now()

    assert run_virtually(main()) == 0


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()])
def test_an_exception_comes_out_and_the_loop_is_closed(error):
    async def main():
        asyncio.get_running_loop().create_task(asyncio.sleep(1e9))  # left over on purpose
        await asyncio.sleep(1)
        raise error

    loop = VirtualTimeLoop()
    with pytest.raises(type(error)) as raised:
        run_virtually(main(), loop)
    assert raised.value is error
    assert loop.is_closed()


def test_an_exception_in_a_callback_that_is_not_an_exception_comes_out_too():
    def interrupt():
        raise KeyboardInterrupt

    async def main():
        asyncio.get_running_loop().call_later(5, interrupt)
        await asyncio.sleep(1000)

    loop = VirtualTimeLoop()
    with pytest.raises(KeyboardInterrupt):
        run_virtually(main(), loop)
    assert loop.is_closed()


class Steps:
    """Things that happen at given times; each notes when, and may do something then."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.happened = []

    def happen(self, until):
        if not self.steps or self.steps[0][0] > until:
            return False
        due_at, do = self.steps.pop(0)
        asyncio.get_running_loop().jump_to(due_at)
        self.happened.append(now())
        do()
        return True


def nothing():
    pass


def test_happenings_take_place_at_their_times_between_timers():
    steps = Steps(*((at, nothing) for at in (1.0, 2.0, 2.5, 4.0)))

    async def main():
        attending = asyncio.create_task(asyncio.get_running_loop().attend(steps))
        seen = []
        for _ in range(3):
            await asyncio.sleep(1.25)
            seen.append((now(), list(steps.happened)))
        attending.cancel()
        return seen

    assert run_virtually(main()) == [(1.25, [1.0]), (2.5, [1.0, 2.0, 2.5]), (3.75, [1.0, 2.0, 2.5])]


def test_what_a_happening_wakes_runs_before_the_next_one():
    async def main():
        heard = asyncio.Event()
        steps = Steps((1.0, heard.set), (2.0, nothing))
        attending = asyncio.create_task(asyncio.get_running_loop().attend(steps))
        await heard.wait()
        attending.cancel()
        return now(), steps.happened

    assert run_virtually(main()) == (1.0, [1.0])


def test_what_a_happening_raises_comes_out_where_it_is_attended_to():
    def fail():
        raise ValueError("mine")

    async def main():
        with pytest.raises(ValueError, match="mine"):
            await asyncio.get_running_loop().attend(Steps((1.0, fail)))
        await asyncio.sleep(1)
        return now()

    assert run_virtually(main()) == 2


def test_when_no_more_happens_the_wait_is_an_error():
    async def main():
        await asyncio.get_running_loop().attend(Steps((1.0, nothing)))

    with pytest.raises(SimulationStalledError):
        run_virtually(main())
