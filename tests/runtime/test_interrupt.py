"""Work that is left when the user asks: results and errors come through, and signals end the wait."""

import os
import signal
import threading
import time

import pytest

from tierwise.core.learning import FitStopped
from tierwise.runtime.cli.interrupt import Interrupted, run_abandonable


def interrupting(wait_for, then):
    """Make work that sends this process a signal, waits as told, and then ends as told."""

    def work(stop):
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(stop)
        return then()

    return work


def until_told(stop):
    while True:
        time.sleep(0.001)
        try:
            stop.check()
        except FitStopped:
            return


def raise_stopped():
    raise FitStopped


def test_a_result_comes_through() -> None:
    assert run_abandonable(lambda _stop: 42) == 42
    assert run_abandonable(lambda _stop: None) is None


def test_an_error_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        run_abandonable(lambda _stop: 1 / 0)


def test_work_that_stops_when_it_is_told_is_not_abandoned() -> None:
    with pytest.raises(Interrupted) as caught:
        run_abandonable(interrupting(until_told, raise_stopped), patience_s=30)
    assert (caught.value.signum, caught.value.abandoned) == (signal.SIGINT, False)


def test_work_that_is_finished_all_the_same_counts() -> None:
    assert run_abandonable(interrupting(until_told, lambda: 42), patience_s=30) == 42


def test_work_that_does_not_stop_is_abandoned() -> None:
    gate = threading.Event()
    started_at = time.monotonic()
    with pytest.raises(Interrupted) as caught:
        run_abandonable(interrupting(lambda _stop: gate.wait(30), raise_stopped), patience_s=0.05)
    assert caught.value.abandoned
    assert time.monotonic() - started_at < 10
    gate.set()


def test_a_second_signal_ends_the_wait_at_once() -> None:
    gate = threading.Event()

    def insist(stop) -> None:
        until_told(stop)
        os.kill(os.getpid(), signal.SIGTERM)
        gate.wait(30)

    started_at = time.monotonic()
    with pytest.raises(Interrupted) as caught:
        run_abandonable(interrupting(insist, raise_stopped), patience_s=20)
    assert (caught.value.signum, caught.value.abandoned) == (signal.SIGINT, True)
    assert time.monotonic() - started_at < 10
    gate.set()


def test_who_handled_signals_before_does_so_again() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    seen = []
    run_abandonable(lambda _stop: seen.append(signal.getsignal(signal.SIGINT)))
    assert seen[0] is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_it_works_outside_of_the_main_thread() -> None:
    results = []
    thread = threading.Thread(target=lambda: results.append(run_abandonable(lambda _stop: 42)))
    thread.start()
    thread.join(10)
    assert results == [42]
