"""Selection: who takes part in a round."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId


class Selector(Protocol):
    """Chooses the participants of a round: a plugin, made as ``Class(options)`` or ``Class()``."""

    def select(self, candidates: Mapping[DeviceId, HardwareProfile], *, seed: int) -> Sequence[DeviceId]:
        """Return at least three of the candidates, each once, in any order.

        A pure function. It is called only with three candidates or more, all of one group and reachable.

        Parameters
        ----------
        candidates
            The devices that could take part, by id.
        seed
            Differs from round to round.
        """
        ...
