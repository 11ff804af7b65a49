"""Every benchmark runs, and measures something; how fast it is nobody asks here."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.broker import MOSQUITTO

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(
    path.name for path in FOLDER.glob("*.py") if "arguments(" in path.read_text() and path.stem != "report"
)
NEEDS_BROKER = {
    "agent_footprint.py",
    "budget.py",
    "coordinator_memory.py",
    "durability.py",
    "mqtt_fleet.py",
    "mqtt_round.py",
}


def test_the_scripts_are_found():
    assert set(SCRIPTS) >= NEEDS_BROKER | {"average.py", "bus.py", "store.py"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_gives_figures(script, tmp_path):
    if script in NEEDS_BROKER and MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto` brings it")
    rows = tmp_path / "rows.json"
    done = subprocess.run(
        [sys.executable, FOLDER / script, "--quick", "--json", rows],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(rows.read_text())
    assert found
    for row in found:
        assert row["metric"]
        assert row["unit"]
        assert math.isfinite(row["value"])
        assert (row["baseline"] is None) == (row["ratio"] is None)
