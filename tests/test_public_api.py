"""What is public: each ``__all__`` is what is really there, and every hook is documented."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tierwise.plugins import hookspecs, testing
from tierwise.plugins.descriptors import Kind

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs/reference/plugins.md").read_text()


@pytest.mark.parametrize("name", ["tierwise.core", "tierwise.plugins", "tierwise.runtime", "tierwise.ext"])
def test_all_names_what_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    for public in module.__all__:
        assert getattr(module, public) is not None
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("name", ["tierwise.core", "tierwise.runtime"])
def test_a_lazy_package_knows_the_home_of_each_name(name: str) -> None:
    module = importlib.import_module(name)
    for public in module.__all__:
        found = getattr(module, public)
        home = getattr(found, "__module__", None)  # a type alias has none of ours
        assert home is None or home.startswith((f"{name}.", "typing")) or public in {"Metrics", "OptimizerState"}
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        module.Nonsense  # noqa: B018


@pytest.mark.parametrize("package", ["tierwise.core", "tierwise.runtime"])
def test_a_lazy_package_costs_nothing_until_it_is_used(package: str) -> None:
    code = f"import sys, {package}; print([name for name in sys.modules if name in ('numpy', 'polars', 'sklearn')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_every_hook_is_in_the_reference(hook: str) -> None:
    assert f"`{hook}`" in REFERENCE


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.AGGREGATOR])
def test_every_kind_has_a_conformance_check_in_the_reference(kind: Kind) -> None:
    check = f"check_{kind.replace(' ', '_')}"
    assert callable(getattr(testing, check))
    assert f"`{check}`" in REFERENCE
