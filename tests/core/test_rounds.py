"""Rounds open, collect, close at their deadline or when all are in, or are abandoned; groups stop and are evaluated."""

import msgspec
import pytest

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.events import Purpose, Refusal
from tierwise.core.hardware import HardwareProfile
from tierwise.core.ids import CohortId, DeviceId, GroupId
from tierwise.core.metrics import Metric
from tierwise.core.state import Phase, Stage

from .drive import DEADLINE_S, HITS, Drive, blob, kinds, learning, settings, tier

# -- opening


def test_a_selection_opens_a_round_on_the_groups_model() -> None:
    drive = learning("abcd")
    drive.now = 5.0
    (opened,) = drive.select("g1", "d", "a", "c")
    assert isinstance(opened, e.RoundOpened)
    assert (opened.group, opened.round, opened.cohort) == ("g1", 1, "g1.r1")
    assert opened.purpose is Purpose.FIT
    assert (opened.version, opened.model) == (0, blob("g1-0"))
    assert opened.participants == ("a", "c", "d")
    assert opened.deadline_at == drive.machine.due_at == 5.0 + DEADLINE_S
    assert drive.order(c.PublishRound) == c.PublishRound(key="publish/g1.r1", opened=opened, tier=tier("tier-g1"))


@pytest.mark.parametrize(
    ("chosen", "complaint"),
    [
        (("a", "b"), "it chose 2 of 4 candidates, at least 3 are needed"),
        (("a", "b", "c", "c"), "it chose a device twice"),
        (("a", "b", "c", "x"), "it chose ['x'], who are no candidates"),
    ],
)
def test_a_selection_that_cannot_be_used_ends_the_group(chosen: tuple[str, ...], complaint: str) -> None:
    drive = learning("abcd")
    finished, _ = drive.select("g1", *chosen)
    assert isinstance(finished, e.GroupFinished)
    assert finished.failed
    assert finished.model == blob("g1-0")
    assert finished.reason == f"the selector's answer cannot be used: {complaint}"


def test_a_selection_from_candidates_that_changed_is_stale() -> None:
    drive = learning("abcd")
    order = drive.order(c.SelectParticipants)
    drive.lose("a")
    chosen = i.ParticipantsSelected(order=order.key, devices=(DeviceId("a"), DeviceId("b"), DeviceId("c")))
    assert drive.refusal(chosen).refusal is Refusal.STALE


def test_every_round_has_seeds_of_its_own() -> None:
    drive = learning("abc", "def")
    selections = [drive.order(c.SelectParticipants, group).seed for group in ("g1", "g2")]
    for group in ("g1", "g1", "g2"):
        drive.run_round(group)
    rounds = [event.seed for event in drive.events if isinstance(event, e.RoundOpened)]
    assert len({*selections, *rounds}) == 5


# -- closing


def test_a_round_closes_when_all_are_in() -> None:
    drive = learning("abcd")
    drive.select()
    drive.update("d", "b", "a")
    assert drive.phase() is Phase.COLLECTING
    assert drive.update("c")[-1] == e.CohortClosed(
        group=GroupId("g1"), cohort=CohortId("g1.r1"), survivors=tuple(map(DeviceId, "abcd"))
    )
    assert drive.outstanding(c.PublishRound) == []
    assert drive.machine.due_at is None


def test_a_round_closes_at_its_deadline_with_those_that_are_in() -> None:
    drive = learning("abcd")
    drive.select()
    drive.update("c", "b", "a")
    assert drive.wait(DEADLINE_S - 0.001) == []
    (closed,) = drive.wait(0.001)
    assert isinstance(closed, e.CohortClosed)
    assert closed.survivors == ("a", "b", "c")


def test_who_declines_is_not_waited_for() -> None:
    drive = learning("abcd")
    drive.select()
    drive.update("a", "b", "c")
    declined = i.DeclineTask(device=DeviceId("d"), cohort=CohortId("g1.r1"), reason="on battery")
    assert kinds(drive.give(declined)) == [e.TaskDeclined, e.CohortClosed]
    assert drive.give(declined) == []


def test_a_decline_that_nobody_waits_for_changes_nothing() -> None:
    drive = learning("abcd")
    drive.select("g1", "a", "b", "c")
    drive.update("a")
    for device, cohort in (("a", "g1.r1"), ("d", "g1.r1"), ("b", "g1.r2"), ("b", "g7.r1")):
        assert drive.give(i.DeclineTask(device=DeviceId(device), cohort=CohortId(cohort), reason="no")) == []


def test_who_declined_may_deliver_after_all() -> None:
    drive = learning("abcd")
    drive.select()
    drive.give(i.DeclineTask(device=DeviceId("d"), cohort=CohortId("g1.r1"), reason="on battery"))
    drive.update("d", "a", "b")
    assert drive.update("c")[-1] == e.CohortClosed(
        group=GroupId("g1"), cohort=CohortId("g1.r1"), survivors=tuple(map(DeviceId, "abcd"))
    )


def test_the_reduction_is_ordered_by_device_and_its_answer_is_the_next_model() -> None:
    drive = learning("abc")
    drive.select()
    drive.update("c", samples=30)
    drive.update("a", samples=10)
    drive.update("b", samples=20)
    order = drive.order(c.ReduceCohort)
    assert order.contributions == tuple(
        c.Contribution(device=DeviceId(name), blob=blob(f"{name}/g1.r1"), samples=samples)
        for name, samples in (("a", 10), ("b", 20), ("c", 30))
    )
    assert (order.model, order.optimizer_state) == (blob("g1-0"), None)
    answer = i.CohortReduced(order=order.key, model=blob("next"), optimizer_state=blob("momentum"))
    assert drive.give(answer) == [
        e.RoundClosed(
            group=GroupId("g1"),
            round=1,
            cohort=CohortId("g1.r1"),
            version=1,
            model=blob("next"),
            optimizer_state=blob("momentum"),
            devices=3,
            samples=60,
            metrics={"accuracy": Metric(sum=24.0, count=30), "log_loss": Metric(sum=13.5, count=30)},
        )
    ]
    assert drive.refusal(answer).refusal is Refusal.STALE
    assert drive.machine.live_blobs() == {blob("next"), blob("momentum")}


def test_the_next_round_starts_from_the_new_model_and_optimizer_state() -> None:
    drive = learning("abc")
    drive.run_round()
    drive.select()
    opened = drive.cohort().opened
    assert (opened.round, opened.version, opened.model) == (2, 1, blob("g1.r1-model"))
    drive.update("a", "b", "c", cohort="g1.r2")
    assert drive.order(c.ReduceCohort).optimizer_state == blob("g1.r1-state")


def test_the_spooled_updates_live_until_the_round_is_committed() -> None:
    drive = learning("abc")
    drive.select()
    drive.update("a", "b", "c")
    spooled = {blob(f"{name}/g1.r1") for name in "abc"}
    assert spooled < drive.machine.live_blobs()
    drive.reduce()
    assert not spooled & drive.machine.live_blobs()


def test_the_history_that_stop_rules_see() -> None:
    drive = learning("abcd")
    drive.now = 10.0
    drive.select()
    drive.now = 20.0
    drive.update("a", "b", "c")
    drive.wait(DEADLINE_S)
    drive.reduce()
    (record,) = drive.order(c.CheckStop).history
    assert (record.round, record.version, record.devices, record.samples) == (1, 1, 3, 30)
    assert (record.opened_at, record.closed_at) == (10.0, 20.0 + DEADLINE_S)
    assert (record.download_bytes, record.upload_bytes) == (4 * 1000, 3 * 1000)
    assert record.metrics["accuracy"].mean == pytest.approx(0.8)


def test_the_history_has_the_energy_of_devices_whose_power_is_known() -> None:
    drive = learning("abcd")
    for device, watts in (("a", 5.0), ("b", 20.0), ("d", 1000.0)):
        known = HardwareProfile.declared(cpu_flops=1e3, power_w=watts)
        drive.give(i.ReportHardware(device=DeviceId(device), profile=known))
    drive.select()
    drive.update("a", "c", samples=10)
    drive.update("b", samples=5000)  # of which a fit takes 1,000
    drive.wait(DEADLINE_S)  # without d
    drive.reduce()
    (record,) = drive.order(c.CheckStop).history
    seconds = {samples: (96 * samples + 32 * 10) / 1e3 for samples in (10, 1000)}  # its hold-out has 10
    assert record.energy_j == pytest.approx(5 * seconds[10] + 20 * seconds[1000])
    assert record.participants == 4


def test_without_a_known_power_the_energy_is_not_known() -> None:
    drive = learning("abcd")
    drive.run_round()
    drive.run_round()
    assert [record.energy_j for record in drive.group().history] == [None, None]


# -- devices that go while a round is open


def test_a_removed_devices_update_does_not_count() -> None:
    drive = learning("abcd")
    drive.select()
    drive.update("a", "b", "c")
    assert kinds(drive.remove("a")) == [e.DeviceRemoved]
    assert kinds(drive.update("d")) == [e.UpdateAccepted, e.CohortClosed]
    assert [one.device for one in drive.order(c.ReduceCohort).contributions] == ["b", "c", "d"]
    rejected = drive.refusal(drive.submission("a"))
    assert rejected.refusal is Refusal.REMOVED


def test_a_removal_can_complete_a_round() -> None:
    drive = learning("abcd")
    drive.select()
    drive.update("a", "b", "c")
    assert kinds(drive.remove("d")) == [e.DeviceRemoved, e.CohortClosed]


def test_who_is_removed_after_the_close_is_in_the_sum_already() -> None:
    drive = learning("abcd")
    drive.select()
    drive.update(*"abcd")
    order = drive.order(c.ReduceCohort)
    drive.remove("a")
    assert drive.order(c.ReduceCohort) == order
    assert kinds(drive.reduce()) == [e.RoundClosed]


def test_a_device_lost_in_the_middle_of_a_round_may_still_deliver() -> None:
    drive = learning("abcd")
    drive.select()
    drive.lose("d")
    assert kinds(drive.update("a", "b", "c")) == [e.UpdateAccepted] * 3
    assert drive.enrol("d") == [e.DeviceReturned(device=DeviceId("d"))]
    assert kinds(drive.update("d")) == [e.UpdateAccepted, e.CohortClosed]


# -- abandoned rounds


def test_a_round_with_fewer_than_three_updates_is_abandoned() -> None:
    drive = learning("abcd")
    drive.select()
    drive.update("a", "b")
    (abandoned,) = drive.wait(DEADLINE_S)
    assert isinstance(abandoned, e.RoundAbandoned)
    assert abandoned.reason == ("2 of 4 updates came in time, at least 3 are needed: raise rounds.deadline_s (now 100)")
    assert (drive.group().model, drive.group().version) == (blob("g1-0"), 0)
    (opened,) = drive.select()
    assert isinstance(opened, e.RoundOpened)
    assert opened.cohort == "g1.r2"


def test_an_abandoned_round_says_why_devices_declined() -> None:
    drive = learning("abc")
    drive.select()
    drive.update("a")
    cohort = drive.group().cohort
    assert cohort is not None
    drive.give(i.DeclineTask(device=DeviceId("c"), cohort=cohort.opened.cohort, reason="out of memory"))
    decided = drive.give(i.DeclineTask(device=DeviceId("b"), cohort=cohort.opened.cohort, reason="no samples"))
    abandoned = decided[-1]
    assert isinstance(abandoned, e.RoundAbandoned)
    assert abandoned.reason == ("1 of 3 updates came in time, at least 3 are needed; 2 declined, 1 of them: no samples")


def test_what_all_say_alike_is_told_once_and_without_a_device() -> None:
    drive = learning("abc")
    drive.select()
    cohort = drive.cohort().opened.cohort
    for device in "abc":
        decided = drive.give(i.DeclineTask(device=DeviceId(device), cohort=cohort, reason="no samples"))
    assert isinstance(decided[-1], e.RoundAbandoned)
    assert decided[-1].reason == "0 of 3 updates came in time, at least 3 are needed; 3 declined: no samples"


def test_a_round_is_abandoned_early_when_nobody_is_waited_for() -> None:
    drive = learning("abcd")
    drive.select("g1", "a", "b", "c")
    drive.update("a", "b")
    assert kinds(drive.remove("c")) == [e.DeviceRemoved, e.RoundAbandoned]


def test_three_abandoned_rounds_in_a_row_end_the_group_with_its_latest_model() -> None:
    drive = learning("abc")
    drive.run_round()
    for _ in range(2):
        drive.select()
        assert kinds(drive.wait(DEADLINE_S)) == [e.RoundAbandoned]
    drive.select()
    abandoned, finished, ended = drive.wait(DEADLINE_S)
    assert isinstance(abandoned, e.RoundAbandoned)
    assert finished == e.GroupFinished(
        group=GroupId("g1"),
        reason=(
            "3 rounds in a row were abandoned, the last because 0 of 3 updates came in time, at least 3 are needed: "
            "raise rounds.deadline_s (now 100)"
        ),
        version=1,
        model=blob("g1.r1-model"),
        metrics={},
        failed=True,
    )
    assert ended == e.FederationFinished()


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_how_many_abandoned_rounds_end_a_group_can_be_set(limit: int) -> None:
    given = settings(min_devices=3)
    drive = Drive(msgspec.structs.replace(given, rounds=msgspec.structs.replace(given.rounds, abandoned_limit=limit)))
    drive.join(*"abc")
    drive.form(("a", "b", "c"))
    drive.answer(c.ChooseTier)
    for _ in range(limit - 1):
        drive.select()
        assert kinds(drive.wait(DEADLINE_S)) == [e.RoundAbandoned]
    drive.select()
    _, finished, _ = drive.wait(DEADLINE_S)
    assert isinstance(finished, e.GroupFinished)
    assert finished.reason.startswith("a round was" if limit == 1 else f"{limit} rounds in a row were")


def test_a_closed_round_between_abandoned_ones_begins_the_count_anew() -> None:
    drive = learning("abc")
    for _ in range(2):
        for _ in range(2):
            drive.select()
            drive.wait(DEADLINE_S)
        drive.run_round()
    assert drive.phase() is Phase.SELECTING


# -- the end of a group


def test_the_stop_rule_leads_to_a_closing_evaluation_and_the_target_model() -> None:
    drive = learning("abcd")
    drive.select("g1", "a", "b", "c")
    drive.update("a", "b", "c")
    drive.reduce()
    checked, opened = drive.rule(reason="1 round")
    assert checked == e.StopChecked(group=GroupId("g1"), version=1, reason="1 round")
    assert isinstance(opened, e.RoundOpened)
    assert opened.purpose is Purpose.EVALUATE
    assert (opened.version, opened.model, opened.round) == (1, blob("g1.r1-model"), 2)
    assert opened.participants == ("a", "b", "c", "d")  # all, not only those that were selected
    assert opened.deadline_at == drive.now + 50.0
    *_, finished, ended = drive.evaluate(*"abcd", cohort="g1.r2")
    assert finished == e.GroupFinished(
        group=GroupId("g1"),
        reason="1 round",
        version=1,
        model=blob("g1.r1-model"),
        metrics={"accuracy": Metric(sum=32.0, count=40), "log_loss": Metric(sum=18.0, count=40)},
    )
    assert ended == e.FederationFinished()
    assert drive.machine.ended
    assert drive.machine.state.stage is Stage.FINISHED
    (target,) = drive.machine.outstanding()
    assert target == c.PublishTarget(
        key="target/g1",
        group=GroupId("g1"),
        tier=tier("tier-g1"),
        version=1,
        model=blob("g1.r1-model"),
        reason="1 round",
    )


def test_the_evaluation_ends_at_its_deadline() -> None:
    drive = learning("abcd")
    drive.run_round(stop="enough")
    drive.evaluate("a", "b", "c", cohort="g1.r2")
    finished, _ = drive.wait(50.0)
    assert isinstance(finished, e.GroupFinished)
    assert finished.metrics["accuracy"].count == 30


def test_the_figures_of_fewer_than_three_devices_are_not_shown() -> None:
    drive = learning("abcd")
    drive.run_round(stop="enough")
    drive.evaluate("a", "b", cohort="g1.r2")
    finished, _ = drive.wait(50.0)
    assert isinstance(finished, e.GroupFinished)
    assert finished.metrics == {}
    assert not finished.failed


def test_a_removed_devices_evaluation_does_not_count() -> None:
    drive = learning("abcd")
    drive.run_round(stop="enough")
    drive.evaluate("a", "b", "c", cohort="g1.r2")
    drive.remove("a")
    finished, _ = drive.evaluate("d", cohort="g1.r2")[1:]
    assert isinstance(finished, e.GroupFinished)
    assert finished.metrics["accuracy"].count == 30


def test_with_fewer_than_three_reachable_devices_there_is_no_evaluation() -> None:
    drive = learning("abc")
    drive.select()
    drive.update("a", "b", "c")
    drive.reduce()
    drive.lose("a")
    assert kinds(drive.rule(reason="enough")) == [e.StopChecked, e.GroupFinished, e.FederationFinished]
    assert drive.group().metrics == {}


def test_a_group_that_is_being_evaluated_is_not_short() -> None:
    drive = learning("abcd")
    drive.run_round(stop="enough")
    assert kinds(drive.lose(*"abcd")) == [e.DeviceLost] * 4
    assert kinds(drive.wait(50.0)) == [e.GroupFinished, e.FederationFinished]


def test_each_group_goes_at_its_own_pace_and_the_federation_ends_with_the_last() -> None:
    drive = learning("abc", "def")
    drive.run_round("g1")
    drive.run_round("g1", stop="enough")
    assert drive.phase("g2") is Phase.SELECTING
    drive.evaluate("a", "b", "c", cohort="g1.r3")
    assert not drive.machine.ended
    assert [command.group for command in drive.outstanding(c.PublishTarget)] == ["g1"]
    drive.run_round("g2", stop="enough")
    assert kinds(drive.evaluate("d", "e", "f", cohort="g2.r2"))[-1] is e.FederationFinished
    assert [command.group for command in drive.outstanding(c.PublishTarget)] == ["g1", "g2"]


def _opened(drive: Drive) -> None:
    pass


def _reducing(drive: Drive) -> None:
    drive.select()
    drive.update("a", "b", "c")


def _checking(drive: Drive) -> None:
    _reducing(drive)
    drive.reduce()


@pytest.mark.parametrize(
    ("prepare", "kind", "expected"),
    [
        (_opened, c.SelectParticipants, [e.GroupFinished]),
        (_reducing, c.ReduceCohort, [e.RoundAbandoned, e.GroupFinished]),
        (_checking, c.CheckStop, [e.GroupFinished]),
    ],
    ids=["selector", "aggregator", "stop rule"],
)
def test_a_plugin_that_raises_ends_its_group_with_the_latest_model(prepare, kind, expected) -> None:
    drive = learning("abc", "def")
    prepare(drive)
    happened = drive.fail(drive.order(kind, "g1"))
    assert kinds(happened) == expected
    finished = happened[-1]
    assert isinstance(finished, e.GroupFinished)
    assert finished.failed
    assert finished.reason == "plugin 'p' 1.0 failed: ZeroDivisionError"
    assert finished.model == drive.group().model
    assert drive.phase("g2") is Phase.SELECTING


def test_an_answer_to_another_order_is_stale() -> None:
    drive = learning("abc")
    key = drive.order(c.SelectParticipants).key
    for given in (
        i.StopRuled(order=key, reason=None),
        i.CohortReduced(order=key, model=blob("m"), optimizer_state=None),
        i.StopRuled(order="check-stop/g1/1", reason=None),
        i.PluginFailed(order="reduce/g1.r1", plugin="p", reason="r"),
    ):
        rejected = drive.refusal(given)
        assert rejected.refusal is Refusal.STALE
        assert repr(given.order) in rejected.reason


def test_metrics_of_a_round_are_the_survivors() -> None:
    drive = learning("abcd")
    drive.select()
    drive.update("a", "b", "c")
    perfect = {"accuracy": Metric(sum=10.0, count=10), "log_loss": Metric(sum=0.0, count=10)}
    drive.give(drive.submission("d", metrics=perfect))
    (closed,) = drive.reduce()
    assert isinstance(closed, e.RoundClosed)
    assert closed.metrics["accuracy"] == Metric(sum=3 * HITS["accuracy"].sum + 10, count=40)
