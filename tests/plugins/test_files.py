"""Plugins in a file that is in no package: what is found, and the whole text of every fault."""

import json
import re
import sys
import textwrap
from pathlib import Path

import pytest

from tierwise.core.errors import ConfigurationError, PluginClashError, PluginLoadError
from tierwise.core.events import PluginUsed
from tierwise.plugins import Kind, Plugins, builtin
from tierwise.runtime.config import load_config, parse_config

GOOD = """
from tierwise.plugins import Kind, PluginDescriptor, hookimpl

RUN = []

@hookimpl
def tierwise_probes():
    yield PluginDescriptor(kind=Kind.PROBE, name="disk", target=f"{__name__}:Disk", summary="How much disk.")

class Disk:
    async def measure(self):
        return {"disk_bytes": 1e12}
"""


@pytest.fixture
def write(tmp_path: Path):

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    yield write
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_files_plugins_are_found_with_where_they_come_from(write) -> None:
    path = write("my_disk.py", GOOD)
    plugins = Plugins(builtin)
    plugins.register_file(path)
    assert type(plugins.probe("disk")).__module__ == "my_disk"
    used = plugins.provenance(Kind.PROBE, "disk")
    assert isinstance(used, PluginUsed)
    assert used.distribution == "my_disk.py"
    assert re.fullmatch(r"[0-9a-f]{12}", used.version)


def test_a_file_is_run_once_and_known_to_others_that_ask(write) -> None:
    path = write("my_disk.py", GOOD)
    first, second = Plugins(builtin), Plugins(builtin)
    first.register_file(path)
    sys.modules["my_disk"].RUN.append("once")
    for plugins in (first, second):
        plugins.register_file(path)
    assert sys.modules["my_disk"].RUN == ["once"]
    assert [one.name for one in second.descriptors(Kind.PROBE)].count("disk") == 1


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        pytest.param("sub", None, ConfigurationError, "'{path}': that is a directory, not a file", id="directory"),
        pytest.param(
            "my_disc.py",
            None,
            ConfigurationError,
            "'{path}': there is no such file (did you mean 'my_disk.py'?)",
            id="not there",
        ),
        pytest.param(
            "my-disk.py",
            GOOD,
            ConfigurationError,
            "'my-disk.py' cannot be imported: a file of plugins is named with letters, digits and _, and ends with .py",
            id="name",
        ),
        pytest.param(
            "json.py",
            GOOD,
            ConfigurationError,
            f"'json.py' would be the module 'json', and there is one: {json.__file__}. Rename the file",
            id="a module in use",
        ),
        pytest.param(
            "raising.py",
            "import math\nx = 1\nraise RuntimeError('no luck')\n",
            PluginLoadError,
            "plugin file {path}, line 3: it cannot be imported: RuntimeError: no luck",
            id="raises",
        ),
        pytest.param(
            "ending.py",
            "import sys\nsys.exit(3)\n",
            PluginLoadError,
            "plugin file {path}, line 2: it cannot be imported: SystemExit: 3",
            id="exits",
        ),
        pytest.param(
            "wrong.py",
            "def f(:\n    pass\n",
            PluginLoadError,
            "plugin file {path}: it cannot be imported: SyntaxError: invalid syntax (wrong.py, line 1)",
            id="syntax",
        ),
        pytest.param(
            "silent.py",
            "x = 1\n",
            PluginLoadError,
            "plugin file {path}: it announces no plugin; a function with the name of a hook does, marked with "
            "@tierwise.plugins.hookimpl. The hooks are tierwise_probes",
            id="no hook",
        ),
        pytest.param(
            "unmarked.py",
            GOOD.replace("@hookimpl", ""),
            PluginLoadError,
            "plugin file {path}: tierwise_probes is not marked with @tierwise.plugins.hookimpl. Correct {path}.",
            id="not marked",
        ),
    ],
)
def test_a_fault_names_the_file_and_what_is_wrong(write, tmp_path: Path, name, text, error, message) -> None:
    write("my_disk.py", GOOD)
    (tmp_path / "sub").mkdir()
    path = tmp_path / name if text is None else write(name, text)
    plugins = Plugins(builtin)
    with pytest.raises(error) as caught:
        plugins.register_file(path)
    assert str(caught.value).startswith(message.format(path=path))
    assert [one.name for one in plugins.descriptors(Kind.PROBE)] == [
        one.name for one in Plugins(builtin).descriptors(Kind.PROBE)
    ]
    assert name.removesuffix(".py") not in set(sys.modules) - {"json"}


def test_two_files_of_one_name_cannot_be_told_apart(write) -> None:
    first, second = write("my_disk.py", GOOD), write("other/my_disk.py", GOOD)
    plugins = Plugins(builtin)
    plugins.register_file(first)
    with pytest.raises(ConfigurationError, match=re.escape(f"and there is one: {first}. Rename the file")):
        plugins.register_file(second)


def test_a_name_that_is_taken_is_a_clash(write) -> None:
    path = write("my_disk.py", GOOD.replace('"disk"', '"memory"'))
    plugins = Plugins.discover()
    with pytest.raises(PluginClashError, match=re.escape(f"and {path} (in 'my_disk'). Correct {path}.")):
        plugins.register_file(path)


# In a configuration


def test_a_configuration_names_files_beside_it(write) -> None:
    write("my_disk.py", GOOD)
    plugins = Plugins.discover()
    config = load_config(write("run.toml", '[plugins]\nmodules = ["my_disk.py"]\n'), plugins)
    assert config.plugins.modules == ("my_disk.py",)
    assert "disk" in [one.name for one in plugins.descriptors(Kind.PROBE)]


def test_a_fault_of_a_configurations_file_names_the_key(write, tmp_path: Path) -> None:
    path = write("run.toml", '[plugins]\nmodules = ["mine.py"]\n[grouping]\npolicy = "mine"\n')
    with pytest.raises(ConfigurationError) as caught:
        load_config(path)
    # What the file would have brought is not told to be missing as well.
    assert str(caught.value) == f"{path}: plugins.modules: '{tmp_path}/mine.py': there is no such file"


def test_a_mapping_cannot_choose_what_is_run(write) -> None:
    path = write("evil.py", "raise RuntimeError('run')")
    with pytest.raises(ConfigurationError, match="only a configuration that is a file can name modules"):
        parse_config({"plugins": {"modules": [str(path)]}})


# On the command line


def test_the_commands_take_files(here, write, tmp_path: Path) -> None:
    path = write("my_disk.py", GOOD)
    code, out, _ = here("plugins", "--plugins", path, "--kind", "probe", "--json")
    assert (code, [one["distribution"] for one in json.loads(out) if one["name"] == "disk"]) == (0, ["my_disk.py"])
    code, out, _ = here("probe", "--plugins", path, "--json")
    assert (code, json.loads(out)["quantities"]["disk_bytes"]["value"]) == (0, 1e12)
    for command in (("plugins",), ("probe",), ("agent", "--data", "digits", "--broker", "mqtt://localhost")):
        code, _, err = here(*command, "--plugins", tmp_path / "none.py")
        assert (code, err) == (2, f"error: --plugins: '{tmp_path}/none.py': there is no such file\n")
