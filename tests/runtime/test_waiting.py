"""What the users of agents and coordinators are told while there is nothing but to wait."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

import anyio

from tests.core.drive import Drive, profile, settings
from tierwise.core import inputs as i
from tierwise.core import messages as m
from tierwise.core.edges import Reconnected
from tierwise.core.envelope import seal
from tierwise.core.ids import DeviceId, GroupId
from tierwise.runtime.cli.enrolling import EnrolmentWatch
from tierwise.runtime.cli.logging import TextLog
from tierwise.runtime.cli.overhearing import Overheard

BACK, THERE = "the broker or the coordinator is back", "the broker or the coordinator is there now"
JOINED = "joined federation garden"
WAITS = "waiting for a group, which there is once enough devices have joined"


class Arriving:
    """A transport on which all has arrived already."""

    def __init__(self, arrivals: Sequence[bytes | Reconnected]) -> None:
        self._arrivals = arrivals

    def connect(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def receive(self) -> AsyncGenerator[bytes | memoryview | Reconnected, None]:
        for one in self._arrivals:
            yield one

    async def send(self, data: bytes) -> None: ...

    async def follow(self, group: GroupId, *also: GroupId) -> None: ...

    def link(self) -> Mapping[str, float]:
        return {}


def overheard(*arrivals: m.Message | Reconnected) -> list[str]:
    """Return what an agent's log tells of what arrives."""
    lines: list[str] = []

    async def hear() -> None:
        sealed = [one if isinstance(one, Reconnected) else seal(one) for one in arrivals]
        transport = Overheard(Arriving(sealed), TextLog(lambda line, _level: lines.append(line.split("  ", 1)[1])))
        async for _ in transport.receive():
            pass

    anyio.run(hear)
    return lines


def test_only_who_was_there_can_be_back() -> None:
    welcome = m.Welcome(federation="garden", assignment=None)
    assert overheard(Reconnected(), welcome) == [THERE, JOINED, WAITS]
    assert overheard(welcome, Reconnected()) == [JOINED, WAITS, BACK]


def test_that_an_agent_waits_is_told_once() -> None:
    welcome = m.Welcome(federation="garden", assignment=None)
    assert overheard(welcome, welcome, welcome) == [JOINED, WAITS, JOINED, JOINED]


def lacking(drive: Drive) -> list[str | None]:
    watch = EnrolmentWatch()
    return [told for told in map(watch.watch, drive.events) if told is not None]


def test_a_coordinator_tells_how_many_devices_it_waits_for() -> None:
    drive = Drive(settings(min_devices=3))
    drive.join("a", "b")
    assert lacking(drive) == ["waiting for 2 more devices", "waiting for 1 more device"]
    drive.give(i.ReportHardware(device=DeviceId("b"), profile=profile(2e9)))  # b says anew what it has
    drive.lose("b")
    drive.enrol("b")
    assert lacking(drive)[2:] == ["waiting for 2 more devices", "waiting for 1 more device"]
    drive.join("c")
    drive.give(i.LoseDevice(device=DeviceId("c"), reason="gone"))
    assert len(lacking(drive)) == 4  # enrolment has ended


def test_many_lacking_devices_are_told_by_tens() -> None:
    drive = Drive(settings(min_devices=32))
    drive.join(*(f"d{n}" for n in range(24)))
    assert lacking(drive) == [f"waiting for {count} more devices" for count in (30, 20, 10, 9, 8)]


def test_a_window_alone_waits_for_no_number_of_devices() -> None:
    drive = Drive(settings(min_devices=None))
    drive.join("a", "b")
    assert lacking(drive) == []
