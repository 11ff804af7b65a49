"""``load_model``: a target model answers as its devices' learner did, whatever its task."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.snippets import ROOT, blocks
from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import Dataset
from tierwise.core.metrics import read_metrics
from tierwise.plugins import PluginDescriptor, Plugins, hookimpl
from tierwise.plugins.descriptors import Kind
from tierwise.plugins.learners.mlp import MlpLearner, MlpOptions
from tierwise.runtime import TargetModel, load_model
from tierwise.runtime.cli.program import run

RUN = "[rounds]\nepochs = 5\ndeadline_s = 10\n[stop]\nrounds = 3\n[tiers]\nhidden = [[4]]\n"
KINDS = {
    "classes": "target = 'kind'\nfeatures = ['length', 'oil']\n[task]\nstandardise = true\n",
    "numbers": "target = 'length'\nfeatures = ['kind', 'oil']\ntask = 'regression'\n[task]\nstandardise = true\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pumps of nine devices, whose lengths are far from 0, and a result of each kind of task."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "pumps").mkdir()
    random = np.random.default_rng(1)
    for device in range(9):
        with (folder / f"pumps/p{device}.csv").open("w") as file:
            rows = csv.writer(file)
            rows.writerow(["length", "oil", "kind"])
            for _ in range(20):
                oil, kind = random.choice(["bio", "mineral"]), int(random.integers(2))
                rows.writerow([f"{5000 + 400 * kind + 90 * random.normal():.1f}", oil, kind])
    for name, task in KINDS.items():
        data = "[data]\nsource = 'csv'\npath = 'pumps/*.csv'\none_hot = { oil = ['bio', 'mineral'] }\n" + task
        unit = "target_centre = 5200\ntarget_scale = 200\n" if name == "numbers" else ""
        (folder / f"{name}.toml").write_text(data + RUN + unit)
        assert run(["simulate", str(folder / f"{name}.toml"), "--out", str(folder / name)]) == 0
    return folder


def samples(folder: Path, name: str) -> Dataset:
    kind = "regression" if name == "numbers" else "classification"
    target, other = ("length", "kind") if name == "numbers" else ("kind", "length")
    options = {
        "path": str(folder / "pumps/*.csv"), "target": target, "features": [other, "oil"], "task": kind,
        "one_hot": {"oil": ["bio", "mineral"]},
    }  # fmt: skip
    return Plugins.discover().data_source("csv", options).load(0, 9, seed=0).train


def model_of(folder: Path, name: str) -> TargetModel:
    return load_model(next((folder / name).glob("g1-*.json")))


def test_the_classes_of_a_standardised_model_are_those_that_evaluate_counts(folder: Path) -> None:
    model, data = model_of(folder, "classes"), samples(folder, "classes")
    answers = model.predict(data.features)
    assert answers.shape == (len(data), 2)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
    accuracy = (answers.argmax(axis=1) == data.labels).mean()
    assert accuracy > 0.8  # without standardisation it is a guess
    assert model.task.feature_names == ("length", "oil=bio", "oil=mineral")


def test_the_numbers_of_a_standardised_model_are_in_the_targets_unit(folder: Path) -> None:
    model, data = model_of(folder, "numbers"), samples(folder, "numbers")
    error = np.sqrt(np.mean((model.predict(data.features) - data.labels) ** 2))
    assert error < 150  # whoever guesses the mean errs by 220, whoever forgets the unit by 5000


@pytest.mark.parametrize("name", KINDS)
def test_the_pages_lines_of_numpy_answer_the_same(folder: Path, name: str) -> None:
    page = ROOT / "docs/howto/use-a-target-model.md"
    (block,) = [block for block in blocks(page, "python") if block.file == "target.py"]
    names: dict[str, Any] = {}
    exec(block.text, names)
    features = samples(folder, name).features
    card, weights = names["load"](next((folder / name).glob("g1-*.json")))
    np.testing.assert_allclose(
        names["predict"](card, weights, features), model_of(folder, name).predict(features), rtol=1e-3, atol=1e-5
    )


def test_it_answers_for_the_features_of_the_data_source_whatever_the_tasks_scale(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[fleet]\ndevices = 3\n[tiers]\nhidden = [[4]]\n[stop]\nrounds = 1\n")
    assert run(["simulate", str(tmp_path / "run.toml"), "--out", str(tmp_path / "out")]) == 0
    data = Plugins.discover().data_source("digits").load(0, 6, seed=0).train
    model = load_model(tmp_path / "out")  # a single group, so the directory is enough
    card = json.loads(next((tmp_path / "out").glob("g1-*.json")).read_text())
    learner = MlpLearner(MlpOptions(hidden=(4,), learning_rate=card["options"]["learning_rate"]), model.task)
    scaled = data.divided(16)
    metric = read_metrics(learner.evaluate(model.saved.weights, scaled))["accuracy"].value
    assert (model.predict(data.features).argmax(axis=1) == data.labels).mean() == pytest.approx(metric)


def test_a_result_of_several_groups_asks_for_one(folder: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"a model for each group; name one of them: g1-mlp-4\.safetensors, g2"
    ):
        load_model(folder / "classes")


def test_features_of_another_task_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 5\), task 'kind' expects \(n_samples, 3\)"):
        model_of(folder, "classes").predict(np.zeros((2, 5), np.float32))


class Mute:
    """Learns as mlp does, and does not predict."""

    def __init__(self, options: MlpOptions, task: object) -> None:
        inner = MlpLearner(options, task)  # type: ignore[arg-type]
        self.layout, self.cost = inner.layout, inner.cost
        self.initial, self.fit, self.evaluate = inner.initial, inner.fit, inner.evaluate


class Pack:
    @hookimpl
    def tierwise_learners(self) -> list[PluginDescriptor]:
        options = "tierwise.plugins.learners.mlp:MlpOptions"
        return [
            PluginDescriptor(
                kind=Kind.LEARNER, name="mute", target=f"{__name__}:Mute", options=options, summary="Mute."
            )
        ]


def test_a_model_that_cannot_predict_says_so(folder: Path, tmp_path: Path) -> None:
    plugins = Plugins.discover()
    plugins.register(Pack())
    file = next((folder / "classes").glob("g1-*.safetensors"))
    (tmp_path / file.name).write_bytes(file.read_bytes())
    card = tmp_path / file.with_suffix(".json").name
    card.write_text(file.with_suffix(".json").read_text().replace('"learner": "mlp"', '"learner": "mute"'))
    with pytest.raises(ConfigurationError, match="learner 'mute' of this model has no method predict"):
        load_model(card, plugins)
