"""Runs a kernel module's functions in every way that there is here: the twin, and the kernel at each level."""

import importlib
import importlib.util
from collections.abc import Callable, Iterator

import numpy as np
import pytest

needs_compiled = pytest.mark.skipif(
    importlib.util.find_spec("tierwise.ext._order") is None,
    reason="the compiled kernels are not built: install a C compiler, then `make test` builds them",
)
WAYS = ["numpy", *(pytest.param(level, marks=needs_compiled) for level in range(3))]


def implementation(name: str, way: str | int) -> Iterator[object]:
    """Yield a kernel module for a while: its twin, or the compiled one at a level of vectors."""
    if way == "numpy":
        yield importlib.import_module(f"tierwise.ext._{name}_numpy")
        return
    compiled = importlib.import_module(f"tierwise.ext._{name}")
    if way >= compiled.LEVELS:
        pytest.skip(f"this machine has no vectors of level {way}")
    compiled.use_level(way)
    yield compiled
    compiled.use_level(compiled.LEVELS - 1)


def all_same(name: str, call: Callable[[object], np.ndarray]) -> bool:
    """Tell whether the twin and the kernel at every level give the same bytes."""
    expected = call(importlib.import_module(f"tierwise.ext._{name}_numpy"))
    compiled = importlib.import_module(f"tierwise.ext._{name}")
    for level in range(compiled.LEVELS):
        compiled.use_level(level)
        if call(compiled).tobytes() != expected.tobytes():
            return False
    return True
