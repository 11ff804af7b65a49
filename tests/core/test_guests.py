"""Guests: devices of stronger groups in the rounds of weaker ones."""

import msgspec
import pytest

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.federation import Federation
from tierwise.core.guests import guests_of, served_groups
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.metrics import Metric
from tierwise.core.state import Phase

from .drive import DEADLINE_S, HITS, Drive, answer, learning, profile, settings, tier

G1 = GroupId("g1")
MISSES = {name: Metric(sum=0.0, count=10) for name in HITS}
NO_HITS = {name: Metric(sum=0.0, count=0) for name in HITS}
SLOW = 2.5e3
"""FLOP/s with which a round of the tests' tier takes half the deadline and a little."""


def downward(*groups: str) -> Drive:
    return learning(*(groups or ("abc", "xyz")), downward=True)


def invited(drive: Drive, group: str = "g1") -> str:
    return "".join(sorted(drive.order(c.SelectParticipants, group).guests))


def opened(drive: Drive, group: str = "g1") -> e.RoundOpened:
    drive.select(group)
    return drive.cohort(group).opened


# -- who is one


def test_devices_of_a_stronger_group_may_be_guests_of_a_weaker_one_and_not_the_other_way_round():
    drive = downward("abc", "mno", "xyz")
    assert invited(drive, "g1") == "mnoxyz"
    assert invited(drive, "g2") == "xyz"
    assert invited(drive, "g3") == ""
    assert served_groups(drive.machine.state)[DeviceId("x")] == ("g1", "g2")
    assert "".join(drive.order(c.SelectParticipants, "g1").candidates) == "abc"


def test_without_the_option_there_are_none():
    drive = learning("abc", "xyz")
    assert invited(drive) == ""
    assert not drive.device("x").visits


def test_a_device_that_cannot_visit_is_none_until_a_newer_program_says_that_it_can():
    drive = Drive(settings(min_devices=6, downward=True))
    drive.visits = False
    drive.join(*"abcxyz")
    drive.form(tuple("abc"), tuple("xyz"))
    for order in drive.outstanding(c.ChooseTier):
        drive.give(answer(order))
    assert invited(drive) == ""
    drive.visits = True
    assert drive.enrol("y") == [e.DeviceReturned(device=DeviceId("y"), visits=True)]
    assert drive.enrol("y") == []
    assert invited(drive) == "y"


@pytest.mark.parametrize("gone", ["lose", "remove"])
def test_who_cannot_be_reached_is_none(gone):
    drive = downward("abc", "wxyz")
    getattr(drive, gone)("x")
    assert invited(drive) == "wyz"


def test_who_has_no_time_left_beside_its_own_round_is_none():
    drive = downward()
    limits = drive.machine.state.opened.rounds.limits
    assert 2 * limits.predict(tier().cost, profile()).round_s < DEADLINE_S
    assert DEADLINE_S / 2 < limits.predict(tier().cost, profile(SLOW)).round_s < DEADLINE_S
    drive.report("x", SLOW)
    assert invited(drive) == "yz"


def test_time_is_given_to_the_weakest_groups_first():
    drive = downward("abc", "mno", "xyz")
    drive.report("x", SLOW * 1.5)  # its own round and another one
    assert served_groups(drive.machine.state)[DeviceId("x")] == ("g1",)


def test_who_has_done_with_its_own_group_has_its_time_for_others():
    drive = downward("abc", "xyz")
    drive.report("x", SLOW)
    drive.run_round("g2", stop="enough")
    drive.evaluate("x", "y", "z", cohort="g2.r2")
    assert drive.phase("g2") is Phase.FINISHED
    assert invited(drive) == "xyz"


def test_a_group_that_has_finished_has_no_guests_any_more():
    drive = downward()
    drive.run_round("g1", stop="enough")
    assert guests_of(drive.machine.state, G1) == []
    assert drive.cohort("g1").opened.participants == ("a", "b", "c"), "only members evaluate"


# -- how a round goes with them


def test_they_take_part_beside_the_members_that_the_selector_chose():
    drive = downward("abcd", "xyz")
    drive.select("g1", "a", "b", "c", "y")
    round_of = drive.cohort("g1").opened
    assert (round_of.participants, round_of.guests) == (("a", "b", "c", "y"), ("y",))
    drive.update("a", "b", "c")
    assert drive.phase() is Phase.COLLECTING
    drive.update("y")
    assert drive.phase() is Phase.REDUCING


def test_guests_alone_are_no_round():
    drive = downward("abcd", "xyz")
    happened = drive.select("g1", "a", "b", "x", "y")
    assert "2 of 4 candidates, at least 3" in happened[0].reason


def test_their_updates_count_in_the_sum_and_their_figures_do_not():
    drive = downward()
    opened(drive)
    drive.update("a", "b", "c", samples=10)
    for name in "xyz":
        drive.give(drive.submission(name, samples=30, metrics=MISSES))
    order = drive.order(c.ReduceCohort, "g1")
    assert [one.device for one in order.contributions] == list("abcxyz")
    (closed,) = drive.reduce("g1")
    assert (closed.devices, closed.samples) == (6, 120)
    assert closed.metrics == {name: Metric(sum=3 * hit.sum, count=30) for name, hit in HITS.items()}


def test_with_fewer_than_three_members_there_are_no_figures_of_single_ones():
    drive = downward()
    opened(drive)
    drive.update("a", "b", "x", "y")
    drive.wait(DEADLINE_S)
    (closed,) = drive.reduce("g1")
    assert (closed.devices, closed.metrics) == (4, NO_HITS)
    drive.rule("g1")
    assert drive.group().history[-1].metrics == NO_HITS


def test_one_that_declines_or_is_lost_or_quarantined_or_removed_is_not_waited_for():
    drive = downward("abc", "uvwxyz")
    opened(drive)
    drive.update("a", "b", "c", "u")
    drive.give(i.DeclineTask(device=DeviceId("v"), cohort=drive.cohort().opened.cohort, reason="no time"))
    drive.lose("w")
    for _ in range(3):
        drive.give(fault("x"))
    drive.remove("y")
    assert drive.cohort().waiting == {"z"}
    drive.lose("z")
    assert drive.phase() is Phase.REDUCING


def test_a_removed_guests_update_does_not_count():
    drive = downward()
    opened(drive)
    drive.update("a", "b", "c", "x", "y")
    drive.remove("x")
    drive.update("z")
    assert [one.device for one in drive.order(c.ReduceCohort, "g1").contributions] == list("abcyz")


def test_one_that_lets_a_round_wait_until_its_deadline_is_none_until_it_is_back():
    drive = downward()
    opened(drive)
    drive.update("a", "b", "c", "x", "y")
    drive.wait(DEADLINE_S)
    drive.reduce("g1")
    drive.rule("g1")
    assert invited(drive) == "xy"
    drive.lose("z")
    drive.enrol("z")
    assert invited(drive) == "xyz"


def test_so_is_one_that_lets_it_be_abandoned():
    drive = downward()
    opened(drive)
    drive.update("a", "x")
    happened = drive.wait(DEADLINE_S)
    assert isinstance(happened[0], e.RoundAbandoned)
    assert invited(drive) == "x"


def test_answers_to_two_groups_each_get_their_receipts_again():
    drive = downward()
    opened(drive, "g1")
    opened(drive, "g2")
    drive.update("x", cohort="g2.r1")
    drive.update("x", cohort="g1.r1")
    for cohort in ("g1.r1", "g2.r1"):
        assert drive.refusal(drive.submission("x", cohort=cohort)).refusal is e.Refusal.DUPLICATE


def test_groups_do_not_count_their_guests_as_devices():
    drive = downward("abc", "xyz")
    drive.lose("c")
    assert [order.group for order in drive.outstanding(c.SelectParticipants)] == ["g2"]
    assert any(isinstance(event, e.GroupShort) and event.reachable == 2 for event in drive.events)


def test_a_guest_that_moves_to_the_group_meanwhile_still_delivers():
    drive = downward("abc", "xyz")
    opened(drive, "g1")
    drive.lose("y", "z")
    drive.wait(30.0)
    assert any(isinstance(event, e.GroupMerged) and event.source == "g2" for event in drive.events)
    drive.update("a", "b", "c", "x")
    assert drive.phase() is Phase.REDUCING


# -- what is asked, and told


def test_other_guests_are_another_question():
    drive = downward()
    before = drive.order(c.SelectParticipants, "g1")
    drive.lose("x")
    after = drive.order(c.SelectParticipants, "g1")
    assert before.key != after.key
    assert drive.refusal(i.ParticipantsSelected(order=before.key, devices=tuple("abcx"))).refusal is e.Refusal.STALE


def test_groups_are_announced_again_when_somebody_becomes_a_guest_or_is_none_any_more():
    drive = downward()
    before = {one.group: one.key for one in drive.outstanding(c.AnnounceGroup)}
    drive.report("x", SLOW)
    assert before["g2"] not in {one.key for one in drive.outstanding(c.AnnounceGroup)}


def test_replay_gives_the_same_guests():
    drive = downward("abc", "mno", "xyz")
    opened(drive, "g1")
    drive.lose("m")
    replayed = Federation()
    for record in drive.records:
        replayed.apply(e.decode_record(e.encode_record(record)))
    assert served_groups(replayed.state) == served_groups(drive.machine.state)
    assert list(replayed.outstanding()) == list(drive.machine.outstanding())


def test_a_log_from_before_there_were_guests_is_read():
    drive = learning("abc", "xyz")
    opened(drive)
    record = msgspec.msgpack.decode(e.encode_record(drive.records[-1]))
    del record["event"]["guests"]
    assert e.record_of(record) == drive.records[-1]


def fault(device: str) -> i.ReportFault:
    return i.ReportFault(device=DeviceId(device), cohort=None, refusal=e.Refusal.MALFORMED, reason="noise")
