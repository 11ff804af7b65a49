"""``tierwise data``, as people and programs read it, and data that an agent takes from a file."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.plugins import Plugins
from tierwise.runtime.cli.dataspec import read_data_spec
from tierwise.runtime.cli.program import run
from tierwise.runtime.config import load_config

PLUGINS = Plugins.discover()
DATA = '[data]\nsource = "csv"\npath = "rooms/*.csv"\ntarget = "label"\n'
ROOMS = {"attic": ["off"] * 6 + ["on"] * 2, "cellar": ["on"] * 5, "hall": ["off"] * 7}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write three rooms' files and a configuration, and go there."""
    (tmp_path / "rooms").mkdir()
    for name, labels in ROOMS.items():
        frame = pl.DataFrame({"heat": np.arange(len(labels)) / 2, "open": [True] * len(labels), "label": labels})
        frame.write_csv(tmp_path / "rooms" / f"{name}.csv")
    (tmp_path / "run.toml").write_text(DATA)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["data", *arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_columns_devices_and_classes_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "run.toml")
    table = {tuple(line.split()) for line in out.splitlines()}
    assert {("heat", "feature", "number", "0", "0", "3.5"), ("label", "target", "text", "0", "–", "–")} <= table
    assert {("attic", "8", "2", "6", "2"), ("cellar", "5", "1", "0", "5"), ("hall", "7", "1", "7", "0")} <= table
    assert "3 devices, 20 samples" in out
    assert "task 'label': one of 2 classes from 2 features" in out


def test_the_lines_that_it_prints_make_the_task_known_without_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(capsys, "run.toml")
    lines = out[out.index("features = ") :]
    assert tomllib.loads(lines) == {"features": ["heat", "open"], "classes": ["off", "on"]}
    (elsewhere := folder / "elsewhere").mkdir()
    (elsewhere / "run.toml").write_text(DATA + lines)
    (hash_shown,) = re.findall(r"schema hash (\w{64})", out)
    assert load_config(elsewhere / "run.toml", PLUGINS).data_source(PLUGINS).task.schema_hash == hash_shown


@pytest.mark.usefixtures("folder")
def test_a_long_list_goes_over_several_lines(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"sensor {number}, upper floor" for number in range(30)]
    for file in Path("rooms").iterdir():
        frame = pl.read_csv(file)
        frame.with_columns(**dict.fromkeys(names, 1.0)).write_csv(file)
    out = printed(capsys, "run.toml")
    lines = out[out.index("features = ") :]
    assert max(map(len, lines.splitlines())) <= 120
    assert tomllib.loads(lines)["features"] == ["heat", "open", *names]


@pytest.mark.usefixtures("folder")
def test_a_program_reads_json(capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(printed(capsys, "csv:path=rooms/*.csv,target=label", "--json"))
    assert [(one["device"], one["classes"]) for one in report["devices"]] == [
        (name, {kind: labels.count(kind) for kind in ("off", "on")}) for name, labels in ROOMS.items()
    ]
    assert report["pins"] == {"features": ["heat", "open"], "classes": ["off", "on"]}
    assert report["task"]["feature_names"] == ["heat", "open"]


@pytest.mark.usefixtures("folder")
def test_numbers_have_a_range_and_what_is_dealt_out_has_parts(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = 'csv:path=rooms/*.csv,target=heat,features=["open"],task=regression'
    assert ("attic", "8", "2", "0", "3.5") in {tuple(line.split()) for line in printed(capsys, numbers).splitlines()}
    out = printed(capsys, "digits:parts=4,partition=iid")
    assert "part 3" in out
    assert "4 devices, 1,797 samples" in out
    assert "4 devices, 1,647 samples; 150 more are reserved" in printed(capsys, "digits:parts=4,reserved=150")
    assert "[data]" not in out  # its task is always known
    Path("deal.toml").write_text('[data]\npartition = "iid"\n[fleet]\ndevices = 9')
    assert "9 devices, 1,797 samples" in printed(capsys, "deal.toml")


@pytest.mark.usefixtures("folder")
def test_columns_are_shown_even_where_they_cannot_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("rooms/hall.csv")
    pl.read_csv(file).with_columns(heat=pl.lit("warm")).write_csv(file)
    assert run(["data", "run.toml"]) == 2
    out, err = capsys.readouterr()
    assert ("heat", "feature", "number", "and", "text", "0", "–", "–") in {
        tuple(line.split()) for line in out.splitlines()
    }
    assert "error: run.toml: rooms/hall.csv, line 2: column 'heat' is 'warm', and a feature is a number" in err


@pytest.mark.usefixtures("folder")
def test_a_class_that_nobody_has_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, 'csv:path=rooms/*.csv,target=label,classes=["off", "on", "stuck"]')
    assert "no samples of stuck: nothing can be learned of them" in out


# -- what agents and coordinators make of it


@pytest.mark.usefixtures("folder")
def test_an_agent_takes_its_source_from_a_file_and_some_keys_from_the_command() -> None:
    spec = read_data_spec("run.toml:path=rooms/attic.csv,classes=['off', 'on']", PLUGINS)
    Path("pinned.toml").write_text(DATA + 'features = ["open"]\nclasses = ["off", "on", "stuck"]')
    pinned = read_data_spec("pinned.toml:path=rooms/attic.csv", PLUGINS)
    local = pinned.load()
    assert len(local.train) + len(local.holdout) == 8
    assert spec.source.task.classes == ("off", "on")
    shared = read_data_spec("run.toml:part=1,parts=3", PLUGINS).load()  # a trial: who shares files sees all classes
    assert len(shared.train) + len(shared.holdout) == 5


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("run.toml:path=rooms/attic.csv", 'These data have features = ["heat", "open"]; classes = ["off", "on"]'),
        (
            'run.toml:path=rooms/attic.csv,features=["heat"]',
            "classes would be read from these data, and those of",
        ),
        ("run.toml:paht=rooms/attic.csv", "there is no key 'paht' (did you mean 'path'?)"),
        ("rnu.toml", "rnu.toml: there is no such file (did you mean 'run.toml'?)"),
    ],
)
def test_a_device_whose_data_would_tell_the_task_alone_is_told_what_to_write(spec: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_data_spec(spec, PLUGINS).load()
    assert str(caught.value).startswith(f"--data {spec}: ")
    assert message in str(caught.value)


@pytest.mark.usefixtures("folder")
def test_an_agent_does_not_take_the_files_of_all_devices_for_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("all.toml").write_text(DATA + 'features = ["open"]\nclasses = ["off", "on"]')
    assert run(["agent", "--broker", "mqtt://localhost:1", "--id", "attic", "--data", "all.toml"]) == 2
    assert (
        "error: --data all.toml: its [data] has the data of 3 devices (attic, cellar, hall), and this device would "
        "train on all of them: add which file is its own, --data all.toml:path=FILE\n"
    ) in capsys.readouterr().err
    for spec, samples in (
        ("all.toml:path=rooms/attic.csv", 8),
        ("all.toml:path=rooms/*.csv", 20),  # who says so means it
        ("all.toml:part=1,parts=3", 5),
    ):
        local = read_data_spec(spec, PLUGINS).load_own()
        assert len(local.train) + len(local.holdout) == samples, spec


def test_a_coordinator_without_data_is_told_what_to_write(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere := folder / "elsewhere").mkdir()
    (elsewhere / "run.toml").write_text(DATA)
    assert run(["coordinator", str(elsewhere / "run.toml")]) == 2
    err = capsys.readouterr().err
    assert "there is no folder '" in err
    assert (
        "Without files, as a coordinator is, write features and, unless it is a regression, classes: `tierwise data "
        "FILE.toml` prints them where the files are" in err
    )


def test_lists_and_tables_are_written_as_in_toml() -> None:
    spec = (
        "csv:path=a.csv,target=b,one_hot={oil=['new','old'], room=['n','s']},classes=['x', 'y'],features=['oil','room']"
    )
    read = read_data_spec(spec, PLUGINS)
    assert read.options["one_hot"] == {"oil": ["new", "old"], "room": ["n", "s"]}
    assert read.source.task.feature_names == ("oil=new", "oil=old", "room=n", "room=s")
    for wrong in ("classes=[x,y]", "one_hot={oil=[new]}", "one_hot={oil=['new'"):
        with pytest.raises(ConfigurationError, match=r"no list or table as in TOML .*: a list is written as \['new'"):
            read_data_spec(f"csv:path=a.csv,target=b,{wrong}", PLUGINS)


def test_what_is_left_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, name in enumerate(("attic", "cellar", "kitchen")):
        (tmp_path / f"{name}.csv").write_text("heat,label\n" + "NA,on\n" * place + "1,on\n2,off\n" * 4)
    (tmp_path / "run.toml").write_text(
        '[data]\nsource = "csv"\npath = "*.csv"\ntarget = "label"\nmissing = "drop"\nfeatures = ["heat"]\n'
        'classes = ["off", "on"]\n[grouping]\ngroups = 1\n[stop]\nrounds = 1\n'
    )
    told = [
        f"{tmp_path / 'cellar.csv'}: 1 of 9 samples lack a value and are left out",
        f"{tmp_path / 'kitchen.csv'}: 2 of 10 samples lack a value and are left out",
    ]
    assert run(["data", str(tmp_path / "run.toml")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if "left out" in line] == told
    assert run(["simulate", str(tmp_path / "run.toml"), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.count(f"warning: {told[1]}; {told[0]}") == 1
    data = f"{tmp_path / 'run.toml'}:path={tmp_path / 'kitchen.csv'}"
    assert run(["evaluate", str(tmp_path / "out"), "--data", data]) == 0
    assert capsys.readouterr().err == f"warning: {told[1]}\n"
    np.savez(tmp_path / "a.npz", x=np.array([[np.nan]] + [[1.0]] * 8), y=np.arange(9) % 2)
    assert run(["data", f"npz:path={tmp_path / 'a.npz'},missing=drop"]) == 0
    assert "a.npz: 1 of 9 samples lack a value and are left out" in capsys.readouterr().out
