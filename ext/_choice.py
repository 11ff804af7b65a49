"""Which kernels are in use: the compiled ones if they were built, else their NumPy twins.

Every kernel module is there twice: ``_<name>`` is compiled, ``_<name>_numpy`` is its specification and twin.
"""

import importlib
import os
import warnings
from types import ModuleType
from typing import Final, Literal

NAMES: Final = (
    "arrays",
    "average",
    "coded",
    "distance",
    "order",
    "ring",
)
REMEDY: Final = (
    "To mend it, install a C compiler and run "
    "`pip install --force-reinstall --no-binary tierwise tierwise`; "
    "to use NumPy on purpose, set TIERWISE_KERNELS=numpy."
)


class KernelsMissingWarning(RuntimeWarning):
    """The compiled kernels cannot be loaded, so their NumPy twins do the work."""


def _choose() -> tuple[Literal["cython", "numpy"], ImportError | None]:
    """Return which kernels are in use, and what kept the compiled ones out if nobody asked for that."""
    wanted = os.environ.get("TIERWISE_KERNELS")
    if wanted not in {None, "cython", "numpy"}:
        raise ValueError(f"TIERWISE_KERNELS is {wanted!r}, expected 'cython' or 'numpy', or no such variable")
    if wanted == "numpy":
        return "numpy", None
    try:
        for name in NAMES:  # all of them or none
            importlib.import_module(f"tierwise.ext._{name}")
    except ImportError as error:
        if wanted == "cython":
            raise ImportError(
                f"TIERWISE_KERNELS is 'cython', but the compiled kernels cannot be loaded: {error}. {REMEDY}"
            ) from error
        return "numpy", error
    return "cython", None


_chosen, _not_loaded = _choose()

KERNELS: Final = _chosen
"""Which kernels are in use in this process, ``"cython"`` or ``"numpy"``."""


def kernels(name: str) -> ModuleType:
    """Return a kernel module, compiled or its twin; both have the same functions."""
    return importlib.import_module(f"tierwise.ext._{name}" if KERNELS == "cython" else f"tierwise.ext._{name}_numpy")


def warn_if_missing() -> None:
    """Warn, once in a process, if the compiled kernels are missed. Called by public functions only."""
    global _not_loaded
    error, _not_loaded = _not_loaded, None
    if error is None:
        return
    # How much longer is what benchmarks/average.py measures.
    warnings.warn(
        f"The compiled kernels cannot be loaded ({error}), so NumPy does their work: the results are the "
        f"same, but summing updates takes two to four times as long. {REMEDY}",
        KernelsMissingWarning,
        stacklevel=3,
    )
