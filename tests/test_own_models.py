"""The models of the how-to keep the contract, and a federation learns with one."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.programs.processes import tierwise
from tests.snippets import ROOT, blocks
from tierwise.plugins.testing import TASK, check_learner

PAGE = ROOT / "docs/howto/use-your-own-model.md"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Write the page's files."""
    before = set(sys.modules)
    for block in blocks(PAGE, "python", "toml"):
        if block.file:
            (tmp_path / block.file).write_text(block.text)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("tanh", "torch_net"):
            del sys.modules[name]


def module(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    made = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = made
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize("units", [3, 64])
def test_the_network_in_numpy_keeps_the_contract(folder: Path, units: int) -> None:
    tanh = module(folder / "tanh.py")
    check_learner(tanh.TanhLearner(tanh.TanhOptions(units=units), TASK))


# PyTorch is no dependency of anything here, not even of the tests: whoever has it has this one, too.
if importlib.util.find_spec("torch"):

    def test_the_network_in_pytorch_keeps_the_contract(folder: Path) -> None:
        net = module(folder / "torch_net.py")
        check_learner(net.TorchLearner(net.TorchOptions(), TASK))


def test_the_federation_learns(folder: Path) -> None:
    code, out, err = tierwise("simulate", folder / "federation.toml", "--json")
    assert code == 0, err
    report = json.loads(out)
    groups = report["run"]["groups"]
    assert {group["tier"] for group in groups} == {"small", "large"}
    assert all(group["metrics"]["accuracy"]["value"] > 0.5 for group in groups)
    assert ("learner", "tanh", "tanh.py") in [(p["kind"], p["name"], p["distribution"]) for p in report["plugins"]]
