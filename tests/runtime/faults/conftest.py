"""The packs for all processes and for us."""

import pytest

from tests.runtime.faults.pack import install_told
from tests.runtime.programs.processes import install_pack


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def packs(tmp_path_factory):
    """Install the policy packs, as pip would, for all processes and for this one."""
    folder = install_told(install_pack(tmp_path_factory.mktemp("packs")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.syspath_prepend(folder)
        yield
