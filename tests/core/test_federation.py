"""The machine's three faces: decisions that change nothing, a log that replays, inputs of every kind at any stage."""

import copy

import msgspec
import pytest

from tierwise.core import commands as c
from tierwise.core import events as e
from tierwise.core import inputs as i
from tierwise.core.deciding import _DECISIONS
from tierwise.core.errors import FederationError, StoreError
from tierwise.core.events import Refusal, decode_record, encode_record
from tierwise.core.federation import Federation, Rejected
from tierwise.core.grouping import Grouping
from tierwise.core.ids import CohortId, DeviceId, GroupId
from tierwise.core.transitions import _TRANSITIONS

from .drive import GRACE_S, HITS, TASK, Drive, blob, kinds, learning, profile, settings, tier

A = DeviceId("a")
R1 = CohortId("g1.r1")

EVERY_INPUT: list[i.Input] = [
    i.OpenFederation(settings=settings()),
    i.ChangePolicies(policies={"stop": {"rule": "time"}}),
    i.Tick(),
    i.EnrolDevice(device=A, schema_hash=TASK.schema_hash),
    i.ReportHardware(device=A, profile=profile(5e9)),
    i.LoseDevice(device=A, reason="silent"),
    i.RemoveDevice(device=A, reason="sold"),
    i.SubmitUpdate(
        device=A, cohort=CohortId("g9.r9"), base=blob("m"), blob=blob("u"), size_bytes=1, samples=1, metrics=HITS
    ),
    i.SubmitEvaluation(device=A, cohort=CohortId("g9.r9"), base=blob("m"), metrics=HITS),
    i.DeclineTask(device=A, cohort=R1, reason="busy"),
    i.ReportFault(device=A, cohort=R1, refusal=e.Refusal.MALFORMED, reason="garbage"),
    i.ReleaseDevice(device=A),
    i.GroupsProposed(order="form-groups", grouping=Grouping(groups=())),
    i.PlacementsProposed(order="place/x/g1", placed={}, unplaced={}),
    i.TierProposed(order="choose-tier/g1", tier=tier(), model=blob("m")),
    i.ParticipantsSelected(order="select/g1/1/0", devices=(A,)),
    i.SelectionPostponed(order="select/g1/1/0", reason="nobody is on the mains"),
    i.CohortReduced(order="reduce/g1.r1", model=blob("m"), optimizer_state=None),
    i.ModelAdjusted(order="standardise/g1.r1", model=blob("m")),
    i.ModelsExchanged(order="exchange/g1/1", model=blob("m")),
    i.ModelMeasured(order="measure/g1/1", metrics=HITS),
    i.StopRuled(order="check-stop/g1/1", reason=None),
    i.PluginFailed(order="reduce/g1.r1", plugin="p", reason="r"),
]
every_input = pytest.mark.parametrize("given", EVERY_INPUT, ids=lambda given: type(given).__name__)


def leaves(kind: type) -> set[type]:
    below = kind.__subclasses__()
    return {kind} if not below else {leaf for one in below for leaf in leaves(one)}


def test_every_kind_of_input_is_tried_here_and_has_a_decision() -> None:
    assert {type(given) for given in EVERY_INPUT} == set(_DECISIONS) == leaves(i.Input)


def test_every_event_has_a_transition() -> None:
    assert set(_TRANSITIONS) == leaves(e.Event)


@every_input
def test_before_the_opening_only_the_opening_is_in_place(given: i.Input) -> None:
    drive = Drive()
    if isinstance(given, i.OpenFederation):
        assert kinds(drive.give(given)) == [e.FederationOpened]
    else:
        rejected = drive.refusal(given)
        assert rejected.refusal is Refusal.OUT_OF_PLACE
        assert rejected.reason == "the federation is not open yet"


@every_input
@pytest.mark.parametrize("failed", [False, True], ids=["finished", "failed"])
def test_after_the_end_nothing_changes_any_more(given: i.Input, failed: bool) -> None:
    if failed:
        drive = Drive(settings())
        drive.join("a")
        drive.wait(60.0)
    else:
        drive = learning("abc")
        drive.lose("a")
        drive.wait(GRACE_S)
    assert drive.machine.ended
    if isinstance(given, i.Tick):
        assert drive.give(given) == []
    else:
        rejected = drive.refusal(given)
        assert rejected.refusal is Refusal.LATE
        assert rejected.reason == "the federation has ended"


def test_a_federation_is_opened_once() -> None:
    drive = Drive(settings())
    assert drive.refusal(i.OpenFederation(settings=settings(seed=8))).refusal is Refusal.OUT_OF_PLACE


def test_the_opening_keeps_settings_and_plugins() -> None:
    used = e.PluginUsed(kind="selector", name="all", distribution="tierwise", version="0.1.0")
    drive = Drive()
    (opened,) = drive.give(i.OpenFederation(settings=settings(seed=3), plugins=(used,)))
    assert opened == e.FederationOpened(settings=settings(seed=3), plugins=(used,))
    assert drive.machine.state.opened.seed == 3


def test_a_decision_changes_nothing_until_it_is_applied() -> None:
    drive = learning("abc")
    before = copy.deepcopy(drive.machine.state)
    given = i.LoseDevice(device=A, reason="silent")
    assert drive.machine.decide(given, 1.0) == drive.machine.decide(given, 1.0)
    assert drive.machine.state == before
    assert drive.machine.sequence == len(drive.records)


def test_records_are_numbered_without_gaps_also_within_a_decision() -> None:
    drive = learning("abc", "def")
    drive.select("g2")
    drive.lose("d")
    drive.now += GRACE_S
    decided = drive.machine.decide(i.Tick(), drive.now)
    assert [type(record.event) for record in decided] == [e.RoundAbandoned, e.GroupMerged, e.GroupFinished]
    first = len(drive.records)
    assert [record.sequence for record in decided] == [first, first + 1, first + 2]
    assert {record.at for record in decided} == {drive.now}
    drive.settle()
    assert [record.sequence for record in drive.records] == list(range(len(drive.records)))


def test_time_never_runs_backwards_in_the_log() -> None:
    drive = Drive(settings())
    drive.now = 30.0
    drive.enrol("a")
    drive.now = 5.0
    drive.enrol("b")
    assert [record.at for record in drive.records] == [0.0, 30.0, 30.0]
    assert drive.machine.latest_at == 30.0


def test_a_log_with_a_gap_or_a_repetition_is_refused() -> None:
    drive = learning("abc")
    machine = Federation()
    machine.apply(drive.records[0])
    for wrong in (drive.records[0], drive.records[2]):
        with pytest.raises(StoreError, match=f"next record is 1, found {wrong.sequence}"):
            machine.apply(wrong)
    assert machine.sequence == 1


def test_a_log_of_a_newer_schema_is_refused_with_the_remedy() -> None:
    machine = Federation()
    newer = e.Record(sequence=0, at=0.0, event=e.FederationOpened(settings=settings()), schema=2)
    with pytest.raises(StoreError, match="schema 2, this tierwise reads up to 1: upgrade tierwise"):
        machine.apply(newer)
    assert machine.state == Federation().state


def test_the_replayed_log_of_a_whole_federation_gives_the_same_machine() -> None:
    drive = learning("abc", "def")
    drive.join("x")
    drive.answer(c.PlaceDevices)
    drive.run_round("g1")
    drive.run_round("g2", stop="enough")
    drive.evaluate("d", "e", "f", cohort="g2.r2")
    drive.select("g1")
    drive.update("a", "b", cohort="g1.r2")
    drive.remove("a")
    drive.lose("b", "c")
    replayed = Federation()
    for record in drive.records:
        replayed.apply(decode_record(encode_record(record)))
    assert replayed.state == drive.machine.state
    assert list(replayed.outstanding()) == list(drive.machine.outstanding())
    assert (replayed.due_at, replayed.latest_at, replayed.sequence) == (
        drive.machine.due_at,
        drive.machine.latest_at,
        drive.machine.sequence,
    )


def test_a_record_is_written_with_its_schema_and_event_name() -> None:
    record = e.Record(sequence=4, at=1.5, event=e.DeviceEnrolled(device=A))
    assert msgspec.msgpack.decode(encode_record(record)) == {
        "sequence": 4,
        "at": 1.5,
        "event": {"event": "device-enrolled", "device": "a", "visits": False},
        "schema": 1,
    }


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xc1", b"junk", msgspec.msgpack.encode({"sequence": 0})])
def test_what_is_no_record_is_not_read(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_record(data)


def test_a_rejection_tells_programs_and_people() -> None:
    rejected = Rejected(Refusal.LATE, "cohort g1.r1 is closed")
    assert str(rejected) == "late: cohort g1.r1 is closed"


def test_members_of_a_group_that_is_not() -> None:
    drive = learning("cab")
    assert drive.machine.members(GroupId("g1")) == ["a", "b", "c"]
    with pytest.raises(FederationError, match=r"no group 'g2', only \['g1'\]"):
        drive.machine.members(GroupId("g2"))
