"""Stop when a budget is used up: of bytes, of joules.

A budget is never exceeded by a round that could have been foreseen: a group stops when another round like the last one
would take more than what is left. Only the first round is not asked about, and abandoned rounds, and what is sent
beside models and updates, are not counted.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from tierwise.core.errors import NeverStopsError
from tierwise.core.stopping import RoundRecord

_Amount = Annotated[float, msgspec.Meta(gt=0)]


class TrafficOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `TrafficRule`.

    Attributes
    ----------
    budget_bytes
        Models down and updates up, in bytes.
    per_device
        Whether the budget is that of a device which takes part in every round, instead of the whole group's.
    """

    budget_bytes: _Amount = 1e9
    per_device: bool = False


class TrafficRule:
    """Stops a group before its rounds have moved more bytes than it may."""

    def __init__(self, options: TrafficOptions) -> None:
        self._options = options

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        """Add up the rounds' traffic."""
        moved = [self._moved(record) for record in history]
        return _used_up(moved, self._options.budget_bytes, "bytes", ",.0f", each=self._options.per_device)

    def _moved(self, record: RoundRecord) -> float:
        if not self._options.per_device:
            return record.download_bytes + record.upload_bytes
        return record.download_bytes / max(record.participants, record.devices) + record.upload_bytes / record.devices


class EnergyOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `EnergyRule`.

    Attributes
    ----------
    budget_j
        Of the whole group, in joules.
    """

    budget_j: _Amount = 1e6


class EnergyRule:
    """Stops a group before its rounds have taken more energy than it may.

    Energy is predicted from the tier's cost, the samples and the devices' ``power_w``; devices whose power is not
    known count as none.
    """

    def __init__(self, options: EnergyOptions) -> None:
        self._budget_j = options.budget_j

    def check(self, history: Sequence[RoundRecord]) -> str | None:
        """Add up the rounds' energy.

        Raises
        ------
        NeverStopsError
            If no round's is known.
        """
        known = [record.energy_j for record in history if record.energy_j is not None]
        if not known:
            raise NeverStopsError(
                f"stop rule 'energy' cannot tell when {self._budget_j:g} J are used up, since no device of the group "
                "tells its power: declare power_w (watts at full load), or choose another rule",
                key="budget_j",
            )
        return _used_up(known, self._budget_j, "J", ".4g")


def _used_up(spent: Sequence[float], budget: float, unit: str, form: str, *, each: bool = False) -> str | None:
    total, last = sum(spent), spent[-1]
    if total + last <= budget:
        return None
    of = f"{total:{form}} of {budget:{form}} {unit} are used{' by each device' if each else ''}"
    return of if total >= budget else f"{of}, and another round takes {last:{form}}"
