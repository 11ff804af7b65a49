"""Groups with fewer than three reachable devices: a grace period, then recovery, a merger, or the end."""

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core.events import Refusal
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.state import Phase

from .drive import DEADLINE_S, GRACE_S, Drive, answer, blob, kinds, learning, settings

G1, G2, G3 = GroupId("g1"), GroupId("g2"), GroupId("g3")


def test_a_group_with_fewer_than_three_reachable_devices_is_short_for_a_while() -> None:
    drive = learning("abc", "def")
    drive.now = 10.0
    _, short = drive.lose("d")
    assert short == e.GroupShort(group=G2, reachable=2, grace_until=10.0 + GRACE_S)
    assert drive.machine.due_at == 10.0 + GRACE_S
    assert [order.group for order in drive.outstanding(c.SelectParticipants)] == ["g1"]
    assert kinds(drive.lose("e")) == [e.DeviceLost]  # no shorter, and no longer, for that


def test_a_device_that_returns_in_time_lets_the_group_go_on() -> None:
    drive = learning("abc", "def")
    drive.lose("d", "e")
    drive.wait(GRACE_S - 1)
    assert kinds(drive.enrol("d")) == [e.DeviceReturned]
    assert drive.enrol("e")[-1] == e.GroupRecovered(group=G2)
    assert drive.machine.due_at is None
    assert drive.wait(GRACE_S) == []
    assert drive.order(c.SelectParticipants, "g2").candidates.keys() == set("def")


def test_each_shortage_has_a_grace_of_its_own() -> None:
    drive = learning("abc", "def")
    drive.lose("d")
    drive.wait(GRACE_S - 1)
    drive.enrol("d")
    drive.lose("e")
    assert drive.wait(GRACE_S - 1) == []
    assert kinds(drive.wait(1)) == [e.GroupMerged, e.GroupFinished]


def test_a_short_groups_devices_go_to_the_next_weaker_group() -> None:
    drive = learning("abc", "def", "ghi")
    drive.run_round("g3")
    drive.remove("g")
    drive.lose("h")
    announced = drive.order(c.AnnounceGroup, "g2").key
    assert drive.wait(GRACE_S) == [
        e.GroupMerged(source=G3, target=G2, devices=(DeviceId("h"), DeviceId("i"))),
        e.GroupFinished(
            group=G3,
            reason="its devices went to g2, since g3 had 1 reachable devices left",
            version=1,
            model=blob("g3.r1-model"),
            metrics={},
        ),
    ]
    assert drive.machine.members(G2) == ["d", "e", "f", "h", "i"]
    assert drive.machine.members(G3) == []
    assert drive.device("i").group == "g2"
    assert drive.order(c.AnnounceGroup, "g2").key != announced  # so that they are told
    assert list(drive.order(c.SelectParticipants, "g2").candidates) == ["d", "e", "f", "i"]
    assert drive.order(c.PublishTarget).model == blob("g3.r1-model")


def test_the_open_round_of_a_dissolved_group_is_abandoned() -> None:
    drive = learning("abc", "defg")
    drive.select("g2")
    drive.update("d", "e", "f", cohort="g2.r1")
    drive.lose("d", "e")
    happened = drive.wait(GRACE_S)
    assert kinds(happened) == [e.RoundAbandoned, e.GroupMerged, e.GroupFinished]
    rejected = drive.refusal(drive.submission("g", cohort="g2.r1"))
    assert rejected.refusal is Refusal.LATE
    assert drive.group("g2").model == blob("g2-0")


def test_the_open_round_of_the_group_that_takes_them_goes_on_without_them() -> None:
    drive = learning("abc", "def")
    drive.select("g1")
    drive.update("a", "b")
    drive.lose("d")
    drive.wait(GRACE_S)
    assert drive.refusal(drive.submission("e")).refusal is Refusal.NOT_SELECTED
    *_, closed = drive.update("c")
    assert isinstance(closed, e.CohortClosed)
    assert closed.survivors == ("a", "b", "c")


def test_into_the_weakest_group_the_next_stronger_devices_come_down() -> None:
    drive = learning("abc", "def", "ghi")
    drive.select("g2")
    drive.lose("a", "b")
    happened = drive.wait(GRACE_S)
    assert kinds(happened) == [e.RoundAbandoned, e.GroupMerged, e.GroupFinished, e.GroupRecovered]
    assert happened[1] == e.GroupMerged(source=G2, target=G1, devices=(DeviceId("d"), DeviceId("e"), DeviceId("f")))
    assert happened[3] == e.GroupRecovered(group=G1)
    assert list(drive.order(c.SelectParticipants, "g1").candidates) == ["c", "d", "e", "f"]
    assert drive.phase("g3") is Phase.SELECTING


def test_a_short_group_goes_past_a_finished_one() -> None:
    drive = learning("abc", "def", "ghi")
    drive.run_round("g2", stop="enough")
    drive.lose("g")
    merged = drive.wait(GRACE_S)[0]
    assert isinstance(merged, e.GroupMerged)
    assert (merged.source, merged.target) == ("g3", "g1")


def test_the_only_group_that_learns_ends_with_its_latest_model() -> None:
    drive = learning("abc")
    drive.run_round()
    drive.lose("a")
    finished, ended = drive.wait(GRACE_S)
    assert isinstance(finished, e.GroupFinished)
    assert finished.failed
    assert finished.model == blob("g1.r1-model")
    assert finished.reason == "2 reachable devices are left, at least 3 are needed, and no other group learns"
    assert ended == e.FederationFinished()


def test_groups_that_are_all_short_merge_one_into_the_other_until_there_are_enough() -> None:
    drive = learning("abc", "def", "ghi")
    drive.lose("a", "b", "d", "e", "g", "h")
    happened = drive.wait(GRACE_S)
    merged = [event for event in happened if isinstance(event, e.GroupMerged)]
    assert [(event.source, event.target) for event in merged] == [("g2", "g1"), ("g3", "g1")]
    assert happened[-1] == e.GroupRecovered(group=G1)
    assert drive.machine.members(G1) == list("abcdefghi")
    assert list(drive.order(c.SelectParticipants, "g1").candidates) == ["c", "f", "i"]


def test_when_all_devices_are_gone_the_groups_merge_and_the_last_one_ends() -> None:
    drive = learning("abc", "def")
    drive.lose(*"abcdef")
    happened = drive.wait(GRACE_S)
    assert kinds(happened) == [e.GroupMerged, e.GroupFinished, e.GroupFinished, e.FederationFinished]
    last = happened[2]
    assert isinstance(last, e.GroupFinished)
    assert last.group == "g1"
    assert last.reason.startswith("0 reachable devices")


def test_a_late_joiner_can_mend_a_shortage() -> None:
    drive = learning("abc", "def")
    drive.remove("a")
    drive.join("x")
    assert kinds(drive.answer(c.PlaceDevices)) == [e.DevicePlaced, e.GroupRecovered]


# -- in the middle of a round


def test_devices_lost_in_a_round_make_the_group_short_while_it_collects() -> None:
    drive = learning("abc", "def")
    drive.select("g2")
    assert kinds(drive.lose("d")) == [e.DeviceLost, e.GroupShort]
    assert drive.machine.due_at == GRACE_S
    assert drive.phase("g2") is Phase.COLLECTING


def test_a_short_group_that_reduces_finishes_its_round_before_it_is_merged() -> None:
    drive = learning("abc", "def")
    drive.select("g2")
    drive.lose("d")
    drive.update("d", "e", "f", cohort="g2.r1")  # its last word was on the way
    assert drive.phase("g2") is Phase.REDUCING
    assert drive.wait(2 * GRACE_S) == []
    assert drive.machine.due_at is None
    assert kinds(drive.reduce("g2")) == [e.RoundClosed]
    happened = drive.rule("g2")
    assert kinds(happened) == [e.StopChecked, e.GroupMerged, e.GroupFinished]
    assert drive.group("g2").version == 1


def test_a_group_that_recovers_while_it_reduces_is_not_merged() -> None:
    drive = learning("abc", "def")
    drive.select("g2")
    drive.lose("d")
    drive.update("d", "e", "f", cohort="g2.r1")
    drive.wait(2 * GRACE_S)
    drive.enrol("d")
    drive.reduce("g2")
    assert drive.rule("g2")[-1] == e.GroupRecovered(group=G2)


def test_the_weakest_group_too_is_not_merged_while_it_reduces() -> None:
    drive = learning("abc", "def")
    drive.select("g1")
    drive.lose("a")
    drive.update("a", "b", "c")
    assert drive.wait(2 * GRACE_S) == []
    assert drive.machine.due_at is None
    drive.reduce("g1")
    assert kinds(drive.rule("g1"))[1] is e.GroupMerged


def test_a_group_that_recovers_and_stops_is_evaluated_whatever_its_grace() -> None:
    drive = learning("abc", "def")
    drive.select("g1")
    drive.lose("a")
    drive.update("a", "b", "c")
    drive.enrol("a")
    drive.reduce("g1")
    drive.rule("g1", reason="enough")
    assert drive.machine.due_at == drive.cohort("g1").opened.deadline_at
    assert drive.wait(2 * GRACE_S)[0] == drive.events[-1]  # the evaluation's end, and no merger


def test_a_shortage_does_not_keep_a_stopped_group_from_its_target() -> None:
    drive = learning("abcd", "efg")
    drive.select("g1")
    drive.lose("a", "b")
    drive.update(*"abcd")
    drive.reduce("g1")
    happened = drive.rule("g1", reason="enough")
    assert kinds(happened) == [e.StopChecked, e.GroupFinished]
    assert drive.machine.due_at is None


def test_the_weakest_group_waits_while_the_next_stronger_commits_its_round() -> None:
    drive = learning("abc", "def")
    drive.select("g2")
    drive.update("d", "e", "f", cohort="g2.r1")
    drive.lose("a")
    assert drive.wait(GRACE_S) == []
    assert drive.machine.due_at is None  # time alone brings nothing
    assert drive.reduce("g2") == [drive.events[-1]]
    happened = drive.rule("g2")
    assert kinds(happened) == [e.StopChecked, e.GroupMerged, e.GroupFinished, e.GroupRecovered]
    assert happened[2].model == blob("g2.r1-model")


def test_the_weakest_group_ends_when_the_next_stronger_stops_meanwhile() -> None:
    drive = learning("abc", "def")
    drive.select("g2")
    drive.update("d", "e", "f", cohort="g2.r1")
    drive.lose("a")
    drive.wait(GRACE_S)
    drive.reduce("g2")
    happened = drive.rule("g2", reason="enough")
    finished = [event for event in happened if isinstance(event, e.GroupFinished)]
    assert [event.group for event in finished] == ["g1"]
    assert drive.phase("g2") is Phase.COLLECTING  # its closing evaluation


def test_a_short_group_waits_for_another_groups_tier() -> None:
    drive = Drive(settings(min_devices=6))
    drive.join(*"abcdef")
    drive.form(tuple("abc"), tuple("def"))
    first, second = drive.outstanding(c.ChooseTier)
    drive.give(answer(second))
    drive.lose("d")
    assert drive.wait(GRACE_S) == []
    assert drive.machine.due_at is None
    assert kinds(drive.give(answer(first))) == [e.TierAssigned, e.GroupMerged, e.GroupFinished]


def test_a_group_that_falls_short_before_it_has_a_tier_gets_its_grace_afterwards() -> None:
    drive = Drive(settings(min_devices=3))
    drive.join(*"abc")
    drive.form(tuple("abc"))
    assert kinds(drive.lose("a")) == [e.DeviceLost]
    drive.now = 50.0
    assert drive.answer(c.ChooseTier)[-1] == e.GroupShort(group=G1, reachable=2, grace_until=50.0 + GRACE_S)


def test_a_short_groups_round_still_ends_at_its_deadline() -> None:
    drive = learning("abcd", "efg")
    drive.select("g1")
    drive.wait(DEADLINE_S - 10)
    drive.lose("a", "b")
    drive.update("a", "b", "c")
    assert kinds(drive.wait(10)) == [e.CohortClosed]


def test_devices_lost_with_their_group_find_themselves_in_the_weaker_one_when_they_return() -> None:
    drive = learning("abc", "def")
    drive.lose("d", "e", "f")
    drive.wait(GRACE_S)
    drive.enrol("d")
    assert "d" in drive.order(c.SelectParticipants, "g1").candidates
