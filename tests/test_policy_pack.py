"""The example of a policy pack, built and installed beside tierwise in an environment that has nothing else of ours.

What tierwise depends on is that of the tests: to install it anew takes longer than all of this, and that what tierwise
says it depends on is enough, `.ci/run` shows.
"""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACK = ROOT / "examples" / "policy-pack"
# Without the kernels' sources NumPy does their work: compiling them takes a minute, and no pack sees the difference.
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "*.pyd", "*.pyx")

pytestmark = pytest.mark.timeout(600)  # pip fetches what builds


def run(*command, cwd):
    ran = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert ran.returncode == 0, f"{command} in {cwd}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the directory of a clean environment's programs, with both wheels installed in it."""
    top = tmp_path_factory.mktemp("policy-pack")
    # Built from copies, since a build writes beside its sources.
    shutil.copytree(ROOT, top / "tierwise", ignore=NOT_SOURCE)
    shutil.copytree(PACK, top / "pack", ignore=NOT_SOURCE)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", "wheels", "./tierwise", "./pack", cwd=top)
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=top)
    programs = next(path for path in (top / "venv" / "bin", top / "venv" / "Scripts") if path.exists())
    wheels = sorted((top / "wheels").glob("*.whl"))
    assert len(wheels) == 2
    run(*pip, "--python", programs / "python", "install", "--quiet", "--no-deps", *wheels, cwd=top)
    site = run(programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=top)
    # As a mere path: what makes the tests' own tierwise importable there, a .pth file, is not looked into.
    (Path(site.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return programs


def test_it_is_the_installed_tierwise(environment, tmp_path):
    where = run(environment / "python", "-c", "import tierwise.core; print(tierwise.core.__file__)", cwd=tmp_path)
    assert Path(where).is_relative_to(environment.parent)


def test_the_packs_own_tests_pass_without_a_test_framework(environment, tmp_path):
    program = (
        "import runpy, sys\n"
        "tests = {n: f for n, f in runpy.run_path(sys.argv[1]).items() if n.startswith('test_')}\n"
        "for test in tests.values(): test()\n"
        "print(*tests)\n"
    )
    ran = run(environment / "python", "-c", program, PACK / "tests" / "test_policy_pack.py", cwd=tmp_path)
    assert len(ran.split()) == 4


def test_the_plugins_are_listed(environment, tmp_path):
    listed = run(environment / "tierwise", "plugins", "--json", cwd=tmp_path)
    json.loads(listed)
    for name in ("memory-bands", "winsorized-mean", "tierwise-policy-pack"):
        assert f'"{name}"' in listed


def test_a_federation_uses_the_pack_by_name(environment, tmp_path):
    result = run(environment / "tierwise", "simulate", PACK / "federation.toml", "--json", cwd=tmp_path)
    json.loads(result)
    for name in ("memory-bands", "winsorized-mean", "tierwise-policy-pack"):
        assert f'"{name}"' in result
