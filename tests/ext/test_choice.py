"""Which kernels are in use: the compiled ones, their NumPy twins, and what is said where they are missed."""

import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

HAVE_COMPILED = importlib.util.find_spec("tierwise.ext._average") is not None
needs_compiled = pytest.mark.skipif(
    not HAVE_COMPILED,
    reason="the compiled kernels are not built: install a C compiler, then `make test` builds them",
)


def run(code, **environment):
    """Run code in an interpreter of its own, away from the tree, and return it when finished."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TIERWISE_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(code)],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


HIDE = """
    import sys
    sys.modules["tierwise.ext._average"] = None  # as if it had not been built
"""
SUM = """
    import numpy as np
    from tierwise import ext
    out = np.empty(3, np.float32)
    ext.weighted_sum([np.arange(3, dtype=np.float32)] * 2, np.array([1, 2]), out)
    print(ext.KERNELS, out.tolist())
"""


def test_environment_forces_the_twin():
    done = run(SUM, TIERWISE_KERNELS="numpy")
    assert done.stdout == "numpy [0.0, 3.0, 6.0]\n"
    assert done.stderr == ""


@needs_compiled
@pytest.mark.parametrize("environment", [{}, {"TIERWISE_KERNELS": "cython"}])
def test_compiled_kernels_are_used_where_they_are(environment):
    done = run(SUM, **environment)
    assert done.stdout == "cython [0.0, 3.0, 6.0]\n"
    assert done.stderr == ""


@pytest.mark.parametrize("value", ["fortran", "", "Cython"])
def test_environment_with_another_value(value):
    done = run("import tierwise.ext", TIERWISE_KERNELS=value)
    assert done.stderr.endswith(
        f"ValueError: TIERWISE_KERNELS is {value!r}, expected 'cython' or 'numpy', or no such variable\n"
    )


def test_environment_demands_kernels_that_are_missing():
    done = run(HIDE + "    import tierwise.ext", TIERWISE_KERNELS="cython")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: TIERWISE_KERNELS is 'cython', but the compiled kernels cannot be loaded: ")
    assert "install a C compiler and run `pip install" in last


def test_missing_kernels_are_told_once_and_at_first_use():
    done = run(HIDE + "    import tierwise.ext\n    print('imported', file=sys.stderr)" + SUM * 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "numpy [0.0, 3.0, 6.0]\n" * 2
    before, after = done.stderr.split("imported\n")
    assert before == ""
    assert after.count("KernelsMissingWarning: The compiled kernels cannot be loaded (") == 1
    assert "so NumPy does their work: the results are the same, but summing updates takes" in after
    assert "pip install --force-reinstall --no-binary tierwise tierwise" in after
    assert "TIERWISE_KERNELS=numpy" in after
    assert after.startswith("<string>:")  # the caller's line, not ours


def test_missing_kernels_forced_on_purpose_are_not_worth_a_word():
    done = run(HIDE + SUM, TIERWISE_KERNELS="numpy")
    assert done.stdout == "numpy [0.0, 3.0, 6.0]\n"
    assert done.stderr == ""
