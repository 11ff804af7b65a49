"""A broker for all tests of this folder, and a scene for each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runtime.broker import MOSQUITTO, running
from tests.runtime.programs.processes import install_pack, scene
from tests.runtime.programs.undisturbed import Undisturbed, run_undisturbed


@pytest.fixture(scope="package")
def installed(tmp_path_factory) -> Path:
    """Return the folder of the policy pack."""
    return install_pack(tmp_path_factory.mktemp("pack"))


@contextmanager
def on_the_path(folder: Path) -> Iterator[None]:
    """Let all processes and this one find the pack, and nobody later: a folder without a package ends with the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.syspath_prepend(folder)
        yield


@pytest.fixture(scope="module", autouse=True)
def pack(installed):
    with on_the_path(installed):
        yield


@pytest.fixture(scope="package")
def broker(tmp_path_factory):
    """Return the URL of a mosquitto."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto` brings it")
    with running(tmp_path_factory.mktemp("broker")) as one:
        yield f"mqtt://{one.host}:{one.port}"


@pytest.fixture
def stage(tmp_path, broker):
    with scene(tmp_path, broker) as made:
        yield made


@pytest.fixture(scope="package")
def undisturbed(tmp_path_factory, installed, broker) -> Undisturbed:
    """Return what a federation comes to that nobody disturbs."""
    with on_the_path(installed), scene(tmp_path_factory.mktemp("undisturbed"), broker) as made:
        return run_undisturbed(made)
