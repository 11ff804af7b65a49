"""Every benchmark runs, and measures something; how fast it is nobody asks here."""

import json
import math
import os
import subprocess
import sys

import pytest
from registry import benchmarks
from report import SKIPPED

SCRIPTS = [one.script for one in benchmarks()]
BY_NAME = {script.stem: script for script in SCRIPTS}


def run(script, *arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, script, *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | environment,
        timeout=500,
        check=False,
    )


def test_the_scripts_are_found():
    assert set(BY_NAME) >= {"agent_footprint", "average", "bus", "exchange", "mqtt_fleet", "mqtt_round", "store"}


def test_what_the_scripts_share_is_no_benchmark():
    assert not set(BY_NAME) & {
        "broker",
        "check",
        "comparing",
        "page",
        "plot",
        "registry",
        "report",
        "results",
        "run",
        "running",
    }


def test_a_script_without_its_data_is_skipped_and_says_how_to_get_them(tmp_path):
    done = run(BY_NAME["exchange"], "--quick", folder=tmp_path, TIERWISE_DATA=str(tmp_path))
    assert done.returncode == SKIPPED
    assert "fashion_mnist_part0.npz in TIERWISE_DATA" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_benchmark_gives_figures(script, tmp_path):
    rows = tmp_path / "rows.json"
    done = run(script, "--quick", "--json", rows, folder=tmp_path)
    if done.returncode == SKIPPED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    found = json.loads(rows.read_text())
    assert found["title"]
    assert found["rows"]
    for row in found["rows"]:
        assert row["metric"]
        assert math.isfinite(row["value"])
        assert (row["baseline"] is None) == (row["ratio"] is None)
    of_ratios = [(row["metric"], row["baseline"]) for row in found["rows"] if row["ratio"] is not None]
    assert len(set(of_ratios)) == len(of_ratios), "two ratios have one name"
