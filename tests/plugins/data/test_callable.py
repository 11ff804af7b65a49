"""Data that a function or a class of the user's own gives."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tierwise.core.errors import ConfigurationError, PluginLoadError
from tierwise.plugins import Plugins
from tierwise.plugins.data.callable import CallableSource
from tierwise.plugins.testing import check_data_source
from tierwise.runtime.config import load_config, parse_config

PLUGINS = Plugins.discover()
CODE = """
import numpy as np
from tierwise.plugins.data.digits import DigitsOptions, DigitsSource

def clouds(samples=60, classes=3):
    random = np.random.default_rng(0)
    labels = np.arange(samples) % classes
    return random.normal(size=(samples, 2, 2)) + labels[:, None, None], labels

def rooms():
    return {"kitchen": clouds(30), "cellar": clouds(20)}

def nobody():
    return {}

def ragged():
    return [[1], [1, 2]], [0, 1]

def broken():
    raise RuntimeError("no sensor")

def three():
    return 1, 2, 3

class Digits:
    def __init__(self, reserved=0):
        self._source = DigitsSource(DigitsOptions(reserved=reserved))
        self.task = self._source.task

    def load(self, part, parts, seed):
        return self._source.load(part, parts, seed)

    def reserved(self, seed):
        return self._source.reserved(seed)

class Empty:
    pass

count = 3
"""


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    """Write a file of functions, and forget it afterwards."""
    (tmp_path / "own_readers.py").write_text(CODE)
    yield tmp_path / "own_readers.py"
    sys.modules.pop("own_readers", None)


def source(code: Path, name: str, /, **options: object) -> CallableSource:
    made = PLUGINS.data_source("callable", {"function": f"{code}:{name}", **options})
    assert isinstance(made, CallableSource)
    return made


@pytest.mark.parametrize("partition", ["own", "iid", "dirichlet", "shards", "quantity"])
def test_conformance_of_a_function(code: Path, partition: str) -> None:
    check_data_source(source(code, "rooms" if partition == "own" else "clouds", partition=partition))


def test_conformance_of_a_class(code: Path) -> None:
    made = source(code, "Digits", arguments={"reserved": 100})
    check_data_source(made)
    assert len(made.reserved(0)) == 100
    assert (made.task.name, made.devices()) == ("digits", ())


def test_a_function_gives_arrays_or_those_of_each_device(code: Path) -> None:
    clouds = source(code, "clouds", arguments={"classes": 2}, partition="iid")
    assert (clouds.task.name, clouds.task.features, clouds.task.classes) == ("clouds", 4, ("0", "1"))
    assert clouds.devices() == ()
    rooms = source(code, "rooms", name="warmth")
    assert (rooms.task.name, rooms.devices()) == ("warmth", ("kitchen", "cellar"))
    assert [len(rooms.load(part, 2, 0).train) for part in (0, 1)] == [24, 16]
    assert rooms.pins() == {"size": 4, "classes": ["0", "1", "2"]}
    assert [column.name for column in rooms.columns()] == ["4 features", "target"]


def test_a_function_of_an_installed_package() -> None:
    options = {"function": "sklearn.datasets:load_diabetes", "arguments": {"return_X_y": True}, "task": "regression"}
    made = PLUGINS.data_source("callable", {**options, "partition": "shards"})
    local = made.load(0, 1, 0)
    assert (made.task.features, len(local.train) + len(local.holdout)) == (10, 442)
    assert local.train.labels.dtype == np.float32
    check_data_source(made)


def test_the_task_needs_no_call_once_it_is_written_down(code: Path) -> None:
    written = source(code, "broken", size=4, classes=["a", "b"])
    assert written.task.features == 4
    with pytest.raises(
        ConfigurationError, match=r"own_readers.py:broken, called with \{\}, raised RuntimeError: no sensor"
    ):
        written.load(0, 1, 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cluods", "has no function 'cluods' (did you mean 'clouds'?)"),
        ("count", "has no function 'count'"),
        ("nobody", "own_readers.py:nobody returned no devices"),
        ("ragged", "own_readers.py:ragged returned what is no array"),
        (
            "three",
            "own_readers.py:three returned tuple, expected a pair (features, target), or a mapping from devices'",
        ),
        ("Empty", "own_readers.py:Empty is a class without task and load, which the contract DataSource asks for"),
    ],
)
def test_what_is_no_source_of_data_is_named(code: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        source(code, name).load(0, 1, 0)


def test_what_cannot_be_found_is_named(code: Path) -> None:
    for function, message in (
        (
            "",
            "function of data source 'callable' is '', it has the form 'package.module:function' or 'file.py:function'",
        ),
        ("clouds", "is 'clouds', it has the form"),
        ("no_such_package.data:read", "module 'no_such_package.data' cannot be imported: ModuleNotFoundError"),
        (f"{code.with_name('own_raeders.py')}:clouds", "there is no such file (did you mean 'own_readers.py'?)"),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            PLUGINS.data_source("callable", {"function": function}).load(0, 1, 0)
    code.write_text("1 / 0")
    with pytest.raises(PluginLoadError, match="line 1: it cannot be imported: ZeroDivisionError"):
        source(code, "clouds").load(0, 1, 0)
    with pytest.raises(ConfigurationError, match="partition is 'column', and a function gives no columns"):
        source(code, "clouds", partition="column")


def test_a_file_may_name_code_and_a_mapping_may_not(code: Path) -> None:
    data = "[data]\nsource = 'callable'\nfunction = 'own_readers.py:clouds'"
    (code.parent / "run.toml").write_text(data)
    assert load_config(code.parent / "run.toml", PLUGINS).data_source(PLUGINS).task.name == "clouds"
    mapping = {"data": {"source": "callable", "function": "os:getcwd"}}
    with pytest.raises(ConfigurationError, match=r"data.function: only a configuration that is a file can name code"):
        parse_config(mapping, "run.toml", PLUGINS)
