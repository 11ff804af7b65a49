"""Everybody takes part."""

from collections.abc import Mapping, Sequence

from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId


class AllSelector:
    """Selects every candidate, in every round."""

    def select(self, candidates: Mapping[DeviceId, HardwareProfile], *, seed: int) -> Sequence[DeviceId]:  # noqa: ARG002
        """Return the candidates, sorted by id."""
        return sorted(candidates)
