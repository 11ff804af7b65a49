"""Core stays pure, nobody imports a folder by its bare name, and heavy libraries load when they are used."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("ext", "core", "plugins", "runtime")
"""From the lowest to the highest."""
CORE_IMPORTS = {"numpy", "msgspec"}
"""What core may import besides the standard library, itself and the layer below."""
BUS = {"bus.py", "mailbox.py"}
"""The modules of core that wait, and so may import anyio."""


def sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, f"no source in {folder}"
    return found


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the full names of the modules that a statement imports."""
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom(level=0):
            assert node.module is not None
            if node.module == "tierwise":
                yield from (f"tierwise.{alias.name}" for alias in node.names)
            else:
                yield node.module
        case ast.ImportFrom():
            raise AssertionError(f"line {node.lineno}: a relative import hides which layer it goes to")


def all_imports(path: Path) -> set[str]:
    return {name for node in ast.walk(ast.parse(path.read_text("utf-8"))) for name in imported(node)}


def imports_at_load(path: Path) -> set[str]:
    """Collect what a module imports when it is imported: neither in functions, nor for the type checker only."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
                waiting.extend(child.orelse)
                continue
            found.update(imported(child))
            waiting.append(child)
    return found


def library(module: str) -> str:
    return module.partition(".")[0]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_down(layer: str) -> None:
    above = {f"tierwise.{name}" for name in LAYERS[LAYERS.index(layer) + 1 :]}
    for path in sources(layer):
        upward = {name for name in all_imports(path) if ".".join(name.split(".")[:2]) in above}
        assert not upward, f"{shown(path)} imports {upward}"


@pytest.mark.parametrize("path", sources("core"), ids=shown)
def test_core_imports_only_what_is_pure(path: Path) -> None:
    allowed = CORE_IMPORTS | {"tierwise"} | sys.stdlib_module_names
    if path.name in BUS:
        allowed |= {"anyio"}
    at_load = {library(name) for name in imports_at_load(path)}
    assert at_load <= allowed, f"{shown(path)} imports {at_load - allowed}"
    anywhere = {library(name) for name in all_imports(path)}
    assert anywhere <= allowed | {"polars"}, f"{shown(path)} imports {anywhere - allowed}"


@pytest.mark.parametrize("path", sources("core"), ids=shown)
def test_core_has_no_clock_network_disk_or_threads(path: Path) -> None:
    edges = {"asyncio", "io", "multiprocessing", "os", "pathlib", "random", "socket", "subprocess", "tempfile",
             "threading", "time", "datetime"}  # fmt: skip
    found = {library(name) for name in all_imports(path)} & edges
    assert not found, f"{shown(path)} imports {found}"
    opened = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "print", "input"}
    ]
    assert not opened, f"{shown(path)} reads or writes in lines {opened}"


@pytest.mark.parametrize("folder", [*LAYERS, "tests", "examples", "benchmarks"])
def test_nothing_imports_a_layer_by_its_bare_name(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        bare = {
            name
            for node in ast.walk(tree)
            if not (isinstance(node, ast.ImportFrom) and node.level)
            for name in imported(node)
            if library(name) in LAYERS
        }
        assert not bare, f"{shown(path)} imports {bare}: that loads a second copy, say tierwise.{min(bare)}"


def loaded_after(code: str) -> set[str]:
    """Run code in a fresh interpreter and return the top-level names of what it has loaded."""
    code += "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


IMPORT_ALL_OF_CORE = """
import importlib, pkgutil, tierwise.core
for module in pkgutil.walk_packages(tierwise.core.__path__, "tierwise.core."):
    importlib.import_module(module.name)
"""


def test_all_of_core_loads_neither_polars_nor_scikit_learn() -> None:
    loaded = loaded_after(IMPORT_ALL_OF_CORE)
    assert {"tierwise", "numpy", "msgspec"} <= loaded
    assert not loaded & {"polars", "sklearn", "scipy", "safetensors", "psutil", "pluggy", "aiomqtt"}


def test_the_subprocess_would_see_a_heavy_library() -> None:
    assert "polars" in loaded_after("from tierwise.core.hardware import fleet_table\nfleet_table({})")


@pytest.mark.parametrize(
    ("source", "at_load", "anywhere"),
    [
        ("import numpy as np", {"numpy"}, {"numpy"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import polars", {"typing"}, {"typing", "polars"}),
        ("def f():\n    import polars", set(), {"polars"}),
        ("class A:\n    import polars", {"polars"}, {"polars"}),
        ("try:\n    import polars\nexcept ImportError:\n    pass", {"polars"}, {"polars"}),
        ("from tierwise import ext", {"tierwise.ext"}, {"tierwise.ext"}),
    ],
)
def test_these_tests_see_imports_where_they_are(
    tmp_path: Path, source: str, at_load: set[str], anywhere: set[str]
) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    assert imports_at_load(path) == at_load
    assert all_imports(path) == anywhere
