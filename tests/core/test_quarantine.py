"""Devices that send what cannot be used: what it costs, when they are put into quarantine, and how they come out."""

import msgspec
import pytest

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.events import Refusal
from tierwise.core.ids import CohortId, DeviceId, GroupId
from tierwise.core.settings import UpdateSettings

from .drive import DEADLINE_S, GRACE_S, TASK, Drive, kinds, learning, settings

A = DeviceId("a")


def fault(device: str = "a", cohort: str | None = None, reason: str = "garbage") -> i.ReportFault:
    return i.ReportFault(
        device=DeviceId(device),
        cohort=None if cohort is None else CohortId(cohort),
        refusal=Refusal.MALFORMED,
        reason=reason,
    )


def collecting(devices: str = "abcd") -> Drive:
    drive = learning(devices)
    drive.select()
    return drive


def quarantined(devices: str = "abcd") -> Drive:
    drive = collecting(devices)
    for _ in range(3):
        drive.give(fault())
    return drive


def test_a_fault_ends_the_wait_for_its_sender() -> None:
    drive = collecting()
    drive.update("b", "c", "d")
    happened = drive.give(fault("a", "g1.r1"))
    assert kinds(happened) == [e.DeviceFaulted, e.CohortClosed]
    assert happened[0] == e.DeviceFaulted(
        device=A, cohort=CohortId("g1.r1"), refusal=Refusal.MALFORMED, reason="garbage"
    )


@pytest.mark.parametrize("cohort", ["g1.r7", "g9.r1", "nonsense", None])
def test_a_fault_for_nothing_that_is_open_is_counted_all_the_same(cohort) -> None:
    drive = collecting()
    (event,) = drive.give(fault("a", cohort))
    assert isinstance(event, e.DeviceFaulted)
    assert event.cohort is None
    assert A in drive.cohort().waiting


def test_faults_in_a_row_lead_to_quarantine_with_the_reason() -> None:
    drive = collecting()
    assert kinds(drive.give(fault())) == [e.DeviceFaulted]
    assert kinds(drive.give(fault())) == [e.DeviceFaulted]
    *_, event = drive.give(fault(reason="NaN"))
    assert event == e.DeviceQuarantined(
        device=A, reason="3 things in a row that it sent could not be used, the last because NaN"
    )


def test_what_can_be_used_ends_the_row() -> None:
    drive = collecting()
    drive.give(fault())
    drive.give(fault())
    drive.update("a")
    assert kinds(drive.give(fault())) == [e.DeviceFaulted]
    assert drive.device("a").quarantined is None


def test_how_many_is_a_setting() -> None:
    opened = msgspec.structs.replace(settings(), updates=UpdateSettings(quarantine_after=1))
    drive = Drive(opened)
    drive.join("a")
    assert kinds(drive.give(fault())) == [e.DeviceFaulted, e.DeviceQuarantined]


def test_who_is_in_quarantine_is_not_listened_to() -> None:
    drive = quarantined()
    for given in (
        fault(),
        drive.submission("a"),
        i.EnrolDevice(device=A, schema_hash=TASK.schema_hash),
    ):
        rejected = drive.refusal(given)
        assert rejected.refusal is Refusal.QUARANTINED
        assert "garbage" in rejected.reason
        assert "release" in rejected.reason


def test_who_is_in_quarantine_takes_no_part_and_nobody_waits_for_it() -> None:
    drive = collecting()
    drive.update("b", "c", "d")
    for _ in range(3):
        happened = drive.give(fault())
    assert kinds(happened) == [e.DeviceFaulted, e.DeviceQuarantined, e.CohortClosed]
    drive.reduce()
    drive.rule()
    assert set(drive.order(c.SelectParticipants).candidates) == {"b", "c", "d"}


def test_what_was_accepted_before_counts() -> None:
    drive = collecting()
    drive.update("a")
    for _ in range(3):
        drive.give(fault())
    (closed,) = drive.update("b", "c", "d")[-1:]
    assert isinstance(closed, e.CohortClosed)
    assert closed.survivors == ("a", "b", "c", "d")


def test_quarantine_counts_as_a_loss_for_the_group() -> None:
    drive = quarantined("abc")
    assert isinstance(drive.events[-1], e.GroupShort)
    assert drive.give(i.ReleaseDevice(device=A)) == [
        e.DeviceReleased(device=A),
        e.GroupRecovered(group=GroupId("g1")),
    ]


def test_a_group_that_quarantine_leaves_short_ends() -> None:
    drive = quarantined("abc")
    happened = drive.wait(GRACE_S)
    assert e.GroupFinished in kinds(happened)


def test_a_released_device_takes_part_again_with_a_clean_slate() -> None:
    drive = quarantined()
    assert drive.give(i.ReleaseDevice(device=A)) == [e.DeviceReleased(device=A)]
    assert drive.give(i.ReleaseDevice(device=A)) == []
    assert kinds(drive.give(fault())) == [e.DeviceFaulted]
    drive.update("b", "c", "d")
    drive.wait(DEADLINE_S)
    drive.reduce()
    drive.rule()
    assert "a" in drive.order(c.SelectParticipants).candidates


def test_a_newcomer_in_quarantine_gets_no_place_until_it_is_released() -> None:
    drive = learning("abc")
    drive.enrol("z")
    for _ in range(3):
        drive.give(fault("z"))
    assert drive.refusal(i.EnrolDevice(device=DeviceId("z"), schema_hash=TASK.schema_hash))
    drive.report("z")
    assert drive.outstanding(c.PlaceDevices) == []
    drive.give(i.ReleaseDevice(device=DeviceId("z")))
    assert drive.order(c.PlaceDevices).newcomers == ("z",)


def test_who_is_in_quarantine_is_not_waited_for_at_enrolment() -> None:
    drive = Drive(settings(min_devices=3))
    drive.join("a", "b")
    for _ in range(3):
        drive.give(fault())
    assert kinds(drive.join("c")) == [e.DeviceEnrolled, e.HardwareReported]
    assert e.GroupingOpened in kinds(drive.join("d"))


def test_a_stranger_cannot_be_put_into_quarantine() -> None:
    drive = collecting()
    assert drive.refusal(fault("stranger")).refusal is Refusal.UNKNOWN_DEVICE


def test_a_reason_of_any_length_is_cut() -> None:
    drive = collecting()
    (event,) = drive.give(fault(reason="x" * 10_000))
    assert isinstance(event, e.DeviceFaulted)
    assert len(event.reason) < 600
    (declined,) = drive.give(i.DeclineTask(device=DeviceId("b"), cohort=CohortId("g1.r1"), reason="y" * 10_000))
    assert isinstance(declined, e.TaskDeclined)
    assert len(declined.reason) < 600


def test_a_weight_above_the_limit_is_refused() -> None:
    opened = msgspec.structs.replace(settings(min_devices=3), updates=UpdateSettings(max_samples=20))
    drive = Drive(opened)
    drive.join("a", "b", "c")
    drive.form(("a", "b", "c"))
    drive.answer(c.ChooseTier)
    drive.select()
    assert kinds(drive.update("a", samples=20)) == [e.UpdateAccepted]
    rejected = drive.refusal(drive.submission("b", samples=21))
    assert rejected.refusal is Refusal.MALFORMED
    assert rejected.reason == "device 'b' gives its update a weight of 21 samples, 1 to 20 are allowed"


@pytest.mark.parametrize("key", ["max_norm", "max_samples", "quarantine_after"])
def test_limits_are_more_than_nothing(key) -> None:
    with pytest.raises(ValueError, match=f"{key} is 0"):
        UpdateSettings(**{key: 0})
