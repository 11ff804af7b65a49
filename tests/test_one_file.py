"""The example of a probe, a policy and a model in one file: it keeps the contracts, and a federation runs with it."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.runtime.broker import needs_mosquitto, running
from tests.runtime.programs.processes import PATIENCE_S, scene, tierwise
from tierwise.plugins.testing import TASK, check_grouping_policy, check_learner, check_probe

EXAMPLE = Path(__file__).parent.parent / "examples/one-file"


@pytest.fixture(scope="module")
def mine() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("mine", EXAMPLE / "mine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mine"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["mine"]


def test_each_plugin_keeps_its_contract(mine) -> None:
    check_probe(mine.UptimeProbe())
    check_grouping_policy(mine.WidestGapPolicy(mine.WidestGapOptions()))
    check_learner(mine.FourierLearner(mine.FourierOptions(), TASK))


def test_a_simulation_uses_all_of_the_file(tmp_path: Path) -> None:
    code, out, err = tierwise("simulate", EXAMPLE / "federation.toml", "--json", "--out", tmp_path / "out")
    assert code == 0, err
    report = json.loads(out)
    from_file = {(one["kind"], one["name"]) for one in report["plugins"] if one["distribution"] == "mine.py"}
    assert from_file == {("grouping policy", "widest-gap"), ("learner", "fourier")}
    groups = report["run"]["groups"]
    assert [(group["group"], group["devices"]) for group in groups] == [("g1", 4), ("g2", 4), ("g3", 3)]
    assert report["run"]["unplaced"] == {"desk-4": "was switched on 40 s ago, 300 s are needed"}
    assert [group["tier"] for group in groups] == ["fourier-128", "fourier-512", "fourier-512"]
    for group in groups:
        assert group["metrics"]["accuracy"]["value"] > 0.8


@needs_mosquitto
def test_coordinator_and_agents_use_it_over_a_broker(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "mine.py", tmp_path)
    (tmp_path / "broker").mkdir()
    text = (EXAMPLE / "federation.toml").read_text().replace('[fleet]\nhardware = "fleet.csv"\n', "")
    with running(tmp_path / "broker") as broker, scene(tmp_path, f"mqtt://{broker.host}:{broker.port}") as there:
        more = f'[mqtt]\nbroker = "{there.broker}"\n[enrolment]\nmin_devices = 3\n[security]\ninsecure = true\n'
        (tmp_path / "run.toml").write_text(text.replace("0.05", "60").replace("rounds = 10", "rounds = 2") + more)
        coordinator = there.start("coordinator", "coordinator", "run.toml", "--out", "out", "--log-json")
        agents = [
            there.start(
                f"d{number}", "agent", "--broker", there.broker, "--federation", "one-file", "--id", f"d{number}",
                "--data", f"digits:part={number},parts=9", "--plugins", "mine.py", "--out", f"model-{number}",
            )
            for number in range(3)
        ]  # fmt: skip
        for process in (coordinator, *agents):
            assert process.wait(PATIENCE_S) == 0, process.last_words()
    (reported,) = {
        frozenset(line["profile"]["quantities"])
        for line in coordinator.lines()
        if line.get("event") == "hardware-reported"
    }
    assert "uptime_s" in reported
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert [group["tier"] for group in result["run"]["groups"]] == ["fourier-512"]
