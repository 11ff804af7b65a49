"""Arrays in NumPy's files, and the real ones of TIERWISE_DATA."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.real_data import DATA, needs_real_data
from tierwise.core.errors import ConfigurationError
from tierwise.core.learning import reserved_of
from tierwise.core.task import Loss
from tierwise.plugins import Plugins
from tierwise.plugins.data.npz import NpzOptions, NpzSource
from tierwise.plugins.testing import check_data_source

PLUGINS = Plugins.discover()


def images(folder: Path, name: str = "a", samples: int = 60, seed: int = 0, **others: np.ndarray) -> Path:
    """Write grey images of 3 by 2 pixels and their classes."""
    random = np.random.default_rng(seed)
    arrays = {
        "x": random.integers(0, 256, (samples, 3, 2), np.uint8),
        "y": random.permutation(np.arange(samples, dtype=np.uint8) % 3),
    }
    np.savez(folder / f"{name}.npz", **{**arrays, **others})
    return folder / f"{name}.npz"


def source(path: Path | str | list[str], **options: object) -> NpzSource:
    made = PLUGINS.data_source("npz", {"path": path if isinstance(path, list) else str(path), **options})
    assert isinstance(made, NpzSource)
    return made


@pytest.mark.parametrize("partition", ["own", "iid", "dirichlet", "shards", "quantity"])
def test_conformance(tmp_path: Path, partition: str) -> None:
    for seed, name in enumerate(("kitchen", "cellar", "attic")):
        images(tmp_path, name, seed=seed)
    reserved = {} if partition == "own" else {"reserved": 20}
    check_data_source(source(tmp_path / "*.npz", partition=partition, **reserved))


def test_images_are_flattened_and_stay_as_they_are(tmp_path: Path) -> None:
    file = images(tmp_path)
    made = source(file, scale=255, minimum=2, holdout=0.01)
    assert (made.task.features, made.task.scale, made.task.classes, made.task.name) == (6, 255.0, ("0", "1", "2"), "y")
    local = made.load(0, 1, 0)
    loaded = np.concatenate([local.train.features, local.holdout.features])
    with np.load(file) as arrays:
        there = arrays["x"].reshape(60, 6).astype(np.float32)
    assert loaded.dtype == np.float32
    assert sorted(map(bytes, loaded)) == sorted(map(bytes, there))


def test_each_file_may_be_a_device_or_all_are_one_set(tmp_path: Path) -> None:
    for name, samples in (("cellar", 30), ("attic", 20)):
        images(tmp_path, name, samples)
    own = source(tmp_path / "*.npz")
    assert own.devices() == ("attic", "cellar")
    assert [len(own.load(part, 2, 0).train) for part in (0, 1)] == [16, 24]
    dealt = source([str(tmp_path / "cellar.npz"), str(tmp_path / "attic.npz")], partition="iid")
    assert dealt.devices() == ()
    assert [len(dealt.load(part, 5, 0).train) for part in range(5)] == [8] * 5
    with pytest.raises(
        ConfigurationError, match=r"the data of 2 devices \(attic, cellar\), which cannot be those of 3"
    ):
        own.load(0, 3, 0)


def test_an_array_may_say_whose_a_sample_is(tmp_path: Path) -> None:
    owners = np.array([10, 9, 10, 10, 9, 10] * 10)
    made = source(images(tmp_path, who=owners), partition="column", by="who", minimum=2)
    assert made.devices() == ("9", "10")
    assert [len(made.load(part, 2, 0).train) + len(made.load(part, 2, 0).holdout) for part in (0, 1)] == [20, 40]


def test_the_task_needs_no_file_once_it_is_written_down(tmp_path: Path) -> None:
    made = source(images(tmp_path), name="shapes", target="y", scale=255)
    pins = made.pins()
    assert pins == {"size": 6, "classes": ["0", "1", "2"]}
    there = source("nowhere.npz", name="shapes", scale=255, **pins).task
    assert there.schema_hash == made.task.schema_hash
    with pytest.raises(ConfigurationError, match=r"is 'nowhere.npz', and there is no such file"):
        source("nowhere.npz", name="shapes", scale=255).task  # noqa: B018


def test_whole_numbers_are_positions_of_named_classes(tmp_path: Path) -> None:
    made = source(images(tmp_path), classes=["circle", "square", "star"])
    assert np.bincount(made.load(0, 1, 0).train.labels).sum() == 48
    assert made.task.classes == ("circle", "square", "star")
    with pytest.raises(ConfigurationError, match=r"a.npz, sample \d+: target 'y' is '2', which is none of the classes"):
        source(tmp_path / "a.npz", classes=["circle", "square"]).load(0, 1, 0)
    texts = images(tmp_path, "texts", y=np.array(["on", "off"] * 30))
    assert source(texts).task.classes == ("off", "on")


def test_numbers_are_predicted_where_the_task_is_a_regression(tmp_path: Path) -> None:
    file = images(tmp_path, y=np.linspace(0, 1, 60))
    made = source(file, task="regression", partition="shards")
    assert (made.task.loss, made.task.classes, made.pins()) == (Loss.SQUARED_ERROR, (), {"size": 6})
    check_data_source(made)
    spread = [np.ptp(made.load(part, 4, 0).train.labels) for part in range(4)]
    assert min(spread) < 0.5
    with pytest.raises(ConfigurationError, match="'dirichlet' deals out classes, and a regression has none: take"):
        source(file, task="regression", partition="dirichlet").load(0, 4, 0)
    with pytest.raises(
        ConfigurationError, match=r"target 'y' has 0\.0[0-9]+ in .*: write task = 'regression', or name"
    ):
        source(file).task  # noqa: B018


def test_what_lacks_a_value_is_an_error_or_left_out(tmp_path: Path) -> None:
    x = np.ones((60, 4), np.float32)
    x[7, 2] = np.nan
    file = images(tmp_path, x=x)
    with pytest.raises(ConfigurationError) as caught:
        source(file).load(0, 1, 0)
    assert str(caught.value) == (
        f"{file}, sample 7: feature 2 is nan; 1 of 60 samples lack a value: fill it in, or leave them out with "
        "missing = 'drop'"
    )
    local = source(file, missing="drop").load(0, 1, 0)
    assert len(local.train) + len(local.holdout) == 59
    y = np.arange(60.0)
    y[3] = np.nan
    with pytest.raises(ConfigurationError, match=r"b.npz, sample 3: the target is nan; 1 of 60 samples lack a value"):
        source(images(tmp_path, "b", y=y), task="regression").load(0, 1, 0)


@pytest.mark.parametrize(
    ("options", "arrays", "message"),
    [
        ({"features": "X"}, {}, r"a.npz has no array 'X', which option features names; it has x, y"),
        ({}, {"x": np.array([{}])}, "has an array of Python objects, which is never unpickled"),
        ({}, {"x": np.array(["a"] * 60)}, "the features are of dtype <U1, only numbers and truth values are allowed"),
        ({}, {"y": np.arange(5)}, r"the features have shape \(60, 3, 2\) and the target \(5,\); both begin with"),
        ({"size": 5}, {}, "a sample has 6 numbers, and size is 5: correct one"),
        ({"partition": "column", "by": "x"}, {}, r"whose a sample is has shape \(60, 3, 2\), expected \(60,\)"),
        ({}, {"x": np.ones((0, 4)), "y": np.ones(0)}, "a.npz has no samples"),
        ({}, {"y": np.ones(60, int)}, r"target 'y' has only the class '1' in .*: write down which classes there are"),
        ({"minimum": 61}, {}, "fewer than 61 samples .option minimum. of a: leave out who has"),
    ],
)  # fmt: skip
def test_a_fault_names_file_array_and_way_out(tmp_path: Path, options: dict, arrays: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        source(images(tmp_path, **arrays), **options).load(0, 1, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partition": "column"}, "partition = 'column' and by, which names the array, go together"),
        ({"by": "who"}, "go together"),
        ({"classes": ["a"]}, "classes has only 'a': a classification has two or more"),
        ({"classes": [1, "1"]}, "classes has '1' twice"),
        ({"classes": [1, 2], "task": "regression"}, "classes are set, and task is 'regression', which has none"),
        ({"reserved": 5}, "reserved is 5, but with partition = 'own' all that is in a device's file is the device's"),
    ],
)
def test_options_that_do_not_go_together(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        source("a.npz", **options)


def test_files_that_are_no_npz_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.npz").write_text("x,y\n1,2\n")
    with pytest.raises(ConfigurationError, match=r"a.npz is no file that numpy.savez wrote"):
        source(tmp_path / "a.npz").load(0, 1, 0)
    with pytest.raises(ConfigurationError, match=r"and no file matches it: in '.*' there is a.npz"):
        source(tmp_path / "*.csv").load(0, 1, 0)
    with pytest.raises(ConfigurationError, match=r"there is no folder '.*elsewhere'"):
        source(tmp_path / "elsewhere/*.npz").load(0, 1, 0)
    with pytest.raises(ConfigurationError, match=r"no such file \(did you mean 'a.npz'\?\)"):
        source(tmp_path / "b.npz").load(0, 1, 0)
    with pytest.raises(ConfigurationError, match=r"a folder: write which files of it, such as '.*'"):
        source(tmp_path).load(0, 1, 0)
    with pytest.raises(ConfigurationError, match="needs the option path"):
        source("").load(0, 1, 0)
    monkeypatch.delenv("TIERWISE_DATA", raising=False)
    with pytest.raises(ConfigurationError, match="there is no environment variable TIERWISE_DATA: set it, or write"):
        source("$TIERWISE_DATA/a.npz").load(0, 1, 0)
    monkeypatch.setenv("TIERWISE_DATA", str(tmp_path))
    images(tmp_path)
    assert len(source("$TIERWISE_DATA/a.npz").load(0, 1, 0).train) == 48


@pytest.mark.data
@needs_real_data
def test_fashion_mnist_is_read_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERWISE_DATA", str(DATA))
    made = source(
        "$TIERWISE_DATA/fashion_mnist_part*.npz",
        features="x_train", target="y_train", scale=255, partition="dirichlet", samples=9000, reserved=600,
    )  # fmt: skip
    parts = [made.load(part, 60, 0) for part in range(60)]
    assert sum(len(part.train) + len(part.holdout) for part in parts) == 9000
    assert (made.task.features, len(made.task.classes)) == (784, 10)
    assert reserved_of(made, 0).features.shape == (600, 784)


def test_options_have_defaults() -> None:
    assert NpzOptions().features == "x"


def test_a_text_that_stands_for_a_missing_target_is_no_class(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((9, 2)), y=np.array(["on", "off", "NaN"] * 3))
    options = {"path": str(tmp_path / "a.npz")}
    with pytest.raises(ConfigurationError, match=r"sample 2: the target is 'NaN'; 3 of 9 samples lack a value"):
        PLUGINS.data_source("npz", options).load(0, 1, 0)
    assert PLUGINS.data_source("npz", options | {"missing": "drop"}).task.classes == ("off", "on")
    assert PLUGINS.data_source("npz", options | {"classes": ["on", "off", "NaN"]}).load(0, 1, 0)
