"""The examples of data sources run, and give the same federation whatever format the same data have."""

import json
import runpy
import shutil
from pathlib import Path

import pytest

from tests.real_data import DATA, needs_real_data
from tierwise.runtime.cli.program import run

EXAMPLES = Path(__file__).parent.parent / "examples/data"
GARDENS = ["abbey", "brook", "cliff", "dale", "elm", "field", "grove", "hill", "inn"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the examples, with the files that make.py writes."""
    made = shutil.ignore_patterns("gardens", "flowers.*", "test.csv", "public.csv")
    copy = shutil.copytree(EXAMPLES, tmp_path_factory.mktemp("examples") / "data", ignore=made)
    runpy.run_path(str(copy / "make.py"))["main"](copy)
    return copy


def result(folder: Path, name: str) -> dict:
    """Run an example, and return what it wrote."""
    assert run(["simulate", str(folder / f"{name}.toml"), "--out", str(folder / name)]) == 0
    return json.loads((folder / name / "result.json").read_text())


def figures(result: dict) -> list[tuple[int, dict[str, float]]]:
    """Return each group's size and metrics."""
    return [
        (group["devices"], {name: one["value"] for name, one in group["metrics"].items()})
        for group in result["run"]["groups"]
    ]


def devices(result: dict) -> list[str]:
    """Return who took part."""
    return sorted(
        event["event"]["device"] for event in result["events"] if event["event"]["event"] == "hardware-reported"
    )


def test_the_same_data_give_the_same_models_whatever_format_they_have(folder: Path) -> None:
    csv, column, npz = (result(folder, name) for name in ("csv", "column", "npz"))
    assert devices(csv) == GARDENS
    assert figures(csv) == figures(column) == figures(npz)
    assert min(metrics["accuracy"] for _, metrics in figures(csv)) > 0.7


def test_a_function_reads_the_gardens(folder: Path) -> None:
    found = result(folder, "function")
    assert devices(found) == GARDENS
    assert min(metrics["accuracy"] for _, metrics in figures(found)) > 0.7


def test_the_rows_of_a_parquet_file_are_dealt_out(folder: Path) -> None:
    found = figures(result(folder, "parquet"))
    assert sum(size for size, _ in found) == 12
    assert min(metrics["accuracy"] for _, metrics in found) > 0.7


def test_a_number_is_predicted(folder: Path) -> None:
    # The spread of the petals' width is 0.76 cm: who always says the mean is off by so much.
    assert max(metrics["rmse"] for _, metrics in figures(result(folder, "regression"))) < 0.6


def test_groups_learn_over_a_file_without_labels_and_are_measured_on_one_of_nobodys(folder: Path) -> None:
    found = result(folder, "own")
    assert {one["event"]["event"] for one in found["events"]} >= {"model-exchanged", "model-tested"}
    for group in found["run"]["groups"]:
        assert group["test"]["accuracy"]["count"] == 60
        assert group["test"]["accuracy"]["value"] > 0.7


@pytest.mark.data
@needs_real_data
def test_people_are_devices(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERWISE_DATA", str(DATA))
    found = result(folder, "har")
    assert sorted(map(int, devices(found))) == list(range(1, 31))
    assert min(metrics["accuracy"] for _, metrics in figures(found)) > 0.7
