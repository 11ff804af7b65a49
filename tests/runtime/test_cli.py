"""The command line as a user has it: its output, its exit codes, and Ctrl-C; in processes where that matters."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tierwise.core.framing import unframe
from tierwise.plugins import Kind, Plugins
from tierwise.runtime.cli.program import COMMANDS

EXAMPLE = Path(__file__).parents[2] / "examples/digits.toml"
PROGRAM = (sys.executable, "-c", "from tierwise.runtime.cli import main; main()")
SMALL = """
[federation]
name = "small"
[data]
source = "halves"
[fleet]
devices = 6
[rounds]
deadline_s = 5
max_samples = 20
[grouping]
groups = 2
[tiers]
hidden = [[4]]
[stop]
rounds = 2
"""

# Data that is made in no time; a learner that hangs in C without the GIL, as a long linear algebra call would; and
# a tier provider that is broken.
PACK = """
import time
import msgspec
import numpy as np
from tierwise.core.learning import Dataset, LocalData
from tierwise.core.task import Task
from tierwise.plugins import Kind, PluginDescriptor, hookimpl
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider

@hookimpl
def tierwise_data_sources():
    yield PluginDescriptor(kind=Kind.DATA_SOURCE, name="halves", target="slow_pack:Halves", summary="Two half spaces.")

@hookimpl
def tierwise_learners():
    yield PluginDescriptor(kind=Kind.LEARNER, name="hanging", target="slow_pack:Hanging",
                           options="tierwise.plugins.learners.mlp:MlpOptions", summary="Hangs.")

@hookimpl
def tierwise_tier_providers():
    yield PluginDescriptor(kind=Kind.TIER_PROVIDER, name="hanging", target="slow_pack:Provider", summary="Hangs.")
    yield PluginDescriptor(kind=Kind.TIER_PROVIDER, name="broken", target="slow_pack:Broken", summary="Raises.")

class Halves:
    task = Task(name="halves", features=4, classes=("a", "b"))

    def load(self, part, parts, seed):
        random = np.random.default_rng((seed, part))
        return LocalData(self.samples(random, 20), self.samples(random, 5))

    def samples(self, random, size):
        features = random.normal(size=(size, 4)).astype(np.float32)
        return Dataset(features, (features[:, 0] > 0).astype(np.int64))

class Hanging(MlpLearner):
    def fit(self, weights, data, **rest):
        time.sleep(60)

class Provider(MlpTierProvider):
    def __init__(self):
        super().__init__(MlpLadderOptions(hidden=((4,), (5,))))

    def choose(self, task, envelope, limits):
        weak, strong = self.offers(task)
        if envelope.least("cpu_flops") < 1e10:
            return weak
        return msgspec.structs.replace(strong, learner="hanging")

    def initial(self, task, tier, seed):
        return super().initial(task, msgspec.structs.replace(tier, learner="mlp"), seed)

class Broken(MlpTierProvider):
    def __init__(self):
        super().__init__(MlpLadderOptions())

    def choose(self, task, envelope, limits):
        raise RuntimeError("no idea")
"""


@pytest.fixture(scope="module", autouse=True)
def pack(tmp_path_factory):
    """Install the policy pack for all processes of this module, and for this one."""
    folder = install(tmp_path_factory.mktemp("pack"), PACK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.syspath_prepend(folder)
        yield


def install(folder, source):
    metadata = folder / "slow_pack-1.0.dist-info"
    metadata.mkdir()
    (folder / "slow_pack.py").write_text(source)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-pack\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[tierwise]\nslow = slow_pack\n")
    return folder


def tierwise(*arguments, cwd=None, **environment):
    """Run the program; return its exit code, standard output and standard error."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr or environment.get("TIERWISE_TRACEBACK")
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


# Help and usage


def test_help_lists_the_commands(here) -> None:
    code, out, err = here("--help")
    assert (code, err) == (0, "")
    for words in ("demo", "simulate", "probe", "plugins", "Exit codes: 0 done", "--version"):
        assert words in out


@pytest.mark.parametrize("command", ["simulate", "probe", "plugins"])
def test_each_command_explains_itself_with_examples(here, command) -> None:
    code, out, err = here(command, "--help")
    assert (code, err) == (0, "")
    assert "--json" in out
    assert f"Examples:\n    tierwise {command}" in out


def test_version() -> None:
    code, out, _ = tierwise("--version")
    assert code == 0
    assert out.startswith("tierwise 0.")


WORKERS = (
    "Invalid value for '--workers': '{}' is no number of processes: write --workers N, N an integer of at least 1, or "
    "--workers auto, one for each processor (see `tierwise simulate --help`)"
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["simulat"],
            (
                "there is no command 'simulat' (did you mean 'simulate'?); "
                f"the commands: {', '.join(COMMANDS)} (see `tierwise --help`)"
            ),
        ),
        (["simulate"], "Missing argument 'FILE.toml'. (see `tierwise simulate --help`)"),
        (["simulate", "none.toml"], "none.toml: there is no such file"),
        (["simulate", "x.toml", "--seed", "-1"], None),
        (["simulate", "x.toml", "--workers", "0"], WORKERS.format("0")),
        (["simulate", "x.toml", "--workers", "some"], WORKERS.format("some")),
        (["plugins", "--kind", "prob"], None),
        (["--nonsense"], None),
    ],
)
def test_wrong_usage_is_one_line_and_2(here, tmp_path, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = here(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert message is None or err == f"error: {message}\n"


def test_every_fault_of_a_file_has_a_line(tmp_path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[rounds]\nepochs = 0\n[grouping]\npolicy = 'quantil'")
    code, out, err = tierwise("simulate", path)
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith(f"error: {path}: rounds.epochs: ")
    assert second.startswith(f"error: {path}: grouping.policy: there is no grouping policy named 'quantil' (did you")


def test_a_traceback_on_request(tmp_path) -> None:
    code, _, err = tierwise("simulate", tmp_path / "none.toml", TIERWISE_TRACEBACK="1")
    assert code == 2
    assert "Traceback" in err


def test_a_directory_with_other_files_is_refused_before_the_run(here, tmp_path, small) -> None:
    code, out, err = here("simulate", small, "--out", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path}: holds files, and no result.json of tierwise")


# probe and plugins


def test_probe(here) -> None:
    code, out, err = here("probe", "--json")
    assert (code, err) == (0, "")
    quantities = json.loads(out)["quantities"]
    assert quantities["cpu_flops"]["origin"] == "measured"
    assert quantities["uplink_bytes_per_s"] == {"value": 1e6, "origin": "default"}
    code, out, _ = here("probe")
    assert code == 0
    assert "GFLOP/s" in out
    assert "GiB" in out


def test_plugins(here) -> None:
    code, out, err = here("plugins")
    assert (code, err) == (0, "")
    assert "quantile" in out
    code, out, err = here("plugins", "--json", "--options", "--kind", "stop-rule")
    assert (code, err) == (0, "")
    listed = {plugin["name"]: plugin for plugin in json.loads(out)}
    assert set(listed) == {found.name for found in Plugins.discover().descriptors(Kind.STOP_RULE)}
    assert set(listed) >= {"rounds", "target", "any"}
    assert listed["rounds"]["distribution"] == "tierwise"
    assert listed["rounds"]["options"] == [
        {
            "name": "rounds",
            "allowed": "an integer of at least 1",
            "default": 30,
            "meaning": "Closed rounds after which a group stops; abandoned ones do not count.",
        }
    ]
    assert all(option["meaning"] for plugin in listed.values() for option in plugin["options"])
    code, out, _ = here("plugins", "--options")
    assert code == 0
    assert "stop-rule rounds" in out


def test_a_broken_plugin_is_2(tmp_path) -> None:
    code, out, err = tierwise("plugins", PYTHONPATH=str(install(tmp_path, "import nothing_like_this")))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "slow-pack 1.0" in err


# simulate


def test_simulate_shows_progress_and_a_table(here, small) -> None:
    code, out, err = here("simulate", small)
    assert code == 0
    assert [line.split()[:5] for line in out.splitlines()[2:4]] == [
        ["g1", "3", "mlp-4", "30", "2"],
        ["g2", "3", "mlp-4", "30", "2"],
    ]
    assert "accuracy" in out
    assert "g1 mlp-4: finished: 2 rounds, accuracy 0." in err


def test_simulate_json_is_one_document(here, tmp_path, small) -> None:
    out_dir = tmp_path / "out"
    code, out, _ = here("simulate", small, "--json", "--out", out_dir, "--seed", 3)
    assert code == 0
    printed, written = json.loads(out), json.loads((out_dir / "result.json").read_bytes())
    events = written.pop("events")
    assert printed == written
    assert printed["seed"] == printed["configuration"]["federation"]["seed"] == 3
    assert {plugin["kind"] for plugin in printed["plugins"]} >= {"data source", "learner"}
    assert len(events) > 20
    assert sorted(printed["files"]) == sorted(path.name for path in out_dir.iterdir() if path.name != "result.json")
    assert [Path(name).suffix for name in printed["files"]] == [".safetensors", ".json"] * 2 + [".html"]


def test_the_same_seed_gives_the_same_files(here, tmp_path, small) -> None:
    for name in ("a", "b"):
        assert here("simulate", small, "--out", tmp_path / name)[0] == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert [(tmp_path / "a" / name).read_bytes() for name in names] == [
        (tmp_path / "b" / name).read_bytes() for name in names
    ]


def test_worker_processes_give_the_same_files(here, tmp_path, small) -> None:
    for name, run, workers in (("alone", here, "1"), ("together", tierwise, "2")):
        code, _, err = run("simulate", small, "--out", tmp_path / name, "--workers", workers)
        assert code == 0, err
    for file in (tmp_path / "alone").iterdir():
        assert file.read_bytes() == (tmp_path / "together" / file.name).read_bytes()
    code, printed, err = here("simulate", small, "--json", "--workers", "auto")
    assert code == 0, err
    assert json.loads(printed)["run"] == json.loads((tmp_path / "alone/result.json").read_bytes())["run"]


def test_a_group_that_failed_is_1(here, tmp_path, small) -> None:
    small.write_text(SMALL.replace("hidden = [[4]]", "provider = 'broken'"))
    code, _, err = here("simulate", small, "--out", tmp_path / "out")
    assert code == 1
    assert "error: " in err
    assert "RuntimeError: no idea" in err
    assert (tmp_path / "out/result.json").exists()


def test_a_federation_that_failed_is_1_and_its_log_is_kept(here, tmp_path, small) -> None:
    small.write_text(SMALL.replace("groups = 2", "by = 'battery_j'"))
    code, out, err = here("simulate", small, "--json", "--out", tmp_path / "out")
    assert code == 1
    assert "battery_j" in json.loads(out)["run"]["failure"]
    assert "error: " in err
    assert json.loads((tmp_path / "out/result.json").read_bytes())["events"]


def test_too_few_samples_for_so_many_devices_is_the_files_fault(here, small) -> None:
    small.write_text("[fleet]\ndevices = 1000")
    code, _, err = here("simulate", small)
    assert code == 2
    assert f"error: {small}: data: data source 'digits' has 1797 samples" in err


def test_the_example_runs(here) -> None:
    code, out, _ = here("simulate", EXAMPLE, "--json")
    assert code == 0
    groups = json.loads(out)["run"]["groups"]
    assert [group["devices"] for group in groups] == [20, 20, 20]
    assert len({group["tier"] for group in groups}) > 1
    assert all(group["metrics"]["accuracy"]["value"] > 0.7 for group in groups)


# Ctrl-C


def start(*arguments, until, **environment):
    """Start the program and wait until a line of its standard error contains a text."""
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if until in line:
            return process
    raise AssertionError(f"it ended with {process.wait()} and never said {until!r}")


def interrupt(process, signum=signal.SIGINT):
    """Send a signal; return exit code, the seconds that the end took, and standard output."""
    asked_at = time.monotonic()
    process.send_signal(signum)
    out, err = process.communicate(timeout=20)
    took_s = time.monotonic() - asked_at
    assert "Traceback" not in err
    return process.returncode, took_s, out


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_a_long_run_and_keeps_its_log(tmp_path, small, signum, code) -> None:
    small.write_text(SMALL.replace("rounds = 2", "rounds = 1000000"))
    process = start("simulate", small, "--json", "--out", tmp_path / "out", until="g1 mlp-4: round")
    ended = interrupt(process, signum)
    assert ended[0] == code
    assert ended[1] < 2  # a second, and what a busy machine adds
    report = json.loads(ended[2])
    assert report["interrupted"] is True
    assert [group["finished"] for group in report["run"]["groups"]] == [False, False]
    written = json.loads((tmp_path / "out/result.json").read_bytes())
    assert len(written["events"]) > 10
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.json"]


def test_ctrl_c_ends_a_learners_long_call_and_keeps_finished_groups(tmp_path, small) -> None:
    """The strong group hangs in its first fit on virtual time, after the weak one has finished."""
    small.write_text(
        SMALL.replace("hidden = [[4]]", "provider = 'hanging'").replace("devices = 6", "hardware = 'f.csv'")
    )
    # The strong devices' downlink is so slow that they train when the weak ones are done.
    rows = [*(f"w{k},1e9,1e8,1e8" for k in range(3)), *(f"s{k},1e11,2000,1e8" for k in range(3))]
    small.with_name("f.csv").write_text("\n".join(["device,cpu_flops,downlink_bytes_per_s,uplink_bytes_per_s", *rows]))
    out_dir = tmp_path / "out"
    process = start("simulate", small, "--out", out_dir, until="g1 mlp-4: finished")
    code, took_s, out = interrupt(process)
    assert code == 130
    assert took_s < 2
    assert "interrupted" in out
    report = json.loads((out_dir / "result.json").read_bytes())
    assert [(group["group"], group["finished"]) for group in report["run"]["groups"]] == [("g1", True), ("g2", False)]
    assert report["files"] == ["g1-mlp-4.safetensors", "g1-mlp-4.json"], "and no page, for which nobody would wait"
    assert unframe((out_dir / "g1-mlp-4.safetensors").read_bytes()).layout.size == 30


# Weight


def modules(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{textwrap.dedent(code)}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


def test_help_is_light() -> None:
    loaded = modules("""
        import contextlib, io
        from tierwise.runtime.cli.program import run
        with contextlib.redirect_stdout(io.StringIO()):
            assert run(["--help"]) == 0
    """)
    assert not loaded & {"polars", "sklearn", "numpy", "rich", "msgspec", "anyio", "psutil"}


def test_core_is_light() -> None:
    assert not modules("import tierwise.core") & {"polars", "sklearn", "psutil", "rich", "click"}


def test_an_agent_with_a_numpy_learner_is_light() -> None:
    """It measures itself, joins, fits a round and sends its update, and loads nothing that only a coordinator needs."""
    loaded = modules("""
        import asyncio
        import numpy as np
        from tierwise.core import messages as m
        from tierwise.core.envelope import open_from_device, seal
        from tierwise.core.events import Purpose
        from tierwise.core.framing import to_bytes
        from tierwise.core.learning import Dataset, FitBudget, LocalData
        from tierwise.core.task import Task
        from tierwise.plugins import Plugins
        from tierwise.runtime import Agent, MemoryNetwork

        task = Task(name="halves", features=4, classes=("a", "b"))
        features = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
        data = Dataset(features, (features[:, 0] > 0).astype(np.int64))
        plugins = Plugins.discover()
        provider = plugins.tier_provider("mlp", {"hidden": [[4]]})
        tier = provider.offers(task)[0]
        model = provider.initial(task, tier, 0)
        welcome = m.Welcome(federation="f", assignment=m.Assignment(group="g1", tier=tier))
        announced = m.RoundAnnounced(group="g1", cohort="g1.r1", purpose=Purpose.FIT, model=model.identity, seed=0,
                                     participants=None, budget=FitBudget(), deadline_in_s=60)

        async def main():
            network = MemoryNetwork()
            end = network.coordinator()
            agent = Agent("a", task=task, data=LocalData(data, data), transport=network.agent("a"), plugins=plugins)
            async with end.connect(), agent:
                async for arrived in end.receive():
                    message, body = open_from_device(arrived.data)
                    if isinstance(message, m.Hello):
                        await end.send("a", seal(welcome))
                        await end.broadcast("g1", seal(announced, to_bytes(model)))
                    if isinstance(message, m.UpdateSent):
                        return message

        update = asyncio.run(asyncio.wait_for(main(), 30))
        assert update.samples == 30 and update.metrics["accuracy"].count == 30
    """)
    assert "tierwise.plugins.learners.mlp" in loaded
    assert not loaded & {"polars", "sklearn", "rich", "click"}
