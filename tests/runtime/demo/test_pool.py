"""Federations in processes of their own give what they give here, and nothing of them is left."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tests.runtime.helpers import children
from tierwise.core.errors import FederationError
from tierwise.core.learning import FitStopped, StopToken
from tierwise.runtime.demo.brought import Wanted
from tierwise.runtime.demo.outcome import ArmResult
from tierwise.runtime.demo.plan import ArmName
from tierwise.runtime.demo.pool import Pool, Task

PATIENCE_S = 120.0

pytestmark = pytest.mark.timeout(400)


def test_a_process_gives_the_same_result(wanted: Wanted, arms: list[ArmResult]) -> None:
    before, found = children(), {}
    with Pool(wanted).open() as pool:
        tasks = [Task(0, arm.name) for arm in arms[:2]]
        pool.run(tasks, StopToken(), lambda task, arm: found.setdefault(task.arm, arm))
        assert children() - before
    assert children() == before
    for arm in arms[:2]:
        assert found[arm.name].outcome == arm.outcome
        assert found[arm.name].run.records == arm.run.records


def test_each_process_computes_in_one_thread_unless_the_user_says_otherwise(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads of several processes wait for each other on the same processors, which cost a third of the time."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before, seen = children(), []
    with Pool(wanted).open() as pool:

        def look(*_: object) -> None:
            seen.extend(psutil.Process(pid).environ() for pid in children() - before)

        pool.run([Task(0, ArmName.SMALLEST)], StopToken(), look)
    assert [(one["OPENBLAS_NUM_THREADS"], one["OMP_NUM_THREADS"]) for one in seen] == [("1", "3")]
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_what_goes_wrong_there_is_told_here() -> None:
    with Pool(Wanted("digits:part=1,parts=2")).open() as pool, pytest.raises(FederationError) as caught:
        pool.run([Task(0, ArmName.LARGEST)], StopToken(), lambda *_: None)
    assert str(caught.value).startswith("seed 0: largest for all: --data digits:part=1,parts=2: part, parts and seed")


def test_a_process_that_is_gone_is_told(wanted: Wanted) -> None:
    with Pool(wanted).open() as pool:
        before = children()
        killer = threading.Thread(target=lambda: [os.kill(pid, signal.SIGKILL) for pid in wait_for_child(before)])
        killer.start()
        with pytest.raises(FederationError, match="its process is gone, with -9"):
            pool.run([Task(seed, ArmName.TIERWISE) for seed in range(100)], StopToken(), lambda *_: None)
    killer.join()


def test_a_process_that_is_gone_before_it_is_asked_is_told(wanted: Wanted) -> None:
    with Pool(wanted).open() as pool:
        before = children()

        def kill_all(*_: object) -> None:
            """Between two tasks of a process, with the next one still to be handed to it."""
            for pid in children() - before:
                os.kill(pid, signal.SIGKILL)
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

        with pytest.raises(FederationError, match="its process is gone, with -9"):
            pool.run([Task(0, ArmName.SMALLEST) for _ in range(100)], StopToken(), kill_all)


def wait_for_child(before: set[int]) -> set[int]:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := children() - before:
            return found
        time.sleep(0.01)
    raise AssertionError("no process was started")


def test_told_to_stop_it_leaves_no_process(wanted: Wanted) -> None:
    before, stop = children(), StopToken()
    stopper = threading.Thread(target=lambda: (wait_for_child(before), stop.stop()))
    stopper.start()
    with pytest.raises(FitStopped), Pool(wanted).open() as pool:
        pool.run([Task(seed, ArmName.TIERWISE) for seed in range(100)], stop, lambda *_: None)
    stopper.join()
    assert children() == before


def test_a_process_is_deaf_from_its_first_instruction_on(wanted: Wanted) -> None:
    """A Ctrl-C of the terminal comes when it likes, also while a process starts."""
    before, found = children(), []

    def interrupt() -> None:
        for _ in range(20):
            for pid in wait_for_child(before):
                os.kill(pid, signal.SIGINT)
            time.sleep(0.05)

    interrupter = threading.Thread(target=interrupt)
    with Pool(wanted).open() as pool:
        interrupter.start()
        pool.run([Task(0, ArmName.SMALLEST)], StopToken(), lambda _, arm: found.append(arm.name))
        interrupter.join()
    assert found == [ArmName.SMALLEST]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes to interrupt")
def test_ctrl_c_reaches_all_and_one_tells_the_others(wanted: Wanted) -> None:
    """A terminal's Ctrl-C goes to every process of the group: the workers are deaf, and are ended."""
    command = [sys.executable, "-c", "from tierwise.runtime.cli import main; main()", "demo"]
    process = subprocess.Popen(
        [*command, "--data", wanted.data, "--fleet", str(wanted.fleet), "--seeds", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if said.count("seed 0: ") == len(ArmName):
            break
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, said + err
    assert "Traceback" not in said + err
    assert "Side by side" in out, "the seeds that were finished are shown"
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)
    assert not alive
