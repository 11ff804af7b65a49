"""What all checks share: laws are functions, and a law's name is its function's."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId
from tierwise.core.task import Loss, Task

Law = Callable[..., str | None]
"""Takes the plugin and what the check was given, and says what is wrong, or None."""

TASK: Final = Task(name="conformance", features=6, classes=("a", "b", "c"))
"""The task of the checks: make a learner for it (``MyLearner(options, TASK)``) if you give the check none."""

REGRESSION_TASK: Final = Task(name="conformance", features=6, loss=Loss.SQUARED_ERROR)
"""A task of numbers, to check a learner with once more if it has regressions."""


class ConformanceError(AssertionError):
    """A plugin breaks a law of its contract.

    Attributes
    ----------
    law
        The law's name: ``"groups hold at least three"``.
    """

    def __init__(self, plugin: object, law: str, seen: str) -> None:
        self.law = law
        super().__init__(f"{type(plugin).__qualname__} breaks the law {law!r}: {seen}")


def name_of(law: Law) -> str:
    """Return a law's name."""
    return law.__name__.replace("_", " ")


def hold(plugin: object, laws: Sequence[Law], *given: object) -> None:
    """Hold a plugin to some laws, in their order.

    Raises
    ------
    ConformanceError
        For the first law that it breaks, or under which it raises.
    """
    for law in laws:
        try:
            seen = law(plugin, *given)
        except Exception as error:
            raise ConformanceError(plugin, name_of(law), f"it raised {type(error).__name__}: {error}") from error
        if seen is not None:
            raise ConformanceError(plugin, name_of(law), seen)


def devices(count: int) -> list[DeviceId]:
    """Name some devices."""
    return [DeviceId(f"device-{number:04}") for number in range(count)]


def mixed_fleet(count: int, seed: int = 0) -> dict[DeviceId, HardwareProfile]:
    """Make profiles that spread over three orders of magnitude."""
    random = np.random.default_rng(seed)

    def profile() -> HardwareProfile:
        size = 10 ** random.uniform(0, 3)
        return HardwareProfile.declared(
            cpu_flops=size * 4e8 * random.uniform(0.7, 1.4),
            cpu_count=float(random.integers(1, 17)),
            memory_bytes=float(round(size * 2.5e8 * random.uniform(0.7, 1.4))),
            downlink_bytes_per_s=1e6 * random.uniform(0.5, 50),
            uplink_bytes_per_s=1e6 * random.uniform(0.2, 10),
        )

    return {device: profile() for device in devices(count)}


def same(first: Any, second: Any) -> bool:
    """Compare arrays by shape, dtype and bytes."""
    return bool(first.shape == second.shape and first.dtype == second.dtype and first.tobytes() == second.tobytes())


def frozen(array: Any) -> Any:
    """Return a read-only copy, which is how tierwise hands arrays out."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy
