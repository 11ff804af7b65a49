"""Rounds wait for willing devices: the selector is asked again when the group's devices change, and not before."""

from collections.abc import Callable

import pytest

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.events import Refusal
from tierwise.core.federation import Federation
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.state import Phase

from .drive import DEADLINE_S, GRACE_S, Drive, kinds, learning

WHY = "2 of 4 devices fulfil the conditions"


def postponed(*groups: str) -> Drive:
    """Return a federation whose weakest group waits for willing devices."""
    drive = learning(*groups)
    assert postpone(drive) == [e.RoundPostponed(group=GroupId("g1"), reason=WHY)]
    return drive


def postpone(drive: Drive, group: str = "g1") -> list[e.Event]:
    return drive.give(i.SelectionPostponed(order=drive.order(c.SelectParticipants, group).key, reason=WHY))


def replayed(drive: Drive) -> Federation:
    machine = Federation()
    for record in drive.records:
        machine.apply(record)
    return machine


def test_a_postponed_round_waits_and_fails_nothing() -> None:
    drive = postponed("abcd")
    assert drive.phase() is Phase.SELECTING
    assert drive.group().waits_because == WHY
    assert drive.outstanding(c.Order) == []
    assert drive.machine.due_at is None
    assert drive.wait(100 * DEADLINE_S) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda drive: drive.report("a", 2e9),
        lambda drive: drive.lose("a"),
        lambda drive: drive.remove("a"),
        lambda drive: drive.join("late") + drive.answer(c.PlaceDevices),
    ],
    ids=["another profile", "a device lost", "a device removed", "a late joiner"],
)
def test_the_selector_is_asked_again_when_the_groups_devices_change(change: Callable[[Drive], object]) -> None:
    drive = postponed("abcd")
    before = {command.key for command in drive.machine.outstanding()}
    change(drive)
    assert drive.group().waits_because is None
    again = drive.order(c.SelectParticipants, "g1")
    assert again.key not in before
    assert set(again.candidates) == {device for device in drive.group().members if drive.device(device).available}


def test_a_device_that_comes_back_brings_the_round_on() -> None:
    drive = learning("abcd")
    drive.lose("d")
    postpone(drive)
    drive.enrol("d")
    assert set(drive.order(c.SelectParticipants).candidates) == set("abcd")
    drive.select()
    assert drive.phase() is Phase.COLLECTING
    assert drive.group().postponed is None


def test_the_same_profile_again_is_no_change() -> None:
    drive = postponed("abcd")
    assert drive.report("a") == []
    assert drive.outstanding(c.SelectParticipants) == []


def test_other_groups_go_on() -> None:
    drive = postponed("abc", "def")
    drive.run_round("g2", stop="enough")
    assert drive.phase("g2") is Phase.COLLECTING
    assert drive.phase("g1") is Phase.SELECTING


def test_a_postponement_that_comes_after_a_change_is_stale() -> None:
    drive = learning("abcd")
    order = drive.order(c.SelectParticipants)
    drive.report("a", 2e9)
    assert drive.refusal(i.SelectionPostponed(order=order.key, reason=WHY)).refusal is Refusal.STALE
    assert drive.order(c.SelectParticipants).key != order.key


def test_a_later_round_is_not_postponed_by_an_earlier_one() -> None:
    drive = postponed("abcd")
    drive.report("a", 2e9)
    drive.run_round()
    assert drive.group().waits_because is None
    assert drive.order(c.SelectParticipants).key.startswith("select/g1/2/")


def test_a_postponed_group_that_falls_short_is_merged_as_any_other() -> None:
    drive = postponed("abc", "def")
    assert kinds(drive.lose("a")) == [e.DeviceLost, e.GroupShort]
    merged = drive.wait(GRACE_S)
    assert e.GroupMerged in kinds(merged)
    assert drive.group("g1").members == set(map(DeviceId, "abcdef"))
    assert drive.group("g1").waits_because is None


def test_a_restarted_coordinator_waits_too() -> None:
    drive = postponed("abcd")
    machine = replayed(drive)
    assert machine.state == drive.machine.state
    assert list(machine.outstanding()) == list(drive.machine.outstanding())
