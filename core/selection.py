"""Selection: who takes part in a round."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import DeviceId


class Postponed(msgspec.Struct, frozen=True, kw_only=True):
    """A selector's word that fewer than three candidates may take part now, so that the round has to wait.

    Attributes
    ----------
    reason
        For people: ``"2 of 9 devices are on the mains, at least 3 are needed"``.
    """

    reason: str


class Selector(Protocol):
    """Chooses the participants of a round: a plugin, made as ``Class(options)`` or ``Class()``."""

    def select(self, candidates: Mapping[DeviceId, HardwareProfile], *, seed: int) -> Sequence[DeviceId] | Postponed:
        """Return at least three of the candidates, each once, in any order; or that the round has to wait.

        A pure function. It is called only with three candidates or more, all of one group and reachable. After
        `Postponed` it is called again when the group's devices have changed: who of them can be reached, or a profile.
        Nothing else brings the round on, so who can choose three must.

        In a federation that works downward it is called a second time, with the group's guests (devices of stronger
        groups that have time left) among the candidates. Of what it returns then, the guests take part, too. So a
        condition on the hardware holds for them likewise.

        Parameters
        ----------
        candidates
            The devices that could take part, by id.
        seed
            Differs from round to round.
        """
        ...
