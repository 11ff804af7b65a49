"""Devices join, report, are lost, come back and are removed; enrolment ends."""

import pytest

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.events import Refusal
from tierwise.core.ids import DeviceId
from tierwise.core.state import Stage

from .drive import TASK, WINDOW_S, Drive, kinds, learning, profile, settings


def enrolment(device: str, schema_hash: str = TASK.schema_hash) -> i.EnrolDevice:
    return i.EnrolDevice(device=DeviceId(device), schema_hash=schema_hash)


def test_a_device_joins_and_reports_its_hardware() -> None:
    drive = Drive(settings())
    assert drive.enrol("a") == [e.DeviceEnrolled(device=DeviceId("a"))]
    assert drive.report("a", 2e9) == [e.HardwareReported(device=DeviceId("a"), profile=profile(2e9))]


def test_repetitions_change_nothing() -> None:
    drive = Drive(settings())
    drive.join("a")
    assert drive.enrol("a") == []
    assert drive.report("a") == []
    drive.lose("a")
    assert drive.lose("a") == []


def test_a_profile_can_be_told_anew() -> None:
    drive = Drive(settings())
    drive.join("a")
    assert kinds(drive.report("a", 5e9)) == [e.HardwareReported]
    assert drive.device("a").profile == profile(5e9)


def test_a_device_with_data_of_another_task_is_refused_with_both_schemas() -> None:
    drive = Drive(settings())
    rejected = drive.refusal(enrolment("a", "0badf00d" * 8))
    assert rejected.refusal is Refusal.WRONG_TASK
    for part in ("'a'", "0badf00d0bad", TASK.schema_hash[:12], "'digits'", "64 features", "give its agent data"):
        assert part in rejected.reason


def test_a_device_that_is_in_is_refused_when_it_comes_back_with_another_task() -> None:
    drive = Drive(settings())
    drive.join("a")
    drive.lose("a")
    assert drive.refusal(enrolment("a", "other")).refusal is Refusal.WRONG_TASK
    assert drive.device("a").lost


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "-a", "a" * 65, "a\n", "ä"])
def test_a_name_that_cannot_be_part_of_a_topic_is_refused(name: str) -> None:
    rejected = Drive(settings()).refusal(enrolment(name))
    assert rejected.refusal is Refusal.MALFORMED
    assert "A-Z a-z 0-9 . _ -" in rejected.reason


@pytest.mark.parametrize(
    "given",
    [
        i.ReportHardware(device=DeviceId("x"), profile=profile()),
        i.LoseDevice(device=DeviceId("x"), reason="silent"),
        i.RemoveDevice(device=DeviceId("x"), reason="sold"),
    ],
    ids=lambda given: type(given).__name__,
)
def test_who_has_not_enrolled_is_unknown(given: i.Input) -> None:
    rejected = Drive(settings()).refusal(given)
    assert rejected.refusal is Refusal.UNKNOWN_DEVICE
    assert "'x'" in rejected.reason


def test_a_lost_device_comes_back_by_enrolling() -> None:
    drive = Drive(settings())
    drive.join("a")
    assert drive.lose("a") == [e.DeviceLost(device=DeviceId("a"), reason="silent")]
    assert drive.enrol("a") == [e.DeviceReturned(device=DeviceId("a"))]
    assert not drive.device("a").lost


def test_a_removed_device_stays_out_and_is_told_why() -> None:
    drive = Drive(settings())
    drive.join("a")
    assert drive.remove("a") == [e.DeviceRemoved(device=DeviceId("a"), reason="sold")]
    for given in (enrolment("a"), i.ReportHardware(device=DeviceId("a"), profile=profile())):
        rejected = drive.refusal(given)
        assert rejected.refusal is Refusal.REMOVED
        assert "sold" in rejected.reason


# -- the end of enrolment


def test_enrolment_ends_when_enough_devices_have_reported() -> None:
    drive = Drive(settings(min_devices=3))
    drive.join("b", "a")
    assert kinds(drive.enrol("c")) == [e.DeviceEnrolled]  # enrolled is not reported
    *_, opened = drive.report("c")
    assert opened == e.GroupingOpened(devices=(DeviceId("a"), DeviceId("b"), DeviceId("c")))
    assert list(drive.order(c.FormGroups).fleet) == ["a", "b", "c"]


def test_a_lost_device_does_not_count_towards_min_devices() -> None:
    drive = Drive(settings(min_devices=3))
    drive.join("a", "b")
    drive.lose("a")
    assert kinds(drive.join("c")) == [e.DeviceEnrolled, e.HardwareReported]
    assert kinds(drive.enrol("a")) == [e.DeviceReturned, e.GroupingOpened]


def test_the_window_ends_enrolment_with_fewer_than_min_devices() -> None:
    drive = Drive(settings(min_devices=10))
    drive.join(*"abcd")
    assert drive.machine.due_at == WINDOW_S
    assert drive.wait(WINDOW_S - 0.001) == []
    assert kinds(drive.wait(0.001)) == [e.GroupingOpened]
    assert drive.machine.due_at is None


def test_the_window_counts_from_the_opening() -> None:
    drive = Drive()
    drive.now = 1000.0
    drive.give(i.OpenFederation(settings=settings()))
    assert drive.machine.due_at == 1000.0 + WINDOW_S


def test_without_a_window_enrolment_waits_for_the_number() -> None:
    drive = Drive(settings(min_devices=4, window_s=None))
    drive.join(*"abc")
    assert drive.machine.due_at is None
    assert drive.wait(1e6) == []
    assert kinds(drive.join("d"))[-1] is e.GroupingOpened


@pytest.mark.parametrize("number", [0, 1, 2])
def test_fewer_than_three_devices_fail_the_federation_and_say_so(number: int) -> None:
    drive = Drive(settings())
    drive.join(*"abc"[:number])
    drive.enrol("silent")  # it never tells its hardware
    (failed,) = drive.wait(WINDOW_S)
    assert isinstance(failed, e.FederationFailed)
    assert failed.too_few_devices == number
    assert f"{number} device" in failed.reason
    assert "at least 3" in failed.reason
    assert drive.machine.state.stage is Stage.FAILED
    assert drive.machine.ended
    assert list(drive.machine.outstanding()) == []
    assert drive.machine.due_at is None


def test_loss_and_return_change_who_can_be_selected() -> None:
    drive = learning("abcd")
    drive.lose("b")
    without = drive.order(c.SelectParticipants)
    assert list(without.candidates) == ["a", "c", "d"]
    drive.enrol("b")
    again = drive.order(c.SelectParticipants)
    assert list(again.candidates) == ["a", "b", "c", "d"]
    assert again.key != without.key


def test_a_member_that_reports_other_hardware_is_another_candidate() -> None:
    drive = learning("abc")
    before = drive.order(c.SelectParticipants)
    drive.report("a", 9e9)
    after = drive.order(c.SelectParticipants)
    assert after.candidates[DeviceId("a")] == profile(9e9)
    assert after.key != before.key
