"""The example of a regression runs: scikit-learn's models in a ladder, data from a function, standardised features."""

import json
from pathlib import Path

import pytest

from tests.runtime.programs.processes import tierwise

EXAMPLE = Path(__file__).parent.parent / "examples/regression.toml"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("regression") / "out"
    code, _, err = tierwise("simulate", EXAMPLE, "--out", out)
    assert code == 0, err
    return json.loads((out / "result.json").read_bytes())


def test_unequal_groups_get_unequal_models_of_scikit_learn(result: dict) -> None:
    assert [group["tier"] for group in result["run"]["groups"]] == ["small", "large", "large"]
    learners = [plugin["name"] for plugin in result["plugins"] if plugin["kind"] == "learner"]
    assert learners == ["sklearn-linear", "sklearn-mlp"]  # each once, and those that could have been chosen, too


def test_the_clinics_learn_more_than_the_mean(result: dict) -> None:
    errors = [group["metrics"]["rmse"] for group in result["run"]["groups"]]
    assert sum(one["count"] for one in errors) > 80
    mean = (sum(one["value"] ** 2 * one["count"] for one in errors) / sum(one["count"] for one in errors)) ** 0.5
    assert mean < 68  # of a deviation of 77


def test_the_log_names_the_provider_and_its_parts(result: dict) -> None:
    opened = result["events"][0]["event"]
    assert opened["event"] == "federation-opened"
    used = [(one["kind"], one["name"]) for one in opened["plugins"]]
    assert used.index(("tier provider", "ladder")) < used.index(("learner", "sklearn-linear"))
    assert used.count(("learner", "sklearn-mlp")) == 1
