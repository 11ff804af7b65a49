"""What the documentation and the examples say is run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tierwise.plugins import Plugins
from tierwise.plugins.testing import check_server_optimizer

ROOT = Path(__file__).parent.parent


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_the_plugin_of_the_how_to_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = blocks(ROOT / "docs/howto/write-a-plugin.md", "python")
    files = {block.splitlines()[0].removeprefix("# "): block for block in page if block.startswith("# my_pack/")}
    assert sorted(files) == ["my_pack/__init__.py", "my_pack/clipped.py", "my_pack/momentum.py"]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import my_pack  # type: ignore[import-not-found]
    from my_pack.clipped import ClippedMeanReducer, ClippedOptions  # type: ignore[import-not-found]

    plugins = Plugins.discover()
    plugins.register(my_pack)
    assert plugins.aggregator("clipped").reducer == "clipped-mean"
    (check,) = [block for block in page if "check_reducer(" in block]
    exec(check, {"ClippedMeanReducer": ClippedMeanReducer, "ClippedOptions": ClippedOptions})
    from my_pack.momentum import MomentumOptimizer, MomentumOptions  # type: ignore[import-not-found]

    check_server_optimizer(MomentumOptimizer(MomentumOptions()))


def test_the_embedded_federation_runs() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples/embed.py"], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" got mlp-") == 9
    assert len(re.findall(r"^g\d: mlp-\d+, accuracy 0\.\d+, 10 rounds$", done.stdout, re.MULTILINE)) == 3


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
        (ROOT / "docs").rglob("*.md")
    )
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
