"""What a limit of traffic allows, and what ``explain`` tells, counts the tensors of standardisation."""

import json
from pathlib import Path

import pytest

from tierwise.core.ids import TierName
from tierwise.plugins.data.digits import TASK as DIGITS
from tierwise.plugins.tiers.mlp import MlpLadderOptions, MlpTierProvider
from tierwise.runtime.cli.program import run


@pytest.fixture(scope="module")
def allowed() -> int:
    """Return what a round of the larger tier would move without those tensors."""
    found = {tier.name: tier.cost for tier in MlpTierProvider(MlpLadderOptions(hidden=((4,), (16,)))).offers(DIGITS)}
    return 2 * found[TierName("mlp-16")].bytes


def test_no_round_moves_more_than_is_allowed(allowed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.toml").write_text(
        "[fleet]\ndevices = 3\n[task]\nstandardise = true\n[tiers]\nhidden = [[4], [16]]\n[stop]\nrounds = 1\n"
        f"[rounds]\ntraffic_bytes = {allowed}\n"
    )
    assert run(["explain", str(tmp_path / "run.toml"), "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert run(["simulate", str(tmp_path / "run.toml"), "--out", str(tmp_path / "out")]) == 0
    assert "asks too much" not in capsys.readouterr().err
    result = json.loads((tmp_path / "out/result.json").read_bytes())
    (closed,) = result["run"]["groups"][0]["history"]
    assert (closed["download_bytes"] + closed["upload_bytes"]) / closed["devices"] <= allowed
    (tier,) = [one["event"]["tier"] for one in result["events"] if one["event"]["event"] == "tier-assigned"]
    assert tier["name"] == explained["groups"][0]["tier"] == "mlp-4"
    (offer,) = [one for one in explained["offers"] if one["tier"] == "mlp-4"]
    assert offer["cost"] == tier["cost"]
    size = (tmp_path / "out/g1-mlp-4.safetensors").stat().st_size
    assert 0 <= tier["cost"]["bytes"] - size < 16
