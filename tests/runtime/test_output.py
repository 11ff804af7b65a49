"""What a run leaves on disk: whole, typed, readable by others, and never over somebody's own files."""

import asyncio
import hashlib
import json
import math

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from tierwise.core.errors import ConfigurationError, FederationFailedError, StoreError
from tierwise.core.framing import unframe
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.metrics import Metric, read_metrics
from tierwise.core.settings import EnrolmentSettings, FederationSettings, RoundSettings
from tierwise.core.task import Task
from tierwise.plugins import Plugins
from tierwise.runtime.figures import Run
from tierwise.runtime.fleet.draw import draw_fleet
from tierwise.runtime.output import Card, claim, make_report, write_result
from tierwise.runtime.policies import Choice, Policies
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.run import simulate
from tierwise.runtime.stores.memory import MemoryStore

TASK = Task(name="halves", features=4, classes=("a", "b"))
PLUGINS = Plugins.discover()


def make_devices(count):
    random = np.random.default_rng(0)

    def samples(size):
        features = random.normal(size=(size, 4)).astype(np.float32)
        return Dataset(features, (features[:, 0] > 0).astype(np.int64))

    return {
        name: DeviceSpec(drawn.profile, LocalData(samples(20), samples(5)))
        for name, drawn in draw_fleet(count, 0).items()
    }


def run_federation(groups=2, store=None, **options):
    devices = make_devices(6)
    return simulate(
        FederationSettings(
            name="halves",
            task=TASK,
            seed=5,
            enrolment=EnrolmentSettings(min_devices=6, window_s=None),
            rounds=RoundSettings(deadline_s=10),
        ),
        devices,
        policies=Policies(
            grouping=Choice(name="quantile", options={"groups": groups, **options}),
            tiers=Choice(name="mlp", options={"hidden": [[2], [4]]}),
            stop=Choice(name="rounds", options={"rounds": 3}),
        ),
        plugins=PLUGINS,
        store=store,
    )


@pytest.fixture(scope="module")
def run():
    return Run.of(run_federation())


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def write(directory, run, **told):
    return write_result(directory, run, make_report(run, **told))


def test_a_result_has_figures_seed_versions_configuration_and_the_log(tmp_path, run) -> None:
    report = write(tmp_path / "new/out", run, configuration={"a": 1}, figures=[2], also_used=())
    written = json.loads((tmp_path / "new/out/result.json").read_bytes())
    assert (written["format"], written["interrupted"], written["seed"]) == ("tierwise.result.1", False, 5)
    assert (written["configuration"], written["figures"]) == ({"a": 1}, [2])
    assert set(written["versions"]) == {"tierwise", "python", "numpy", "platform", "kernels"}
    assert {plugin["kind"] for plugin in written["plugins"]} >= {"grouping policy", "tier provider", "stop rule"}
    assert [group["group"] for group in written["run"]["groups"]] == ["g1", "g2"]
    for group in written["run"]["groups"]:
        assert (group["devices"], group["contributed"], group["rounds"], group["tier"]) == (3, 3, 3, "mlp-4")
        assert (group["finished"], group["failed"], group["reason"]) == (True, False, "3 rounds")
        assert 0 <= group["metrics"]["accuracy"]["value"] <= 1
        assert group["metrics"]["accuracy"]["count"] == 15
        assert group["simulated_s"] > 0
    assert [record["sequence"] for record in written["events"]] == list(range(len(run.records)))
    assert written["events"][0]["event"]["event"] == "federation-opened"
    assert written["events"][-1]["event"]["event"] == "federation-finished"
    assert written["files"] == list(report.files)


def test_each_event_has_a_line(tmp_path, run) -> None:
    write(tmp_path, run)
    lines = (tmp_path / "result.json").read_text().splitlines()
    assert sum(line.startswith('    {"sequence":') for line in lines) == len(run.records)


def test_models_are_safetensors_with_a_card(tmp_path, run) -> None:
    report = write(tmp_path, run)
    assert report.files == ("g1-mlp-4.safetensors", "g1-mlp-4.json", "g2-mlp-4.safetensors", "g2-mlp-4.json")
    assert files(tmp_path) == sorted([*report.files, "result.json"])
    for group in ("g1", "g2"):
        data = (tmp_path / f"{group}-mlp-4.safetensors").read_bytes()
        card = msgspec.json.decode((tmp_path / f"{group}-mlp-4.json").read_bytes(), type=Card)
        assert (card.file, card.group, card.task, card.seed) == (f"{group}-mlp-4.safetensors", group, TASK, 5)
        assert card.sha256 == hashlib.sha256(data).hexdigest()
        assert (card.learner, card.options["hidden"], card.devices, card.rounds) == ("mlp", [4], 3, 3)
        assert (card.hardware.devices, card.hardware.profiles) == (3, ())  # it tells of no single device
        model = unframe(data)
        assert model.layout == card.layout
        loaded = safetensors.numpy.load(data)
        assert all(np.array_equal(loaded[name], tensor) for name, tensor in model.items())


def test_the_same_run_gives_the_same_bytes(tmp_path, run) -> None:
    write(tmp_path / "a", run)
    write(tmp_path / "b", Run.of(run_federation()))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert all(
        (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files(tmp_path / "a")
    )


def test_a_store_tells_the_same_as_the_simulation(run) -> None:
    store = MemoryStore()
    run_federation(store=store)
    read = asyncio.run(Run.read(store))
    assert (read.records, read.targets, read.figures) == (run.records, run.targets, run.figures)


def test_a_log_that_is_cut_short_gives_what_was_finished(tmp_path, run) -> None:
    """Wherever a run is interrupted, its log and finished models can be written."""
    for length in range(len(run.records) + 1):
        store = MemoryStore()

        async def fill(store=store, length=length) -> Run:
            await store.append(run.records[:length])
            for frame in run.targets.values():
                await store.put(frame)
            return await Run.read(store)

        cut = asyncio.run(fill())
        report = write(tmp_path, cut, interrupted=True)
        written = json.loads((tmp_path / "result.json").read_bytes())
        assert written["interrupted"] is True
        assert len(written["events"]) == length
        finished = [group.group for group in report.run.groups if group.finished]
        assert [name for name in report.files if name.endswith(".safetensors")] == [
            f"{name}-mlp-4.safetensors" for name in finished
        ]
        assert files(tmp_path) == sorted([*report.files, "result.json"])
    assert finished == ["g1", "g2"]


def test_a_federation_that_failed_says_why(tmp_path) -> None:
    store = MemoryStore()
    with pytest.raises(FederationFailedError):
        run_federation(store=store, by="battery_j")
    failed = asyncio.run(Run.read(store))
    report = write(tmp_path, failed)
    assert report.run.groups == ()
    assert "battery_j" in report.run.failure
    assert files(tmp_path) == ["result.json"]


def test_no_nan_gets_into_json() -> None:
    figures = read_metrics({"accuracy": Metric(sum=0.0, count=0), "log_loss": Metric(sum=math.inf, count=1)})
    assert msgspec.json.encode(figures) == (
        b'{"accuracy":{"value":null,"count":0},"log_loss":{"value":null,"count":1}}'
    )


# The directory


def test_an_earlier_result_is_replaced_and_nothing_of_it_stays(tmp_path, run) -> None:
    write(tmp_path, run)
    (tmp_path / "notes.txt").write_text("mine")
    report = write(tmp_path, Run.of(run_federation(groups=1)))
    assert files(tmp_path) == sorted([*report.files, "notes.txt", "result.json"])
    assert report.files == ("g1-mlp-4.safetensors", "g1-mlp-4.json")


def test_a_result_that_names_files_elsewhere_deletes_none(tmp_path, run) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text('{"format": "tierwise.result.1", "files": ["../precious.txt"]}')
    write(out, run)
    assert (tmp_path / "precious.txt").exists()


@pytest.mark.parametrize("content", ["", "{}", '{"format": "other"}', '{"format": 3}', "[]"])
def test_somebody_elses_files_are_left_alone(tmp_path, run, content) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        write(tmp_path, run)
    assert str(caught.value) == (
        f"{tmp_path}: holds files, and no result.json of tierwise: nothing was written there. Name a new or empty "
        "directory, or that of an earlier result, which is then replaced"
    )
    assert files(tmp_path) == ["result.json"]


def test_a_file_is_no_directory(tmp_path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ConfigurationError) as caught:
        claim(path)
    assert str(caught.value) == f"{path}: is a file; a result needs a directory of its own"
    with pytest.raises(ConfigurationError, match="cannot be written to: Not a directory"):
        claim(path / "below")


def test_a_write_that_fails_leaves_the_earlier_result_and_no_scraps(tmp_path, run) -> None:
    write(tmp_path, run)
    before = (tmp_path / "result.json").read_bytes()
    (tmp_path / "g2-mlp-4.json").unlink()
    (tmp_path / "g2-mlp-4.json").mkdir()  # what cannot be replaced by a file
    with pytest.raises(StoreError, match=f"the result cannot be written to {tmp_path}: Is a directory"):
        write(tmp_path, run)
    assert (tmp_path / "result.json").read_bytes() == before
    assert not [name for name in files(tmp_path) if name.endswith(".part")]
