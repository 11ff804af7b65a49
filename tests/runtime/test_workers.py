"""Worker processes: the same bytes as in one thread, and nothing of them is left."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import anyio
import msgspec
import numpy as np
import psutil
import pytest
from msgspec.structs import fields, replace

from tierwise.core.coded_framing import CodedUpdates
from tierwise.core.errors import ConfigurationError, FederationError
from tierwise.core.events import Purpose, encode_record
from tierwise.core.framing import to_bytes
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import CohortId
from tierwise.core.learning import Dataset, FitBudget, FitStopped, LocalData, StopToken
from tierwise.core.task import Task
from tierwise.core.work import Job, perform
from tierwise.plugins.codecs.plain import Float32Codec
from tierwise.plugins.descriptors import Kind, PluginDescriptor
from tierwise.plugins.learners.mlp import MlpLearner
from tierwise.plugins.manager import Plugins
from tierwise.runtime.policies import Choice
from tierwise.runtime.simulation import in_processes as module
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.in_processes import in_processes
from tierwise.runtime.simulation.run import simulate
from tierwise.runtime.simulation.workers import JobFailed
from tierwise.runtime.stores.memory import MemoryStore

from .helpers import TASK, children, data, name_of, pack, plugins, policies, settings, specs

FILE = Path(__file__).with_name("learners_for_workers.py")
PATIENCE_S = 120.0
SEGMENTS = Path("/dev/shm")

pytestmark = pytest.mark.timeout(400)


@functools.cache
def file_plugins() -> Plugins:
    found = Plugins.discover()
    found.register_file(FILE)
    return found


def of_file(learner: str, rounds: int = 2):
    """Return policies whose only tier has a learner of the file."""
    return policies(rounds=rounds, groups=1, tiers=Choice(name="one", options={"learner": learner}))


class WitnessStore(MemoryStore):
    """Remembers all that was ever put."""

    def __init__(self):
        super().__init__()
        self.bodies = {}

    async def put(self, data):
        blob = await super().put(data)
        self.bodies[blob] = bytes(data)
        return blob


def traces(workers, fleet=None, **changed):
    """Run it, and return the log's bytes and all blobs, updates among them."""
    store = WitnessStore()
    given = {"policies": policies(), "plugins": plugins(), **changed}
    simulate(given.pop("settings", None) or settings(), fleet or specs(), store=store, workers=workers, **given)
    records = anyio.run(store.records)
    return b"".join(map(encode_record, records)), store.bodies


def segments() -> set[str]:
    """Return our own: other tests run beside these."""
    return {file.name for file in SEGMENTS.glob(f"tierwise-{os.getpid()}-*")} if SEGMENTS.is_dir() else set()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = children(), segments()
    yield
    assert (children(), segments()) == before


# -- the same bytes


@pytest.mark.parametrize("workers", [2, 3])
def test_the_log_and_all_models_are_the_same_whatever_the_number_of_workers(workers):
    expected = traces(1)
    assert traces(workers) == expected


def test_so_they_are_for_models_so_large_that_linear_algebra_would_use_threads():
    random = np.random.default_rng(0)
    task = Task(name="large", features=784, classes=tuple("0123456789"))

    def samples(count):
        return Dataset(random.normal(size=(count, 784)).astype(np.float32), random.integers(0, 10, count))

    fleet = {
        name_of(n): DeviceSpec(HardwareProfile.declared(cpu_flops=1e9), LocalData(samples(200), samples(300)))
        for n in range(3)
    }
    changed = {
        "settings": msgspec.structs.replace(settings(3, max_samples=400), task=task),
        "policies": policies(groups=1, tiers=Choice(name="mlp", options={"hidden": [[256]], "batch_size": 100})),
    }
    assert traces(1, fleet, **changed) == traces(2, fleet, **changed)


def test_so_they_are_where_features_are_divided_and_standardised():
    task = Task(name="clouds", features=4, classes=("a", "b", "c"), scale=2.0, standardise=True)
    changed = {"settings": msgspec.structs.replace(settings(), task=task)}
    assert traces(1, **changed) == traces(2, **changed)


def test_so_they_are_where_tensors_stay_on_the_devices():
    changed = {"policies": of_file("local", rounds=3), "plugins": file_plugins()}
    expected = traces(1, **changed)
    assert traces(2, **changed) == expected
    assert expected[1] != traces(1, policies=of_file("local", rounds=2), plugins=file_plugins())[1]


def test_so_they_are_where_learners_fail():
    changed = {"policies": of_file("failing"), "plugins": file_plugins()}
    expected = traces(1, **changed)
    assert b"too much of one kind" in expected[0]
    assert traces(2, **changed) == expected


def test_so_they_are_where_nobody_can_make_a_learner():
    changed = {"policies": of_file("unmade"), "plugins": file_plugins()}
    expected = traces(1, **changed)
    assert b"not today" in expected[0]
    assert traces(2, **changed) == expected


def test_so_they_are_where_few_updates_may_be_there_before_they_are_due(monkeypatch):
    monkeypatch.setattr(module, "_AHEAD", 1000)
    assert traces(2) == traces(1)


# -- single jobs


def job(learner: str, number: int = 1, purpose: Purpose = Purpose.FIT) -> Job:
    provider = file_plugins().tier_provider("one", {"learner": learner})
    (tier,) = provider.offers(TASK)
    model = provider.initial(TASK, tier, 0)
    return Job(
        cohort=CohortId(f"one/{number}"),
        purpose=purpose,
        tier=tier,
        base=model.identity,
        model=memoryview(to_bytes(model)),
        budget=FitBudget(),
        seed=number,
    )


def hired(count: int = 1, stop: StopToken | None = None, devices: int = 3):
    return in_processes(count, {name_of(n): data(n) for n in range(devices)}, TASK, file_plugins(), stop or StopToken())


@pytest.fixture
def marks(tmp_path, monkeypatch):
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.setenv("TIERWISE_TEST_MARKS", str(folder))
    return folder


def wait_for_mark(folder: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while not any(folder.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.005)


def test_what_is_dropped_before_a_process_has_room_is_never_computed(marks):
    with hired() as workers:
        running = [workers.begin(name_of(0), job("slow", 1), due_at=1.0)]
        wait_for_mark(marks)
        others = [workers.begin(name_of(1), job("slow", number), due_at=2.0) for number in range(2, 6)]
        time.sleep(0.01)
        workers._look()
        for one in (*others, *running):
            one.drop()
        assert workers.begin(name_of(2), job("local"), due_at=3.0).take().trained is not None
    assert len(list(marks.iterdir())) == 1


def test_what_is_due_first_is_done_first(marks):
    with hired() as workers:
        late = workers.begin(name_of(0), job("slow", 1), due_at=9.0)
        wait_for_mark(marks)  # the process has work, and room for one more batch
        time.sleep(0.01)
        stuck = workers.begin(name_of(1), job("slow", 2), due_at=8.0)
        for number in range(3, 8):
            workers.begin(name_of(1), job("slow", number), due_at=7.0)
        soon = workers.begin(name_of(2), job("local"), due_at=1.0)
        late.drop()
        stuck.drop()
        assert soon.take().trained is not None


def test_all_of_a_job_and_of_what_it_gives_survives_the_trip():
    plain = job("local")
    learner = file_plugins().learner("local", {}, TASK)
    coding = CodedUpdates(Float32Codec(), "float32", plain.tier.layout.aggregated)
    first = perform(plain, learner, coding, data(1), StopToken())
    again = replace(plain, local=first.trained.local, seed=2**64 - 1, budget=FitBudget(epochs=3, max_samples=30))
    with hired(2) as workers:
        for asked in (plain, again, job("local", purpose=Purpose.DESCRIBE), job("local", purpose=Purpose.EVALUATE)):
            expected = perform(asked, learner, coding, data(1), StopToken())
            done = workers.begin(name_of(1), asked, due_at=0.0).take()
            assert done.metrics == expected.metrics
            assert (done.trained is None) == (expected.trained is None)
            for one in fields(expected.trained) if expected.trained else ():
                assert getattr(done.trained, one.name) == getattr(expected.trained, one.name)


def test_a_damaged_model_is_told_as_it_is_in_a_thread():
    for model in (memoryview(b""), memoryview(b"damaged")):
        with hired() as workers:
            failed = workers.begin(name_of(0), replace(job("local"), model=model), due_at=0.0).take()
        assert isinstance(failed, JobFailed)
        assert "does not have the hash" in failed.reason


def test_memory_is_used_again():
    with hired(2) as workers:
        before = None
        for number in range(1, 30):
            assert workers.begin(name_of(1), job("local", number), due_at=0.0).take().trained is not None
            if number == 3:
                before = segments()
        assert segments() == before


# -- what goes wrong


def test_a_number_of_workers_below_1_is_refused():
    with pytest.raises(ConfigurationError, match=r"workers: 0 workers cannot do anything: 1 is this thread"):
        traces(0)


def test_a_class_that_a_process_cannot_import_is_told():
    here = sys.modules["only_here"] = ModuleType("only_here")
    here.Learner = type("Learner", (MlpLearner,), {})
    found = Plugins.discover()
    found.register_file(FILE)
    options = "tierwise.plugins.learners.mlp:MlpOptions"
    descriptor = PluginDescriptor(
        kind=Kind.LEARNER, name="slower", target="only_here:Learner", options=options, summary="For tests."
    )
    found.register(pack(descriptor))
    try:
        with pytest.raises(FederationError, match=r"'only_here' cannot be imported: .* simulate with workers=1"):
            traces(2, policies=of_file("slower"), plugins=found)
    finally:
        del sys.modules["only_here"]


def test_numbers_that_cannot_be_told_end_it():
    with pytest.raises(FederationError, match="what the learner 'strange' gave for device 'd"):
        traces(2, policies=of_file("strange"), plugins=file_plugins())


@pytest.mark.parametrize("learner", ["slow", "deaf"])
def test_told_to_stop_it_does(learner, marks):
    stop = StopToken()
    stopper = threading.Thread(target=lambda: (wait_for_mark(marks), stop.stop()))
    stopper.start()
    with pytest.raises(FitStopped):
        traces(2, policies=of_file(learner), plugins=file_plugins(), stop=stop)
    stopper.join()


def test_a_process_that_is_gone_is_told(marks):
    before = children()

    def kill() -> None:
        wait_for_mark(marks)
        os.kill(min(children() - before), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(FederationError, match=r"worker \d of 2: its process is gone, with -9, while jobs of d\d"):
        traces(2, policies=of_file("slow"), plugins=file_plugins())
    killer.join()


def test_a_process_that_is_gone_while_nobody_asks_it_is_told():
    with hired() as workers:
        workers.begin(name_of(0), job("local"), due_at=0.0).take()
        for pid in children():
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(FederationError, match=r"worker 1 of 1: its process is gone, with -9"):
            workers.begin(name_of(0), job("local"), due_at=0.0).take()


# -- whole programs

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.runtime import helpers
from tierwise.plugins import Plugins
from tierwise.runtime import Choice, simulate
plugins = Plugins.discover()
plugins.register_file(Path(sys.argv[2]))
policies = helpers.policies(groups=1, tiers=Choice(name="one", options={"learner": sys.argv[3]}))
done = simulate(helpers.settings(), helpers.specs(), policies=policies, plugins=plugins, workers=2)
print(done.result.groups[0].identity)
"""


def program(tmp_path: Path, learner: str) -> subprocess.Popen:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, script, Path(__file__).parents[2], FILE, learner],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_script_needs_no_guard_and_leaves_no_word(tmp_path):
    out, err = program(tmp_path, "local").communicate(timeout=PATIENCE_S)
    assert (len(out.strip()), err) == (64, "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes to interrupt")
def test_ctrl_c_reaches_all_and_one_ends_the_others(tmp_path, marks):
    process = program(tmp_path, "slow")
    wait_for_mark(marks)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert len(workers) >= 3
    assert err.strip().endswith("KeyboardInterrupt")
    assert "resource_tracker" not in err
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)
    assert not alive
