"""The public set and the test set of a coordinator, read from files of somebody's own."""

from pathlib import Path

import numpy as np
import pytest

from tierwise.core.errors import ConfigurationError
from tierwise.plugins import Plugins
from tierwise.runtime.config import load_config
from tierwise.runtime.own_data import OwnData

PLUGINS = Plugins.discover()
DATA = """
[data]
source = "csv"
path = "devices/*.csv"
target = "state"
one_hot = { oil = ["new", "old"] }
separator = ";"
missing = "drop"

[exchange]
policy = "distill"

[exchange.public]
source = "csv"
path = "public.csv"
"""
ROWS = "{heat};{oil};{state}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "devices").mkdir()
    for name in ("a", "b", "c"):
        rows = [ROWS.format(heat=n, oil=("new", "old")[n % 2], state=("bad", "good")[n % 3 == 0]) for n in range(9)]
        (tmp_path / "devices" / f"{name}.csv").write_text("\n".join(["heat;oil;state", *rows]) + "\n")
    return tmp_path


def own(folder: Path, text: str = DATA) -> OwnData:
    (folder / "run.toml").write_text(text)
    config = load_config(folder / "run.toml", PLUGINS)
    return config.own_data(config.data_source(PLUGINS), PLUGINS)


@pytest.mark.parametrize(
    "text",
    [
        "oil;heat\nold;3\nnew;4\n",
        "oil;heat;state\nold;3;\nnew;4;\n",
        "oil;heat;state\nold;3;good\nnew;4;good\n",
        "heat;oil;state;more\n3;old;strange;1\n;new;good;2\n4;new;bad;3\n",
    ],
    ids=["no column", "no labels", "one class", "others, and a row to drop"],
)
def test_a_public_set_needs_no_labels_and_is_read_as_the_data_are(folder: Path, text: str) -> None:
    (folder / "public.csv").write_text(text)
    np.testing.assert_array_equal(own(folder).public, [[3, 0, 1], [4, 1, 0]])


def test_a_test_set_of_few_samples_is_read_as_the_data_are_and_keeps_its_order(folder: Path) -> None:
    (folder / "test.csv").write_text("state;oil;heat\ngood;old;3\nbad;new;4\n")
    (folder / "public.csv").write_text("heat;oil\n3;old\n")
    test = own(folder, f'{DATA}\n[evaluation]\nsource = "csv"\npath = "test.csv"\n').test
    assert test is not None
    np.testing.assert_array_equal(test.features, [[3, 0, 1], [4, 1, 0]])
    np.testing.assert_array_equal(test.labels, [1, 0])


def test_what_is_written_down_goes_before_what_the_data_say(folder: Path) -> None:
    (folder / "public.csv").write_text("heat,oil\n3,old\n,new\n")
    np.testing.assert_array_equal(own(folder, DATA + 'separator = ","\n').public, [[3, 0, 1]])
    with pytest.raises(ConfigurationError, match=r"exchange\.public: .*line 3: column 'heat' has no value"):
        own(folder, DATA + 'separator = ","\nmissing = "error"\n')


def test_a_parquet_file_inherits_what_it_has_an_option_for(folder: Path) -> None:
    import polars as pl

    pl.DataFrame({"heat": [3.0, 4.0], "oil": ["old", "new"]}).write_parquet(folder / "public.parquet")
    text = DATA.replace('source = "csv"\npath = "public.csv"', 'source = "parquet"\npath = "public.parquet"')
    np.testing.assert_array_equal(own(folder, text).public, [[3, 0, 1], [4, 1, 0]])


def test_arrays_need_no_target_either(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name in "abc":
        np.savez(folder / f"{name}_device.npz", x=random.random((9, 2, 2)), y=np.arange(9) % 3)
    np.savez(folder / "public.npz", x=np.arange(8).reshape(2, 2, 2))
    text = """
[data]
source = "npz"
path = "*_device.npz"
scale = 2

[exchange]
policy = "distill"

[exchange.public]
source = "npz"
path = "public.npz"
"""
    np.testing.assert_array_equal(own(folder, text).public, np.arange(8).reshape(2, 4))


def test_a_function_may_give_none_for_the_target(folder: Path) -> None:
    (folder / "readers.py").write_text(
        "import numpy as np\n"
        "def devices():\n"
        "    return {name: (np.ones((6, 2)), ['x', 'y'] * 3) for name in 'abc'}\n"
        "def public():\n"
        "    return np.zeros((3, 2)), None\n"
    )
    text = """
[data]
source = "callable"
function = "readers.py:devices"

[exchange]
policy = "distill"

[exchange.public]
source = "callable"
function = "readers.py:public"
"""
    np.testing.assert_array_equal(own(folder, text).public, np.zeros((3, 2)))


def test_so_many_samples_as_are_asked_for_are_picked(folder: Path) -> None:
    (folder / "public.csv").write_text("heat;oil\n" + "3;old\n" * 9)
    assert len(own(folder, DATA + 'partition = "iid"\nsamples = 4\n').public) == 4


def test_a_public_file_that_lacks_a_feature_is_named(folder: Path) -> None:
    (folder / "public.csv").write_text("heat;state\n3;good\n")
    with pytest.raises(ConfigurationError, match=r"exchange\.public: .*public\.csv has no column 'oil'"):
        own(folder)
