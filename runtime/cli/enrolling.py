"""Follows an enrolment, and says how many devices it still waits for."""

from typing import Final

from tierwise.core import events as e
from tierwise.core.ids import DeviceId

FEW: Final = 10
"""So many lacking devices are told one by one, more of them by tens."""


class EnrolmentWatch:
    """Follows a federation's events until groups are to be formed."""

    def __init__(self) -> None:
        self._wanted: int | None = None
        self._reported: set[DeviceId] = set()
        self._away: set[DeviceId] = set()
        self._told: int | None = None

    def watch(self, event: e.Event | e.Notice) -> str | None:
        """Take note of an event; return how many devices are lacking if that has changed and is worth a line."""
        match event:
            case e.FederationOpened(settings=settings):
                self._wanted = settings.enrolment.min_devices
                return None
            case e.GroupingOpened() | e.FederationFailed():
                self._wanted = None
            case e.HardwareReported(device=device):
                self._reported.add(device)
            case e.DeviceReturned(device=device) | e.DeviceReleased(device=device):
                self._away.discard(device)
            case e.DeviceLost(device=device) | e.DeviceRemoved(device=device) | e.DeviceQuarantined(device=device):
                self._away.add(device)
            case _:
                return None
        return self._lacking()

    def _lacking(self) -> str | None:
        lacking = 0 if self._wanted is None else self._wanted - len(self._reported - self._away)
        if lacking < 1 or (lacking > FEW and lacking % FEW) or lacking == self._told:
            return None
        self._told = lacking
        return f"waiting for {lacking:,} more device{'' if lacking == 1 else 's'}"
