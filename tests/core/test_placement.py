"""Groups are formed and get tiers; who comes later gets a place."""

import msgspec
import pytest

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.events import Refusal
from tierwise.core.grouping import Grouping
from tierwise.core.hardware import HardwareEnvelope
from tierwise.core.ids import DeviceId, GroupId
from tierwise.core.state import Phase, Stage

from .drive import Drive, answer, blob, kinds, learning, profile, settings, tier


def enrolled(devices: str) -> Drive:
    drive = Drive(settings(min_devices=len(devices)))
    drive.join(*devices)
    return drive


def placements(drive: Drive, placed: dict[str, str], unplaced: dict[str, str] | None = None) -> i.PlacementsProposed:
    return i.PlacementsProposed(
        order=drive.order(c.PlaceDevices).key,
        placed={DeviceId(device): GroupId(group) for device, group in placed.items()},
        unplaced={DeviceId(device): reason for device, reason in (unplaced or {}).items()},
    )


# -- forming groups


def test_groups_are_named_from_the_weakest_on_and_their_envelope_is_measured() -> None:
    drive = Drive(settings(min_devices=7))
    for device, flops in zip("abcdefg", (4e9, 1e9, 5e9, 2e9, 6e9, 3e9, 9e9), strict=True):
        drive.enrol(device)
        drive.report(device, flops)
    (formed,) = drive.form(("f", "b", "d"), ("e", "a", "c"), unplaced={"g": "too strong"})
    assert isinstance(formed, e.GroupsFormed)
    assert [group.group for group in formed.groups] == ["g1", "g2"]
    assert [group.devices for group in formed.groups] == [("b", "d", "f"), ("a", "c", "e")]
    assert formed.groups[0].envelope == HardwareEnvelope.of([profile(1e9), profile(2e9), profile(3e9)])
    assert drive.device("b").group == "g1"
    assert drive.device("g").group is None
    assert drive.device("g").unplaced == "too strong"


@pytest.mark.parametrize(
    ("grouping", "complaint"),
    [
        (Grouping(groups=()), "forgotten: ['a', 'b', 'c', 'd']"),
        (Grouping(groups=(("a", "b", "c"),)), "forgotten: ['d']"),
        (Grouping(groups=(("a", "b", "c", "d", "x"),)), "unknown: ['x']"),
        (Grouping(groups=(("a", "b", "c"), ("a", "b", "d"))), "devices answered twice: ['a', 'b']"),
        (Grouping(groups=(("a", "b", "c", "d"),), unplaced={"a": "why"}), "devices answered twice: ['a']"),
        (Grouping(groups=(("a", "b"), ("c", "d"))), "group 0 has 2 devices ['a', 'b'], at least 3 are needed"),
        (Grouping(groups=(), unplaced=dict.fromkeys("abcd", "weak")), "it placed none of 4 devices: a: weak; b: weak"),
    ],
)
def test_a_grouping_that_cannot_be_used_fails_the_federation(grouping: Grouping, complaint: str) -> None:
    drive = enrolled("abcd")
    (failed,) = drive.give(i.GroupsProposed(order=drive.order(c.FormGroups).key, grouping=grouping))
    assert isinstance(failed, e.FederationFailed)
    assert "grouping policy" in failed.reason
    assert complaint in failed.reason


def test_a_grouping_policy_that_raises_fails_the_federation() -> None:
    drive = enrolled("abc")
    (failed,) = drive.fail(drive.order(c.FormGroups))
    assert isinstance(failed, e.FederationFailed)
    assert failed.reason == "plugin 'p' 1.0 failed: ZeroDivisionError"
    assert drive.machine.state.stage is Stage.FAILED


def test_a_device_removed_during_the_grouping_is_in_no_group() -> None:
    drive = enrolled("abcd")
    drive.remove("a")
    drive.form(("a", "b", "c", "d"))
    assert drive.machine.members(GroupId("g1")) == ["b", "c", "d"]


def test_a_device_removed_during_the_grouping_needs_no_reason_for_having_no_place() -> None:
    drive = enrolled("abcd")
    drive.remove("d")
    drive.form(("a", "b", "c"), unplaced={"d": "too weak"})
    assert "d" not in drive.machine.state.devices


def test_a_device_that_the_grouping_left_out_is_placed_with_other_hardware() -> None:
    drive = enrolled("abcd")
    drive.form(("a", "b", "c"), unplaced={"d": "too weak"})
    drive.answer(c.ChooseTier)
    assert drive.outstanding(c.PlaceDevices) == []
    drive.report("d", 8e9)
    assert drive.order(c.PlaceDevices).newcomers == ("d",)


def test_a_group_of_which_all_were_removed_during_the_grouping_is_no_trouble() -> None:
    drive = enrolled("abcdef")
    drive.remove("a", "b", "c")
    drive.form(("a", "b", "c"), ("d", "e", "f"))
    for order in drive.outstanding(c.ChooseTier):
        drive.give(answer(order))
    assert isinstance(drive.wait(30.0)[0], e.GroupMerged)
    assert drive.machine.members(GroupId("g1")) == ["d", "e", "f"]


# -- tiers


def test_a_group_gets_its_tier_and_its_devices_are_told() -> None:
    drive = enrolled("abc")
    drive.form(("a", "b", "c"))
    order = drive.order(c.ChooseTier)
    assert order.envelope.devices == 3
    drive.give(i.TierProposed(order=order.key, tier=tier("tiny"), model=blob("first")))
    assert drive.group().tier == tier("tiny")
    assert drive.group().model == blob("first")
    assert drive.group().version == 0
    assert drive.order(c.AnnounceGroup).tier == tier("tiny")
    assert drive.machine.live_blobs() == {blob("first")}


def test_each_group_starts_from_a_seed_of_its_own() -> None:
    drive = enrolled("abcdef")
    drive.form(("a", "b", "c"), ("d", "e", "f"))
    assert len({order.seed for order in drive.outstanding(c.ChooseTier)}) == 2


def test_who_sizes_a_tier_is_given_the_profiles_and_the_log_is_not() -> None:
    drive = enrolled("abcd")
    (formed,) = drive.form(("a", "b", "c"), unplaced={"d": "too weak"})
    assert isinstance(formed, e.GroupsFormed)
    given = drive.order(c.ChooseTier).envelope
    assert given.profiles == (profile().completed(),) * 3
    assert formed.groups[0].envelope == given.detailed(())
    assert b"profiles" not in msgspec.json.encode(formed)


def test_the_order_for_a_tier_stays_the_same_while_devices_come_and_go() -> None:
    drive = enrolled("abcd")
    drive.form(("a", "b", "c", "d"))
    order = drive.order(c.ChooseTier)
    drive.lose("a")
    drive.remove("b")
    assert drive.order(c.ChooseTier) == order


def test_a_tier_provider_that_raises_ends_only_its_group() -> None:
    drive = enrolled("abcdef")
    drive.form(("a", "b", "c"), ("d", "e", "f"))
    first, second = drive.outstanding(c.ChooseTier)
    (finished,) = drive.fail(first)
    assert isinstance(finished, e.GroupFinished)
    assert finished.failed
    assert finished.model is None
    assert finished.reason == "plugin 'p' 1.0 failed: ZeroDivisionError"
    drive.give(answer(second))
    assert drive.phase("g2") is Phase.SELECTING


def test_when_no_group_gets_a_tier_the_federation_fails_with_their_reasons() -> None:
    drive = enrolled("abc")
    drive.form(("a", "b", "c"))
    _, failed = drive.fail(drive.order(c.ChooseTier))
    assert isinstance(failed, e.FederationFailed)
    assert "g1: plugin 'p' 1.0 failed: ZeroDivisionError" in failed.reason
    assert list(drive.machine.outstanding()) == []


# -- late joiners


def test_a_late_joiner_is_placed_and_takes_part_in_the_next_round() -> None:
    drive = learning("abc", "def")
    drive.select("g1")
    drive.join("x")
    order = drive.order(c.PlaceDevices)
    assert order.newcomers == ("x",)
    assert order.groups == {"g1": ("a", "b", "c"), "g2": ("d", "e", "f")}
    assert set(order.fleet) == set("abcdefx")
    assert drive.give(placements(drive, {"x": "g1"})) == [e.DevicePlaced(device=DeviceId("x"), group=GroupId("g1"))]
    assert drive.cohort().opened.participants == ("a", "b", "c")
    drive.update("a", "b", "c")
    drive.reduce()
    drive.rule()
    assert list(drive.order(c.SelectParticipants, "g1").candidates) == ["a", "b", "c", "x"]
    assert drive.outstanding(c.PlaceDevices) == []


def test_a_late_joiner_without_a_place_gets_another_chance_with_other_hardware() -> None:
    drive = learning("abc")
    drive.join("x")
    assert drive.give(placements(drive, {}, {"x": "too weak"})) == [
        e.DeviceUnplaced(device=DeviceId("x"), reason="too weak")
    ]
    assert drive.device("x").unplaced == "too weak"
    drive.lose("x")
    drive.enrol("x")
    assert drive.outstanding(c.PlaceDevices) == []
    drive.report("x", 8e9)
    assert drive.order(c.PlaceDevices).newcomers == ("x",)


@pytest.mark.parametrize("stage", [Stage.GROUPING, Stage.LEARNING])
def test_who_comes_while_groups_are_formed_waits_for_a_tier(stage: Stage) -> None:
    drive = enrolled("abc")
    if stage is Stage.LEARNING:
        drive.form(("a", "b", "c"))
    drive.join("x")
    if stage is Stage.GROUPING:
        assert "x" not in drive.order(c.FormGroups).fleet
        drive.form(("a", "b", "c"))
    assert drive.outstanding(c.PlaceDevices) == []  # no group has a tier yet
    drive.answer(c.ChooseTier)
    assert drive.order(c.PlaceDevices).newcomers == ("x",)


def test_a_device_that_was_lost_when_groups_were_formed_is_placed_when_it_returns() -> None:
    drive = Drive(settings(min_devices=3))
    drive.join("x")
    drive.lose("x")
    drive.join(*"abc")
    drive.form(("a", "b", "c"))
    drive.answer(c.ChooseTier)
    assert drive.outstanding(c.PlaceDevices) == []
    drive.enrol("x")
    assert drive.order(c.PlaceDevices).newcomers == ("x",)


def test_a_device_lost_while_it_is_being_grouped_keeps_its_group() -> None:
    drive = enrolled("abcd")
    drive.lose("a")
    drive.enrol("a")
    assert not drive.machine.state.newcomers
    drive.lose("a")
    drive.form(("a", "b", "c", "d"))
    drive.answer(c.ChooseTier)
    assert drive.device("a").group == "g1"
    assert list(drive.order(c.SelectParticipants).candidates) == ["b", "c", "d"]


def test_a_late_joiner_that_leaves_again_needs_no_place() -> None:
    drive = learning("abc")
    drive.join("x", "y")
    stale = placements(drive, {"x": "g1", "y": "g1"})
    drive.remove("x")
    assert drive.refusal(stale).refusal is Refusal.STALE
    drive.give(placements(drive, {"y": "g1"}))
    assert drive.machine.members(GroupId("g1")) == ["a", "b", "c", "y"]


def test_a_place_found_for_older_hardware_is_stale() -> None:
    drive = learning("abc")
    drive.join("x")
    stale = placements(drive, {"x": "g1"})
    drive.report("x", 9e9)
    assert drive.refusal(stale).refusal is Refusal.STALE


def test_a_placement_outlives_the_loss_of_a_member() -> None:
    drive = learning("abcd")
    drive.join("x")
    proposed = placements(drive, {"x": "g1"})
    drive.lose("a")
    drive.remove("b")
    assert kinds(drive.give(proposed))[0] is e.DevicePlaced


@pytest.mark.parametrize(
    ("placed", "unplaced"),
    [
        ({}, {}),
        ({"x": "g1"}, {}),
        ({"x": "g1", "y": "g9"}, {}),
        ({"x": "g1", "y": "g1", "z": "g1"}, {}),
        ({"x": "g1", "y": "g1"}, {"y": "both"}),
    ],
    ids=["none", "one forgotten", "unknown group", "unknown device", "placed and unplaced"],
)
def test_placements_that_cannot_be_used_leave_the_late_joiners_without_a_place(
    placed: dict[str, str], unplaced: dict[str, str]
) -> None:
    drive = learning("abc")
    drive.join("x", "y")
    happened = drive.give(placements(drive, placed, unplaced))
    assert kinds(happened) == [e.DeviceUnplaced, e.DeviceUnplaced]
    assert isinstance(happened[0], e.DeviceUnplaced)
    assert "grouping policy's placement cannot be used" in happened[0].reason
    assert drive.machine.members(GroupId("g1")) == ["a", "b", "c"]
    assert drive.outstanding(c.PlaceDevices) == []


def test_a_policy_that_raises_leaves_the_late_joiner_without_a_place() -> None:
    drive = learning("abc")
    drive.join("x")
    (unplaced,) = drive.fail(drive.order(c.PlaceDevices))
    assert unplaced == e.DeviceUnplaced(device=DeviceId("x"), reason="plugin 'p' 1.0 failed: ZeroDivisionError")
    assert drive.phase() is Phase.SELECTING


def test_a_group_that_ends_takes_nobody_in() -> None:
    drive = learning("abc", "def")
    drive.run_round("g1", stop="enough")
    drive.join("x")
    assert list(drive.order(c.PlaceDevices).groups) == ["g2"]
