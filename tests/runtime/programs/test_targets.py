"""Target models on a device's disk."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from tierwise.core.errors import ConfigurationError, StoreError
from tierwise.core.framing import unframe
from tierwise.core.ids import DeviceId, GroupId, ModelVersion
from tierwise.core.task import Task
from tierwise.core.weights import Weights
from tierwise.plugins import Plugins
from tierwise.runtime.agent import Target
from tierwise.runtime.targets import TargetDirectory

TASK = Task(name="clouds", features=4, classes=("a", "b", "c"))
TIER = Plugins.discover().tier_provider("mlp", {"hidden": [[4]]}).offers(TASK)[0]


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.runtime.programs.test_targets import TargetDirectory, keep, target

def replace(path, to, move=Path.replace):
    if to.name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return move(path, to)

Path.replace = replace
keep(TargetDirectory(Path(sys.argv[1])), target(3.0))
"""
"""An agent that is killed just before one of its files is whole."""


def target(value: float, version: int = 3, group: str = "g1") -> Target:
    model = Weights(TIER.layout, np.full(TIER.layout.size, value, np.float32))
    return Target(GroupId(group), TIER, ModelVersion(version), model, "3 rounds", TASK)


def keep(directory, one):
    return directory.keep(one, device=DeviceId("kitchen"), federation="clouds")


def names(directory):
    return sorted(path.name for path in directory.path.iterdir())


@pytest.fixture
def directory(tmp_path):
    made = TargetDirectory(tmp_path / "models")
    made.claim()
    return made


def test_a_model_comes_with_its_card_and_is_the_current_one(directory) -> None:
    one = target(1.0)
    kept = keep(directory, one)
    assert names(directory) == ["current.json", "g1-3.json", "g1-3.safetensors"]
    assert kept.sha256 == one.model.identity
    assert unframe((directory.path / kept.file).read_bytes()).identity == one.model.identity
    card = json.loads((directory.path / kept.card).read_text())
    assert (card["group"], card["version"], card["task"]["name"], card["learner"]) == ("g1", 3, "clouds", "mlp")
    assert (card["device"], card["sha256"], card["reason"]) == ("kitchen", kept.sha256, "3 rounds")
    assert directory.current().current == kept
    assert directory.current().previous is None


def test_the_one_before_is_kept_and_older_ones_go(directory) -> None:
    kept = [keep(directory, target(float(version), version)) for version in (1, 2, 3)]
    assert names(directory) == ["current.json", "g1-2.json", "g1-2.safetensors", "g1-3.json", "g1-3.safetensors"]
    assert directory.roll_back() == kept[1]
    assert (directory.current().current, directory.current().previous) == (kept[1], kept[2])
    assert directory.roll_back() == kept[2]


def test_the_same_model_again_changes_nothing(directory) -> None:
    keep(directory, target(1.0, 1))
    keep(directory, target(2.0, 2))
    before = {name: (directory.path / name).stat().st_mtime_ns for name in names(directory)}
    keep(directory, target(2.0, 2))
    assert {name: (directory.path / name).stat().st_mtime_ns for name in names(directory)} == before


def test_two_federations_may_both_have_a_first_group(directory) -> None:
    first, second = keep(directory, target(1.0)), keep(directory, target(2.0))
    assert first.file == "g1-3.safetensors"
    assert second.file == f"g1-3-{second.sha256[:12]}.safetensors"
    assert directory.sound(first)
    assert directory.sound(second)


def test_a_damaged_model_is_made_whole_and_is_nothing_to_go_back_to(directory) -> None:
    first = keep(directory, target(1.0, 1))
    (directory.path / first.file).write_bytes(b"damaged")
    assert not directory.sound(first)
    assert keep(directory, target(1.0, 1)) == first
    assert directory.sound(first)
    assert directory.current().previous is None
    keep(directory, target(2.0, 2))
    (directory.path / first.file).unlink()
    with pytest.raises(StoreError, match="is damaged or gone"):
        directory.roll_back()


@pytest.mark.parametrize("written", ["g1-3.safetensors", "g1-3.json", "current.json"])
def test_what_a_killed_agent_left_half_written_is_gone_at_the_next_start(directory, written) -> None:
    one = keep(directory, target(1.0, 1))
    killed = subprocess.run([sys.executable, "-c", KILLED, directory.path, written], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = [name for name in names(directory) if name.endswith(".part")]
    assert len(left) == 1
    (directory.path / ".mine.part").touch()
    directory.claim()
    assert not set(left) & set(names(directory))
    assert ".mine.part" in names(directory)
    assert directory.current().current == one


def test_without_a_previous_model_there_is_nothing_to_go_back_to(directory) -> None:
    with pytest.raises(StoreError, match="has no previous model"):
        directory.roll_back()


def test_a_directory_that_cannot_be_is_told_before_time_is_spent(tmp_path, directory) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"file: is a file; target models need a directory"):
        TargetDirectory(tmp_path / "file").claim()
    (directory.path / "current.json").write_text('{"current": {"file": "../../etc/passwd"}}')
    with pytest.raises(ConfigurationError, match=r"current\.json: does not say which model is in use"):
        directory.claim()
