"""Devices that read their own files, and a coordinator that has none, each a process, over mosquitto."""

import json
import shutil

import numpy as np
import polars as pl

from tests.runtime.programs.processes import Scene
from tierwise.runtime import load_model

CONFIGURATION = """
[federation]
name = "{name}"
[data]
source = "csv"
path = "rooms/*.csv"
target = "label"
features = ["heat", "draught"]
classes = ["shut", "open", "stuck"]
[enrolment]
min_devices = 3
[rounds]
deadline_s = 60
[grouping]
groups = 1
[tiers]
hidden = [[8]]
[stop]
rounds = 2
[mqtt]
broker = "{broker}"
"""


def room(number: int, columns: list[str]) -> pl.DataFrame:
    """Make a device's table: it knows two of the three classes, and has its columns in some order."""
    random = np.random.default_rng(number)
    labels = np.array(["shut", "open", "stuck"])[(random.integers(0, 2, 40) + number) % 3]
    frame = pl.DataFrame({"heat": random.normal(size=40), "draught": random.normal(size=40), "label": labels})
    return frame.select(columns)


def agent(stage: Scene, name: str, federation: str, data: str):
    where = ("--broker", stage.broker, "--federation", federation, "--id", name)
    return stage.start(name, "agent", *where, "--data", data, "--out", f"model-{name}")


def test_each_device_reads_its_own_file_and_the_coordinator_none(stage: Scene) -> None:
    text = CONFIGURATION.format(name="rooms", broker=stage.broker) + "[task]\nstandardise = true\n"
    names = {
        "attic": ["label", "heat", "draught"],
        "cellar": ["draught", "heat", "label"],
        "hall": ["heat", "draught", "label"],
    }
    for number, (name, columns) in enumerate(names.items()):
        (stage.folder / name).mkdir()
        (stage.folder / name / "run.toml").write_text(text)
        room(number, columns).write_csv(stage.folder / name / "measured.csv")
    (stage.folder / "run.toml").write_text(text)
    coordinator = stage.start("coordinator", "coordinator", "run.toml", "--out", "result")
    agents = [agent(stage, name, "rooms", f"{name}/run.toml:path={name}/measured.csv") for name in names]
    assert coordinator.wait() == 0, coordinator.err.read_text()
    assert [one.wait() for one in agents] == [0] * 3
    report = json.loads((stage.folder / "result/result.json").read_text())
    assert [(group["devices"], group["rounds"]) for group in report["run"]["groups"]] == [(3, 2)]
    own, of_all = (next((stage.folder / name).glob("g1-*.json")) for name in ("model-attic", "result"))
    task = json.loads(own.read_text())["task"]
    assert (task["feature_names"], task["target"], task["standardise"]) == (["heat", "draught"], "label", True)
    assert task == json.loads(of_all.read_text())["task"], "the device knows all that its model needs"
    features = np.array([[5.0, -5.0], [0.1, 0.2]], np.float32)
    np.testing.assert_array_equal(load_model(own).predict(features), load_model(of_all).predict(features))


def test_a_device_with_other_classes_is_refused(stage: Scene) -> None:
    text = CONFIGURATION.format(name="others", broker=stage.broker)
    (stage.folder / "run.toml").write_text(text)
    room(0, ["heat", "draught", "label"]).write_csv(stage.folder / "mine.csv")
    coordinator = stage.start("coordinator", "coordinator", "run.toml")
    classes = 'classes=["shut","open"]'
    refused = agent(stage, "attic", "others", f"run.toml:path=mine.csv,{classes}")
    assert refused.wait() == 1
    assert "schema" in refused.err.read_text()
    shutil.copy(stage.folder / "mine.csv", stage.folder / "wrong.csv")
    broken = agent(stage, "cellar", "others", "run.toml:path=wrong.csv,features=['heat','damp']")
    assert broken.wait() == 2
    assert (
        "wrong.csv has no column 'damp', which is a feature; its columns: heat, draught, label"
        in broken.err.read_text()
    )
    assert coordinator.process.poll() is None
