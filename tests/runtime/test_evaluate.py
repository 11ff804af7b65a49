"""``tierwise evaluate``: what it measures is what the devices measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from tierwise.runtime import load_model
from tierwise.runtime.cli.program import run

TOML = "[fleet]\ndevices = 6\n[grouping]\ngroups = 2\n[tiers]\nhidden = [[4], [8]]\n[stop]\nrounds = 2\n"


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "run.toml").write_text(TOML)
    assert run(["simulate", str(folder / "run.toml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def evaluate(capsys, *arguments) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(["evaluate", *map(str, arguments)])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_a_devices_own_evaluation_is_found_again(out, capsys) -> None:
    result = json.loads((out / "result.json").read_text())
    events = [record["event"] for record in result["events"]]
    formed = next(event for event in events if event["event"] == "groups-formed")
    group_of = {device: group["group"] for group in formed["groups"] for device in group["devices"]}
    closing = {event["device"]: event["metrics"] for event in events if event["event"] == "evaluation-accepted"}
    assert len(closing) == 6
    for part, device in enumerate(sorted(closing)):
        code, shown, err = evaluate(capsys, out, "--data", f"digits:part={part},parts=6", "--json")
        assert (code, err) == (0, "")
        found = {model["group"]: model["holdout"] for model in json.loads(shown)}
        assert sorted(found) == ["g1", "g2"]
        for name, metric in closing[device].items():
            figure = found[group_of[device]][name]
            assert figure["count"] == metric["count"]
            assert figure["value"] == pytest.approx(metric["sum"] / metric["count"])


def test_a_table_has_the_hold_out_and_all_samples(out, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, shown, _ = evaluate(capsys, out, "--data", "digits")
    assert code == 0
    lines = shown.splitlines()
    assert lines[0].split() == ["model", "group", "on", "samples", "accuracy", "log_loss"]
    assert [line.split()[1:3] for line in lines[2:6]] == [[g, on] for g in ("g1", "g2") for on in ("hold-out", "all")]
    assert [line.split()[-3] for line in lines[2:6]] == ["359", "1,797"] * 2
    assert lines[7:] == [
        "hold-out: what such a device does not train on, with seed 0",
        "all samples: no honest figure if a device has trained on them",
    ]
    (card, *_) = sorted(out.glob("g1-*.json"))
    for one in (card, card.with_suffix(".safetensors")):
        assert evaluate(capsys, one, "--data", "digits")[1].count(" g1 ") == 2


def test_the_hold_out_of_a_devices_own_file_is_that_of_the_simulation(capsys, tmp_path) -> None:
    random = np.random.default_rng(0)
    for device in ("attic", "cellar", "kitchen"):
        rows = [f"{heat:.3f},{'on' if heat + random.normal() > 0 else 'off'}\n" for heat in random.normal(size=40)]
        (tmp_path / f"{device}.csv").write_text("heat,label\n" + "".join(rows))
    toml = tmp_path / "run.toml"
    toml.write_text(
        '[federation]\nseed = 3\n[data]\nsource = "csv"\npath = "*.csv"\ntarget = "label"\nfeatures = ["heat"]\n'
        'classes = ["off", "on"]\n[grouping]\ngroups = 1\n[tiers]\nhidden = [[4]]\n[stop]\nrounds = 2\n'
    )
    assert run(["simulate", str(toml), "--out", str(tmp_path / "out")]) == 0
    events = [record["event"] for record in json.loads((tmp_path / "out/result.json").read_text())["events"]]
    closing = {event["device"]: event["metrics"] for event in events if event["event"] == "evaluation-accepted"}
    assert sorted(closing) == ["attic", "cellar", "kitchen"]
    for device, metrics in closing.items():
        spec = f"{toml}:path={tmp_path / device}.csv"
        code, shown, err = evaluate(capsys, tmp_path / "out", "--data", f"{spec},seed=3", "--json")
        assert (code, err) == (0, "")
        figure = json.loads(shown)[0]["holdout"]["log_loss"]
        assert figure["value"] == pytest.approx(metrics["log_loss"]["sum"] / metrics["log_loss"]["count"])
        code, _, err = evaluate(capsys, tmp_path / "out", "--data", spec, "--json")
        assert code == 0
        assert "the federation's seed was 3, and this hold-out is that of seed 0" in err


def test_data_of_another_task_are_refused(out, capsys, tmp_path) -> None:
    (tmp_path / "own.csv").write_text("a,b\n" + "1,x\n2,y\n" * 10)
    data = f"csv:path={tmp_path / 'own.csv'},target=b,classes=['x','y']"
    code, _, err = evaluate(capsys, out, "--data", data)
    assert code == 2
    assert "these data are not what" in err, err
    assert 'task "b", where the model has "digits"; target "b", where the model has ""; features 1, where' in err
    assert 'classes ["x", "y"], where the model has ["0", "1", ' in err
    assert "write down" not in err, "it is written down"


def test_what_a_model_knows_need_not_be_written_down(capsys, tmp_path) -> None:
    random = np.random.default_rng(0)
    for device, kinds in (("attic", "abc"), ("cellar", "abc"), ("hall", "abc"), ("shed", "ab")):
        rows = "".join(f"{random.normal():.3f},{kinds[n % len(kinds)]}\n" for n in range(21))
        (tmp_path / f"{device}.csv").write_text("heat,kind\n" + rows)
    toml = tmp_path / "run.toml"
    toml.write_text(
        "[data]\nsource = 'csv'\npath = '*.csv'\ntarget = 'kind'\n[grouping]\ngroups = 1\n[tiers]\nhidden = [[4]]\n"
        "[stop]\nrounds = 1\n"
    )
    assert run(["simulate", str(toml), "--out", str(tmp_path / "out")]) == 0
    code, _, err = evaluate(capsys, tmp_path / "out", "--data", f"{toml}:path={tmp_path / 'hall.csv'}")
    assert (code, err) == (0, "")
    code, _, err = evaluate(capsys, tmp_path / "out", "--data", f"{toml}:path={tmp_path / 'shed.csv'}")
    assert code == 2
    assert err.rstrip().endswith('where they lack a class, write down what there is: classes = ["a", "b", "c"]'), err


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> Path:
    """Return a result whose groups failed in their first round: training diverges."""
    folder = tmp_path_factory.mktemp("failed")
    (folder / "run.toml").write_text(TOML.replace("hidden =", "learning_rate = 1e30\nhidden ="))
    assert run(["simulate", str(folder / "run.toml"), "--out", str(folder / "out")]) == 1
    return folder / "out"


def test_an_untrained_model_is_called_so(failed, capsys) -> None:
    code, shown, err = evaluate(capsys, failed, "--data", "digits")
    assert code == 0
    assert shown.count("g1") == 2
    warnings = err.splitlines()
    assert len(warnings) == 2, err
    assert warnings[0].startswith("warning: g1-mlp-8.safetensors is untrained: no round of group g1 closed: 3 rounds")
    (card, _) = sorted(failed.glob("g?-*.json"))
    with pytest.warns(UserWarning, match=r"is untrained: no round of group g1 closed"):
        load_model(card)


def test_the_failure_is_told_with_its_reason_in_each_line_and_once_as_an_error(failed, capsys) -> None:
    code = run(["simulate", str(failed.parent / "run.toml"), "--out", str(failed)])
    found = capsys.readouterr()
    assert code == 1
    assert "not finite" not in found.out
    assert "written to" in found.out
    assert "2 untrained models (no round closed)" in found.out
    told = [line for line in found.err.splitlines() if "abandoned" in line]
    assert [line.count("not finite") for line in told] == [1] * 5, found.err  # twice for each group, and the error
    assert found.err.count("error: groups g1, g2 failed: ") == 1
    assert "DeviceError" not in found.err


def test_what_is_no_target_model_is_named(capsys, tmp_path) -> None:
    for path, words in (
        (tmp_path / "none", "there is no such file or directory"),
        (tmp_path, "has no target models: neither result.json"),
    ):
        code, _, err = evaluate(capsys, path, "--data", "digits")
        assert code == 2
        assert err.startswith(f"error: {path}: {words}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card, model: model.write_bytes(model.read_bytes()[:-1] + b"\0"), "is damaged, or another card's"),
        (lambda card, model: model.unlink(), "cannot be read: No such file"),
        (lambda card, model: card.write_text("{"), "is not what tierwise writes"),
        (lambda card, model: card.write_text(card.read_text().replace("g1-", "../g1-")), "which is not beside it"),
        (lambda card, model: card.write_text(card.read_text().replace("tierwise.card.1", "x")), "no card of a target"),
    ],
)
def test_what_is_damaged_is_named(out, capsys, tmp_path, change, words) -> None:
    (card,) = out.glob("g1-*.json")
    here, model = tmp_path / card.name, tmp_path / card.with_suffix(".safetensors").name
    here.write_bytes(card.read_bytes())
    model.write_bytes(card.with_suffix(".safetensors").read_bytes())
    change(here, model)
    code, shown, err = evaluate(capsys, here, "--data", "digits")
    assert (code in (1, 2), shown, err.count("\n")) == (True, "", 1)
    assert words in err
